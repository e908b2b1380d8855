//! What the server said, told apart by its first bytes.
//!
//! Acks and deliveries are recognised in the very form the server writes, without parsing JSON; any
//! other form, and whatever else it may say, goes through [`Reply::parse`], which is slower and
//! knows all.

use super::people;
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
const ACK_MSGID: &[u8] = br#","msgid":""#;
const DELIVER: &[u8] = br#"{"op":"deliver","id":""#;
const DELIVER_FROM: &[u8] = br#"","from":""#;
const POSTED: &[u8] = br#"","posted":""#;
const END: &[u8] = br#""}"#;
/// The length of a date, as in `2026-11-21T08:00:00.000Z`.
const DATE_LEN: usize = 24;

/// A message of the server's.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// The post in this slot was stored.
    Acked(u32),
    /// The post in this slot was not, or not for all.
    Refused(u32, String),
    /// A message, to be acked.
    Delivered(Id, Stamp),
    /// News of a list, to be acked as well.
    Noticed(Id),
}

/// Recognises a message.
///
/// # Errors
/// The server sends us away, or says what it never should.
pub(crate) fn look(message: &[u8]) -> anyhow::Result<Seen> {
    match quick(message) {
        Some(seen) => Ok(seen),
        None => parsed(&Bytes::copy_from_slice(message)),
    }
}

fn quick(message: &[u8]) -> Option<Seen> {
    let (header, data) = split(message)?;
    match header.strip_prefix(DELIVER) {
        Some(rest) => Some(Seen::Delivered(*delivered(rest)?, Stamp::read(data)?)),
        None => acked(header.strip_prefix(ACK)?).map(Seen::Acked),
    }
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

/// What follows an id in the header of a first delivery, which has no `etc`.
fn delivered(rest: &[u8]) -> Option<&Id> {
    let (id, rest) = rest.split_first_chunk()?;
    let rest = rest.strip_prefix(DELIVER_FROM)?.get(people::NAME_LEN..)?;
    (rest == END || is_posted(rest)).then_some(id)
}

/// What follows in the header of an ack without an error.
fn acked(rest: &[u8]) -> Option<u32> {
    let (id, rest) = rest.split_at_checked(ID_LEN)?;
    let rest = rest.strip_prefix(ACK_OK)?;
    if rest != b"}" {
        let rest = rest.strip_prefix(ACK_MSGID)?.get(MessageId::TEXT_LEN..)?;
        is_posted(rest).then_some(())?;
    }
    template::slot(id).ok()
}

/// Is this the date of version 2, and the end?
fn is_posted(rest: &[u8]) -> bool {
    rest.len() == POSTED.len() + DATE_LEN + END.len()
        && rest.starts_with(POSTED)
        && rest.ends_with(END)
}

fn parsed(message: &Bytes) -> anyhow::Result<Seen> {
    let reply = Reply::parse(message)?;
    let text = reply.id.clone().unwrap_or_default();
    let id = || text.as_bytes().try_into().context("a message id of another length");
    match reply.op.as_str() {
        "ack" => {
            let slot = template::slot(text.as_bytes())?;
            match (reply.kind.as_deref(), reply.error) {
                (Some("ok"), None) => Ok(Seen::Acked(slot)),
                (_, error) => Ok(Seen::Refused(slot, error.unwrap_or_default())),
            }
        }
        "deliver" => {
            let data = reply.data();
            let stamp = Stamp::read(&data).context("a message that nobody posted")?;
            Ok(Seen::Delivered(id()?, stamp))
        }
        "listEdited" => Ok(Seen::Noticed(id()?)),
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
    use mqlib::reply::{self, AckError, Delivery, Queued};
    use mqlib::request::Version;

    const STAMP: Stamp = Stamp { sent: 1, poster: 2, number: 3 };
    const DATE: &str = "2026-11-21T08:00:00.000Z";
    const POST: &str = "0000001100000022";
    const ID: MessageId = MessageId::from_bits(77);
    const V2: Version = Version::V2 { window: 9 };

    fn ack(error: AckError, message: Option<MessageId>) -> Bytes {
        reply::acked(POST, true, error, message.map(|id| (id, DATE)))
    }

    fn deliver(from: &str, version: Version, redelivered: u32, etc: &str) -> Bytes {
        let body = [etc.as_bytes(), &STAMP.to_bytes(), b"more"].concat();
        let etc = Some(etc.len()).filter(|len| *len > 0);
        let message = reply::queued(Queued::Deliver, ID, DATE, from, etc, &body);
        Delivery { message, version, redelivered }.to_bytes()
    }

    #[test]
    fn what_our_server_writes_is_recognised_at_once() {
        let (user, delivered) = (people::user(5), || Seen::Delivered(ID.text(), STAMP));
        for (message, seen) in [
            (ack(AckError::Absent, None), Seen::Acked(0x11)),
            (ack(AckError::Absent, Some(ID)), Seen::Acked(0x11)),
            (deliver(&user, Version::V1, 0, ""), delivered()),
            (deliver(&user, V2, 0, ""), delivered()),
        ] {
            assert_eq!(quick(&message).as_ref(), Some(&seen), "{message:?}");
            assert_eq!(parsed(&message).unwrap(), seen);
        }
    }

    #[test]
    fn other_forms_are_parsed() {
        let (user, delivered) = (people::user(5), || Seen::Delivered(ID.text(), STAMP));
        let header = format!(r#"{{ "type" : "ok", "id" : "{POST}", "op" : "ack" }}"#);
        for (message, seen) in [
            (deliver("é\"u", V2, 0, ""), delivered()),
            (deliver(&user, Version::V1, 0, "{}"), delivered()),
            (deliver(&user, V2, 0, "{}"), delivered()),
            (deliver(&user, V2, 1, ""), delivered()),
            (format!("00{:x}{header}", header.len()).into(), Seen::Acked(0x11)),
            (
                reply::queued(Queued::ListEdited, ID, DATE, "u", Some(2), b"{}"),
                Seen::Noticed(ID.text()),
            ),
        ] {
            assert_eq!(quick(&message), None, "{message:?}");
            assert_eq!(look(&message).unwrap(), seen);
        }
    }

    #[test]
    fn an_ack_with_an_error_is_no_ack() {
        let error = || AckError::Text("userId unknown".into());
        for message in
            [ack(error(), None), ack(error(), Some(ID)), reply::ack(POST, false, error())]
        {
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
            reply::queued(Queued::Deliver, MessageId::ZERO, DATE, "u", None, b"short"),
            Bytes::from_static(b"junk"),
            Bytes::from_static(b"\xff"),
            Bytes::new(),
        ] {
            assert!(look(&message).is_err(), "{message:?}");
        }
    }
}
