//! The acks of a turn: one message for all of them, or one for each, as the protocol has it.

use super::common::Protocol;
use super::outbox::Outbox;
use super::seen::Id;
use mqlib::id::MessageId;

const ONE: &[u8] = br#"40  {"op":"ack","type":"ok","id":""#;
const MANY: &[u8] = br#"{"op":"ack","ids":[""#;
const BETWEEN: &[u8] = br#"",""#;
const END: &[u8] = br#""]}"#;

/// Queues the acks for these deliveries, of which there are at least one and at most a thousand.
pub(crate) fn put(outbox: &mut Outbox, protocol: Protocol, ids: &[Id]) {
    match protocol {
        Protocol::One => ids.iter().for_each(|id| put_one(outbox, id)),
        Protocol::Two { .. } => put_many(outbox, ids),
    }
}

fn put_one(outbox: &mut Outbox, id: &Id) {
    let message = outbox.put(ONE.len() + id.len() + 2);
    message.extend_from_slice(ONE);
    message.extend_from_slice(id);
    message.extend_from_slice(b"\"}");
}

fn put_many(outbox: &mut Outbox, ids: &[Id]) {
    let list = ids.len() * (MessageId::TEXT_LEN + BETWEEN.len()) - BETWEEN.len();
    let header = MANY.len() + list + END.len();
    let message = outbox.put(4 + header);
    message.extend_from_slice(format!("{header:<4x}").as_bytes());
    message.extend_from_slice(MANY);
    for (nth, id) in ids.iter().enumerate() {
        if nth > 0 {
            message.extend_from_slice(BETWEEN);
        }
        message.extend_from_slice(id);
    }
    message.extend_from_slice(END);
}

#[cfg(test)]
mod tests {
    use super::super::common::Framing;
    use super::*;
    use bytes::Bytes;
    use mqlib::request::{Incoming, Request};

    /// What is in the frame of at least 126 bytes that was queued, or of fewer.
    fn queued(protocol: Protocol, ids: &[Id]) -> Bytes {
        let mut outbox = Outbox::new(Framing::Raw);
        put(&mut outbox, protocol, ids);
        let frame = Bytes::copy_from_slice(outbox.put(0));
        let (head, len) = match frame[1] {
            126 => (4, usize::from(u16::from_be_bytes([frame[2], frame[3]]))),
            len => (2, len.into()),
        };
        assert_eq!(frame.len(), head + len + 2, "one frame, as long as it says");
        frame.slice(head..head + len)
    }

    #[test]
    fn an_ack_of_version_1_is_what_the_server_knows() {
        let id = MessageId::from_bits(0xabc);
        let message = queued(Protocol::One, &[id.text()]);
        let request = Incoming::parse(&message).unwrap().request;
        assert_eq!(request, Ok(Request::Ack { ids: vec![id], ok: true }));
    }

    #[test]
    fn an_ack_of_version_2_names_all() {
        for count in [1, 2, 256, 1000] {
            let ids = Vec::from_iter((0..count).map(MessageId::from_bits));
            let texts = Vec::from_iter(ids.iter().map(|id| id.text()));
            let message = queued(Protocol::Two { window: 1 }, &texts);
            let request = Incoming::parse(&message).unwrap().request;
            assert_eq!(request, Ok(Request::Ack { ids, ok: true }));
        }
    }
}
