//! Messages delivered to this node: which ones the application holds, and which it acked.

use crate::delivery::Kind;
use crate::request;
use bytes::Bytes;
use mqlib::reply::Reply;
use std::collections::VecDeque;

/// How many messages a server may have in flight to us. Version 1 has one.
const HELD: usize = 16;
/// How many acked ids are remembered, to recognize messages that come again.
const REMEMBERED: usize = 256;

/// A message as it is passed to the application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Letter {
    pub(crate) id: String,
    pub(crate) from: String,
    pub(crate) kind: Kind,
    pub(crate) etc: Option<Bytes>,
    pub(crate) data: Bytes,
}

#[derive(Debug, Default)]
pub(super) struct Inbox {
    /// The application has them.
    held: Vec<String>,
    /// The application is done with them; the latest last.
    acked: VecDeque<String>,
    /// Acks to send on the present link.
    due: VecDeque<Bytes>,
    redelivered: u64,
}

impl Inbox {
    pub(super) fn redelivered(&self) -> u64 {
        self.redelivered
    }

    /// Sorts out a message from the server: new to the application, or known. The error says what
    /// the server did wrong.
    pub(super) fn receive(&mut self, reply: Reply) -> Result<Option<Letter>, &'static str> {
        let (etc, data) = (reply.etc(), reply.data());
        let kind = match reply.op.as_str() {
            "registered" => Kind::Registered,
            "listEdited" => Kind::ListEdited,
            _ => Kind::Deliver,
        };
        let (Some(id), Some(from)) = (reply.id, reply.from) else {
            return Err("a delivery without id or sender");
        };
        if self.held.contains(&id) {
            self.redelivered += 1;
            return Ok(None);
        }
        if self.acked.contains(&id) {
            // The ack was lost with a link, or crossed with the repetition.
            self.redelivered += 1;
            self.due.extend(request::ack(&id));
            return Ok(None);
        }
        if self.held.len() >= HELD {
            return Err("too many deliveries in flight");
        }
        self.held.push(id.clone());
        Ok(Some(Letter { id, from, kind, etc, data }))
    }

    /// The application is done with `id`. Offline nothing is sent: the server will deliver it once
    /// more, and is told then.
    pub(super) fn ack(&mut self, id: &str, online: bool) {
        self.release(id);
        if online {
            self.due.extend(request::ack(id));
        }
        if self.acked.len() >= REMEMBERED {
            self.acked.pop_front();
        }
        self.acked.push_back(id.to_owned());
    }

    pub(super) fn release(&mut self, id: &str) {
        self.held.retain(|held| held != id);
    }

    pub(super) fn poll_ack(&mut self) -> Option<Bytes> {
        self.due.pop_front()
    }

    /// Acks for the old link mean nothing on the next one.
    pub(super) fn disconnected(&mut self) {
        self.due.clear();
    }
}
