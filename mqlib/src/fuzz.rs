//! Fuzz targets: what strangers and disks may hand to parsers.
//!
//! `cargo test` runs each on its corpus and some random inputs; `mqtest/fuzz/run` for long.

use crate::header;
use crate::id::MessageId;
use crate::name;
use crate::reply::{self, Delivery, Queued, Reply};
use crate::request::{Content, Incoming, Kind, MAX_WINDOW, Request, Version};
use bytes::Bytes;
use serde_json::{Value, json};

/// Runs of a target in `cargo test`, besides its corpus.
const RUNS: usize = 2000;

/// `header` behind its length, in whatever way the length is written.
fn message(header: &[u8], body: &[u8]) -> Bytes {
    [format!("{:<4x}", header.len()).as_bytes(), header, body].concat().into()
}

#[test]
fn request() {
    bolero::check!().with_iterations(RUNS).for_each(|input: &[u8]| {
        let input = Bytes::copy_from_slice(input);
        let Ok((header, body)) = header::split(&input) else {
            assert!(Incoming::parse(&input).is_err());
            return;
        };
        let parsed = Incoming::parse(&input);
        assert_eq!(Incoming::parse(&message(header, &body)), parsed, "another form of the length");
        let Ok(incoming) = parsed else { return };
        for request in [Some(incoming.request), incoming.in_v1.map(|boxed| *boxed)] {
            let Some(Ok(request)) = request else { continue };
            let (header, body) = write(&request);
            assert!(body.len() <= input.len() * 6, "the body grew to {}", body.len());
            let again = Incoming::parse(&message(header.to_string().as_bytes(), &body));
            // Escapes may have been longer than what they stand for, or shorter.
            if header.to_string().len() <= header::MAX_HEADER {
                assert_eq!(again.map(|again| again.request), Ok(Ok(request)), "written again");
            }
        }
    });
}

/// A request as version 2 writes it.
fn write(request: &Request) -> (Value, Bytes) {
    let none = Content::default();
    let (mut header, content) = match request {
        Request::Register { user, new_node, aliases, issue, invite } => {
            let new_node = new_node.reveal();
            let mut header =
                json!({"op": "register", "userId": user, "newNode": new_node, "aliases": aliases});
            header["v"] = if *issue { 2 } else { 1 }.into();
            if let Some(invite) = invite {
                header["invite"] = invite.reveal().into();
            }
            (header, &none)
        }
        Request::AddNode { user, new_node, prev_node, issue } => {
            let (new_node, prev_node) = (new_node.reveal(), prev_node.reveal());
            let mut header = json!({"op": "addNode", "userId": user, "newNode": new_node, "prevNode": prev_node});
            header["v"] = if *issue { 2 } else { 1 }.into();
            (header, &none)
        }
        Request::Login { user, node, version, takeover } => {
            let mut header = json!({"op": "login", "userId": user, "nodeId": node.reveal()});
            if let Version::V2 { window } = version {
                assert!((1..=MAX_WINDOW).contains(window));
                header["v"] = 2.into();
                header["window"] = (*window).into();
                header["takeover"] = (*takeover).into();
            }
            (header, &none)
        }
        Request::Post { id, to, no_nodes, content } => {
            let to: Value = to.iter().map(|(name, kind)| (name.clone(), number(*kind))).collect();
            (json!({"op": "post", "id": id, "to": to, "noNodes": no_nodes}), content)
        }
        Request::Ping { id, alias, no_nodes, content } => {
            (json!({"op": "ping", "id": id, "alias": alias, "noNodes": no_nodes}), content)
        }
        Request::Ack { ids, ok } => {
            let ids: Vec<_> = ids.iter().map(MessageId::to_string).collect();
            (json!({"op": "ack", "ids": ids, "type": if *ok { "ok" } else { "no" }}), &none)
        }
        Request::ListEdit { id, list, edit, members, content } => (
            json!({"op": "listEdit", "id": id, "to": list, "type": edit, "members": members}),
            content,
        ),
        Request::DropNode { id, node } => {
            (json!({"op": "dropNode", "id": id, "node": node}), &none)
        }
        Request::Status { id } => (json!({"op": "status", "id": id}), &none),
    };
    if let Some(etc) = content.etc {
        header["etc"] = etc.into();
    }
    (header, content.body.clone())
}

fn number(kind: Kind) -> Value {
    match kind {
        Kind::OneNode => 0,
        Kind::AllNodes => 1,
        Kind::List => 2,
        Kind::ListAndSender => 3,
    }
    .into()
}

#[test]
fn reply() {
    bolero::check!().with_iterations(RUNS).for_each(|input: &[u8]| {
        let input = Bytes::copy_from_slice(input);
        let parsed = Reply::parse(&input);
        if let Ok(reply) = &parsed {
            let (header, body) = header::split(&input).unwrap();
            assert_eq!(Reply::parse(&message(header, &body)), parsed, "another form of the length");
            assert_eq!([reply.etc().unwrap_or_default(), reply.data()].concat(), reply.body);
        }
        // A store that was tampered with may have any bytes for a message.
        for (version, redelivered) in [(Version::V1, 0), (V2, 0), (V2, 7)] {
            let delivery = Delivery { message: input.clone(), version, redelivered };
            assert!(delivery.to_bytes().len() <= input.len() + 32);
        }
    });
}

const V2: Version = Version::V2 { window: 1 };

#[test]
fn delivery() {
    bolero::check!().with_iterations(RUNS).for_each(|input: &[u8]| {
        let (from, body) = input.split_at(input.len().min(name::MAX_NAME));
        let from = String::from_utf8_lossy(from);
        let etc = (!body.is_empty()).then(|| usize::from(body[0]).min(body.len()));
        let id = MessageId::from_bits(body.len() as u128);
        let posted = "2026-11-21T08:00:00.000Z";
        let message = reply::queued(Queued::Deliver, id, posted, &from, etc, body);
        assert!(message.is_ascii() || !body.is_ascii());
        for (version, redelivered) in [(Version::V1, 0), (Version::V1, 3), (V2, 0), (V2, 3)] {
            let delivery = Delivery { message: message.clone(), version, redelivered };
            let reply = Reply::parse(&delivery.to_bytes()).unwrap();
            assert_eq!((reply.id, reply.from), (Some(id.to_string()), Some(from.to_string())));
            assert_eq!((reply.etc, &reply.body[..]), (etc, body));
            let v2 = version == V2;
            assert_eq!(reply.posted.as_deref(), v2.then_some(posted));
            assert_eq!(reply.redelivered, if v2 { redelivered } else { 0 });
        }
    });
}

#[cfg(feature = "queue")]
#[test]
fn spool_file() {
    bolero::check!().with_iterations(RUNS).for_each(|input: &[u8]| {
        let line = |message: &[u8]| {
            let checksum = crc32c::crc32c(message);
            format!("websocket.MQ 1 crc32c:{checksum:08x} length:{:010}\n", message.len())
        };
        if let Ok(message) = crate::spool::parse(input.to_vec()) {
            assert_eq!([line(&message).as_bytes(), &message].concat(), input);
        }
        let (at, message) = input.split_at(input.len().min(2));
        let mut file = [line(message).as_bytes(), message].concat();
        assert_eq!(crate::spool::parse(file.clone()).unwrap(), message);
        let at = at.iter().fold(0, |at, byte| at << 8 | usize::from(*byte));
        let cut = file[..at % file.len()].to_vec();
        assert!(crate::spool::parse(cut).is_err());
        let bit = at % (file.len() * 8);
        file[bit / 8] ^= 1 << (bit % 8);
        assert!(crate::spool::parse(file).is_err(), "bit {bit} was flipped");
    });
}

#[cfg(feature = "queue")]
#[test]
fn spool_name() {
    bolero::check!().with_iterations(RUNS).for_each(|input: &[u8]| {
        let name = String::from_utf8_lossy(input);
        if let Some((id, to_one)) = crate::spool::parse_name(&name) {
            assert_eq!(crate::spool::file_name(id, to_one), name);
        }
    });
}

#[test]
fn names() {
    bolero::check!().with_iterations(RUNS).for_each(|input: &[u8]| {
        let Ok(name) = std::str::from_utf8(input) else { return };
        let text = name::encode(name);
        let plain = |c| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'%');
        assert!(text.bytes().all(plain), "{text}");
        assert!(text.len() <= 3 * name.len());
        // One name only becomes this text.
        let mut parts = text.split('%');
        let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
        for part in parts {
            let (digits, rest) = part.split_at(2);
            bytes.push(u8::from_str_radix(digits, 16).unwrap());
            bytes.extend_from_slice(rest.as_bytes());
        }
        assert_eq!(bytes, name.as_bytes());
        if name::is_valid(name) {
            assert!((1..=name::MAX_NAME).contains(&name.len()));
            assert!(!name.chars().any(char::is_control));
        }
    });
}
