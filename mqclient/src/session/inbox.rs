//! Messages delivered to this node: which ones the application holds, and which it acked.

use crate::delivery::Kind;
use crate::login::Version;
use crate::request;
use bytes::Bytes;
use mqlib::reply::Reply;
use mqlib::request::MAX_WINDOW;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// How many messages the application may hold, and how many acked ids are remembered, in windows.
/// More than one: what it held over a lost link another node may have taken over, and a server that
/// was killed may have forgotten acks of some windows.
const WINDOWS: usize = 4;
/// But at least as many are held,
const HELD: usize = 16;
/// and as many remembered.
const REMEMBERED: usize = 256;

/// A message as it is passed to the application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Letter {
    pub(crate) id: String,
    pub(crate) from: String,
    pub(crate) kind: Kind,
    pub(crate) posted: Option<String>,
    pub(crate) redelivered: u32,
    pub(crate) etc: Option<Bytes>,
    pub(crate) data: Bytes,
}

/// Where a known message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The application has it.
    Held,
    /// The application is done with it; its id is on its way to the memory on disk.
    Remembering,
    /// The application is done with it.
    Acked,
}

#[derive(Debug)]
pub(super) struct Inbox {
    most_held: usize,
    most_remembered: usize,
    known: HashMap<Arc<str>, Place>,
    /// Those of them that are acked, the latest last.
    acked: VecDeque<Arc<str>>,
    /// Acks to send on the present link.
    due: VecDeque<Arc<str>>,
    redelivered: u64,
}

fn windows(window: usize) -> usize {
    WINDOWS * window.min(MAX_WINDOW)
}

/// How many ids of acked messages are remembered, in memory and on disk.
pub(crate) fn most_remembered(window: usize) -> usize {
    windows(window).max(REMEMBERED)
}

impl Inbox {
    pub(super) fn new(window: usize) -> Self {
        Self {
            most_held: windows(window).max(HELD),
            most_remembered: most_remembered(window),
            known: HashMap::new(),
            acked: VecDeque::new(),
            due: VecDeque::new(),
            redelivered: 0,
        }
    }

    pub(super) fn redelivered(&self) -> u64 {
        self.redelivered
    }

    /// Are there acks to be sent?
    pub(super) fn owes_acks(&self) -> bool {
        !self.due.is_empty()
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
        let Reply { id, from, posted, redelivered, .. } = reply;
        let (Some(id), Some(from)) = (id, from) else {
            return Err("a delivery without id or sender");
        };
        if let Some((id, place)) = self.known.get_key_value(id.as_str()) {
            self.redelivered += 1;
            if *place == Place::Acked {
                // The ack was lost with a link, or crossed with the repetition.
                self.due.push_back(id.clone());
            }
            return Ok(None);
        }
        if self.known.len() - self.acked.len() >= self.most_held {
            return Err("too many deliveries in flight");
        }
        self.known.insert(id.as_str().into(), Place::Held);
        Ok(Some(Letter { id, from, kind, posted, redelivered, etc, data }))
    }

    /// The application is done with `id`, which is to be remembered on disk first. False if it is
    /// already, or about to be.
    pub(super) fn remember(&mut self, id: &str) -> bool {
        let new = !matches!(self.known.get(id), Some(Place::Remembering | Place::Acked));
        if new {
            self.known.insert(id.into(), Place::Remembering);
        }
        new
    }

    /// An earlier session was done with `id`, which the server may not know.
    pub(super) fn restore(&mut self, id: &str) {
        self.ack(id, false);
    }

    /// The application is done with `id`. Offline nothing is sent: the server will deliver it once
    /// more, and is told then.
    pub(super) fn ack(&mut self, id: &str, online: bool) {
        let id: Arc<str> = id.into();
        if self.known.insert(id.clone(), Place::Acked) == Some(Place::Acked) {
            return;
        }
        if online {
            self.due.push_back(id.clone());
        }
        if self.acked.len() >= self.most_remembered
            && let Some(forgotten) = self.acked.pop_front()
        {
            self.known.remove(&forgotten);
        }
        self.acked.push_back(id);
    }

    pub(super) fn release(&mut self, id: &str) {
        if self.known.get(id) == Some(&Place::Held) {
            self.known.remove(id);
        }
    }

    /// The next message with acks: in version 2 of all that are due, in version 1 of one.
    pub(super) fn poll_ack(&mut self, version: Version) -> Option<Bytes> {
        while !self.due.is_empty() {
            let mut count = match version {
                Version::V1 => 1,
                Version::V2 => self.due.len(),
            };
            while count > 0 {
                if let Some(message) = request::ack(&self.due.make_contiguous()[..count], version) {
                    self.due.drain(..count);
                    return Some(message);
                }
                // More than a header holds.
                count /= 2;
            }
            // Not even alone.
            self.due.pop_front();
        }
        None
    }

    /// Acks for the old link mean nothing on the next one.
    pub(super) fn disconnected(&mut self) {
        self.due.clear();
    }
}
