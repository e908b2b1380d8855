//! Makes a list of many members, and takes the news of it that they all get.

use super::ack;
use super::common::Protocol;
use super::dial::{self, Dial, Session};
use super::people;
use super::seen::{self, Seen};
use anyhow::{Context, bail};
use bytes::Bytes;
use mqlib::request;
use serde::Serialize;
use std::future::poll_fn;

/// The members added by one request: their names stay below the 64 KB of a header.
const AT_ONCE: u32 = 4000;

/// A list of users 0 to `members - 1`, who are registered and offline.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Enlist {
    pub(crate) list: &'static str,
    pub(crate) members: u32,
}

impl Enlist {
    /// User 0 makes the list, in version 2 whatever the run speaks: in version 1 each member would
    /// need a request, and each request would be news for all.
    pub(crate) async fn make(self, dial: Dial) -> anyhow::Result<()> {
        let mut session = Dial { protocol: Protocol::Two { window: 1 }, ..dial }.log_in(0).await?;
        for first in (0..self.members).step_by(AT_ONCE as usize) {
            session.wire.send(&self.edit(first)?).await?;
            let (mut acked, mut told) = (false, false);
            while !acked || !told {
                let message = dial::message(&mut session.wire).await?;
                match seen::look(&message)? {
                    Seen::Noticed(id) => {
                        told = true;
                        take(&mut session, id).await?;
                    }
                    Seen::Acked(_) => acked = true,
                    other => bail!("the list cannot be made: {other:?}"),
                }
            }
        }
        session.wire.close().await;
        Ok(())
    }

    fn edit(self, first: u32) -> anyhow::Result<Bytes> {
        #[derive(Serialize)]
        struct Edit<'a> {
            op: &'a str,
            id: String,
            to: &'a str,
            r#type: &'a str,
            members: Vec<String>,
        }
        let last = self.members.min(first + AT_ONCE);
        let members = (first..last).map(people::user).collect();
        let id = format!("{first:016x}");
        let edit = Edit { op: "listEdit", id, to: self.list, r#type: "add", members };
        request::encode(&edit, None, &[]).context("too many members for a request")
    }

    /// How much news waits for a member: of the edit that added him, and of each later one.
    fn news(self, user: u32) -> u32 {
        let edits = self.members.div_ceil(AT_ONCE);
        if user == 0 { 0 } else { edits - user / AT_ONCE }
    }

    /// Takes the news that waits for a member who has logged in, but for user 0, who has had it.
    pub(crate) async fn catch_up(self, user: u32, session: &mut Session) -> anyhow::Result<()> {
        let told = self.news(user);
        for nth in 0..told {
            let message = dial::message(&mut session.wire).await;
            let message =
                message.with_context(|| format!("user {user} has {nth} of {told} news"))?;
            let Seen::Noticed(id) = seen::look(&message)? else {
                bail!("user {user} gets something else than news of the list");
            };
            take(session, id).await?;
        }
        Ok(())
    }
}

/// Acks one delivery.
async fn take(session: &mut Session, id: seen::Id) -> anyhow::Result<()> {
    ack::put(&mut session.wire.outbox, session.protocol, &[id]);
    Ok(poll_fn(|cx| session.wire.poll_flush(cx)).await?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mqlib::request::{Incoming, Request};

    #[test]
    fn the_requests_name_every_member_once() {
        let list = Enlist { list: "L", members: 2 * AT_ONCE + 5 };
        let mut named = Vec::new();
        for first in [0, AT_ONCE, 2 * AT_ONCE] {
            let request = Incoming::parse(&list.edit(first).unwrap()).unwrap().request;
            let Ok(Request::ListEdit { list, edit, members, .. }) = request else { panic!() };
            assert_eq!((list.as_str(), edit.as_str()), ("L", "add"));
            named.extend(members);
        }
        assert_eq!(named, Vec::from_iter((0..list.members).map(people::user)));
    }

    #[test]
    fn a_member_is_told_of_its_own_edit_and_of_later_ones() {
        let list = Enlist { list: "L", members: 2 * AT_ONCE + 5 };
        for (user, news) in [(0, 0), (1, 3), (AT_ONCE - 1, 3), (AT_ONCE, 2), (2 * AT_ONCE + 4, 1)] {
            assert_eq!(list.news(user), news, "{user}");
        }
    }
}
