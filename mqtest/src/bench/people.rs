//! The users of a run: a number each, with names of one length, and one node.

use super::common::Framing;
use super::dial;
use super::gang::gang;
use super::origin::Origin;
use super::progress::Progress;
use super::wire::Wire;
use anyhow::{Context, bail};
use mqlib::request;
use serde::Serialize;
use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;

/// The length of a user's name.
pub(crate) const NAME_LEN: usize = 8;
/// Connections that register users: the server hashes two names at a time.
const AT_ONCE: usize = 4;
/// Users registered on a connection: it is closed if nobody has logged in after a few seconds, and
/// each takes tens of milliseconds.
const BATCH: u32 = 16;

/// A user's name.
pub(crate) fn user(number: u32) -> String {
    format!("u{number:07}")
}

/// The name of its node.
pub(crate) fn node(number: u32) -> String {
    format!("n{number:07}")
}

/// Writes a user's name.
pub(crate) fn write_user(out: &mut [u8], number: u32) {
    let mut left = number;
    for digit in out[1..].iter_mut().rev() {
        *digit = b'0' + (left % 10) as u8;
        left /= 10;
    }
    out[0] = b'u';
}

/// Registers users 0 to `count - 1`.
pub(crate) async fn register(addr: SocketAddr, count: u32) -> anyhow::Result<()> {
    let progress = Rc::new(Progress::new("registering"));
    let done = Rc::new(Cell::new(0));
    gang(count.div_ceil(BATCH), AT_ONCE, |batch| {
        let (progress, done) = (progress.clone(), done.clone());
        async move {
            let first = batch * BATCH;
            let mut wire = dial::connect(addr, Framing::Raw, Origin::default()).await?;
            for number in first..count.min(first + BATCH) {
                register_one(&mut wire, number)
                    .await
                    .with_context(|| format!("cannot register user {number}"))?;
                done.set(done.get() + 1);
                progress.show(|| format!("registering: {} of {count} users", done.get()));
            }
            Ok(())
        }
    })
    .await?;
    Ok(())
}

async fn register_one(wire: &mut Wire, number: u32) -> anyhow::Result<()> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Register<'a> {
        op: &'a str,
        user_id: &'a str,
        new_node: &'a str,
        aliases: &'a str,
    }
    let (user, node) = (user(number), node(number));
    let header = Register { op: "register", user_id: &user, new_node: &node, aliases: "" };
    let request = request::encode(&header, None, &[]).context("too long a name")?;
    wire.send(&request).await?;
    let reply = dial::reply(wire).await?;
    match (reply.op.as_str(), reply.error) {
        ("registered", None) => Ok(()),
        (op, error) => bail!("the server says {op} {}", error.or(reply.info).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_written_as_it_is_formatted() {
        for number in [0, 1, 1_234_567, 9_999_999] {
            let mut name = [0; NAME_LEN];
            write_user(&mut name, number);
            assert_eq!(name, user(number).as_bytes());
            assert_eq!(node(number).len(), NAME_LEN);
        }
    }
}
