//! What the server said, told apart by its first bytes.
//!
//! Acks and deliveries are recognised in the very form the server writes, without parsing JSON; any
//! other form, and whatever else it may say, goes through [`Reply::parse`], which is slower and
//! knows all.

use super::stamp::Stamp;
use super::template::{self, ID_LEN};
use anyhow::{Context, bail};
use bytes::Bytes;
use mqlib::header;
use mqlib::id::MessageId;
use mqlib::reply::Reply;

/// A message's id, as the ack repeats it.
pub(crate) type Id = [u8; MessageId::TEXT_LEN];

const ACK: &[u8] = br#"{"op":"ack","id":""#;
const ACK_OK: &[u8] = br#"","type":"ok""#;
const DELIVER: &[u8] = br#"{"op":"deliver","id":""#;
/// With it an ack is no full success, and a deliver's data does not begin behind the header.
const RARE: [&[u8]; 2] = [b"\"error\"", b"\"etc\""];

/// A message of the server's.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// The post in this slot was stored.
    Acked(u32),
    /// The post in this slot was not, or not for all.
    Refused(u32, String),
    /// A message, to be acked.
    Delivered(Id, Stamp),
}

/// Recognises a message.
///
/// # Errors
/// The server sends us away, or says what it never should.
pub(crate) fn look(message: &Bytes) -> anyhow::Result<Seen> {
    match quick(message) {
        Some(seen) => Ok(seen),
        None => parsed(message),
    }
}

fn quick(message: &[u8]) -> Option<Seen> {
    let (header, data) = split(message)?;
    if let Some(rest) = header.strip_prefix(ACK) {
        let (id, rest) = rest.split_at_checked(ID_LEN)?;
        let rest = rest.strip_prefix(ACK_OK)?;
        let slot = template::slot(id).ok()?;
        return is_plain(rest).then_some(Seen::Acked(slot));
    }
    let rest = header.strip_prefix(DELIVER)?;
    let (id, rest) = rest.split_first_chunk::<{ MessageId::TEXT_LEN }>()?;
    let rest = rest.strip_prefix(b"\"")?;
    let stamp = Stamp::read(data)?;
    is_plain(rest).then_some(Seen::Delivered(*id, stamp))
}

/// Header and body, if the length is written as our server writes it.
fn split(message: &[u8]) -> Option<(&[u8], &[u8])> {
    let (digits, rest) = message.split_first_chunk::<4>()?;
    let mut length = 0;
    for &digit in digits.trim_ascii_end() {
        length = length * 16 + (digit as char).to_digit(16)? as usize;
    }
    rest.split_at_checked(length)
}

fn is_plain(rest: &[u8]) -> bool {
    rest == b"}" || !RARE.iter().any(|rare| rest.windows(rare.len()).any(|part| part == *rare))
}

fn parsed(message: &Bytes) -> anyhow::Result<Seen> {
    let reply = Reply::parse(message)?;
    let id = reply.id.clone().unwrap_or_default();
    match reply.op.as_str() {
        "ack" => {
            let slot = template::slot(id.as_bytes())?;
            match (reply.kind.as_deref(), reply.error) {
                (Some("ok"), None) => Ok(Seen::Acked(slot)),
                (_, error) => Ok(Seen::Refused(slot, error.unwrap_or_default())),
            }
        }
        "deliver" => {
            let data = reply.data();
            let stamp = Stamp::read(&data).context("a message that nobody posted")?;
            let id = id.as_bytes().try_into().context("a message id of another length")?;
            Ok(Seen::Delivered(id, stamp))
        }
        "quit" => bail!("the server says quit: {}", reply.info.unwrap_or_default()),
        op => {
            let header = header::split(message).map(|(header, _)| header).unwrap_or_default();
            bail!("a message not expected here, {op}: {}", header.escape_ascii())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mqlib::reply::{self, AckError, Queued};

    const STAMP: Stamp = Stamp { sent: 1, poster: 2, number: 3 };
    const POST: &str = "0000001100000022";

    fn deliver(etc: Option<usize>, before: &[u8]) -> Bytes {
        let body = [before, &STAMP.to_bytes(), b"more"].concat();
        reply::queued(Queued::Deliver, MessageId::from_bits(77), "é\"u", etc, &body)
    }

    #[test]
    fn what_our_server_writes_is_recognised_at_once() {
        let id = MessageId::from_bits(77).text();
        let ack = reply::ack(POST, true, AckError::Absent);
        for (message, seen) in
            [(deliver(None, b""), Seen::Delivered(id, STAMP)), (ack, Seen::Acked(0x11))]
        {
            assert_eq!(quick(&message).as_ref(), Some(&seen));
            assert_eq!(parsed(&message).unwrap(), seen);
        }
    }

    #[test]
    fn further_fields_do_not_disturb() {
        let header = format!(r#"{{"op":"ack","id":"{POST}","type":"ok","msgid":"0123456789ab"}}"#);
        let message = format!("{:<4x}{header}", header.len());
        assert_eq!(quick(message.as_bytes()), Some(Seen::Acked(0x11)));
    }

    #[test]
    fn other_forms_are_parsed() {
        let id = MessageId::from_bits(77).text();
        let message = deliver(Some(2), b"{}");
        assert_eq!(quick(&message), None);
        assert_eq!(look(&message).unwrap(), Seen::Delivered(id, STAMP));
        let header = format!(r#"{{ "type" : "ok", "id" : "{POST}", "op" : "ack" }}"#);
        let message = Bytes::from(format!("00{:x}{header}", header.len()));
        assert_eq!(look(&message).unwrap(), Seen::Acked(0x11));
    }

    #[test]
    fn an_ack_with_an_error_is_no_ack() {
        for ok in [true, false] {
            let message = reply::ack(POST, ok, AckError::Text("userId unknown".into()));
            let refused = Seen::Refused(0x11, "userId unknown".into());
            assert_eq!(look(&message).unwrap(), refused);
        }
    }

    #[test]
    fn a_server_that_says_something_else_ends_the_run() {
        for message in [
            reply::quit(&mqlib::quit::Quit::InvalidJson),
            reply::logged_in(),
            reply::ack("1", true, AckError::Absent),
            reply::queued(Queued::Deliver, MessageId::ZERO, "u", None, b"short"),
            Bytes::from_static(b"junk"),
            Bytes::from_static(b"\xff"),
            Bytes::new(),
        ] {
            assert!(look(&message).is_err(), "{message:?}");
        }
    }
}
