//! What one node has got and acked.

use super::{NodeRef, Violation};
use crate::id::MessageId;
use std::collections::{HashMap, HashSet};

/// A node that receives.
#[derive(Debug, Clone, Default)]
pub(super) struct Receiver {
    /// The latest message that it got in order.
    pub(super) latest: Option<MessageId>,
    /// The latest post in order, of each sender.
    pub(super) latest_of: HashMap<NodeRef, u64>,
    /// It may get older messages, for a queue was copied to it.
    pub(super) copied_to: bool,
    /// Its acks that are known to be durable.
    pub(super) deleted: HashSet<MessageId>,
    /// Its acks on this connection that are not, each with its number among the node's acks.
    acks: Vec<(u64, MessageId)>,
    /// How many acks it has sent.
    pub(super) acked: u64,
    session: Option<Session>,
    /// The largest window that it ever had.
    pub(super) widest: usize,
}

/// A connection, where the harness tells of logins.
#[derive(Debug, Clone, Default)]
struct Session {
    window: usize,
    in_flight: HashSet<MessageId>,
    /// What was acked on it.
    acked: HashSet<MessageId>,
    duplicates: u64,
}

/// What a delivery is to the connection that brings it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// It brought it before.
    Again,
    /// It did not, nor did an earlier one that is known of.
    New,
}

impl Receiver {
    pub(super) fn logged_in(&mut self, window: usize) {
        // What was acked on the link before may not have been read.
        self.acks.clear();
        self.widest = self.widest.max(window);
        self.session = Some(Session { window, ..Session::default() });
    }

    /// A message arrives; `marked` says whether it tells that it is sent again, if it can.
    pub(super) fn delivered(
        &mut self,
        node: NodeRef,
        id: MessageId,
        marked: Option<bool>,
    ) -> Result<Sent, Violation> {
        let Some(session) = &mut self.session else { return Ok(Sent::New) };
        // What is sent again may cross its ack.
        if session.acked.contains(&id) || !session.in_flight.insert(id) {
            return match marked {
                Some(false) if !self.copied_to => Err(Violation::Unmarked { id, node }),
                _ => Ok(Sent::Again),
            };
        }
        let (in_flight, window) = (session.in_flight.len(), session.window);
        if in_flight > window {
            return Err(Violation::Window { node, in_flight, window });
        }
        Ok(Sent::New)
    }

    /// A message that an earlier connection brought came on this one: how many did so far?
    pub(super) fn repeated(&mut self) -> u64 {
        self.session.as_mut().map_or(0, |session| {
            session.duplicates += 1;
            session.duplicates
        })
    }

    /// It acks a message.
    pub(super) fn acks(&mut self, id: MessageId) {
        self.acked += 1;
        self.acks.push((self.acked, id));
        if let Some(session) = &mut self.session {
            session.in_flight.remove(&id);
            session.acked.insert(id);
        }
    }

    /// A message is removed for it that it has not acked: it is not in flight any more.
    pub(super) fn purged(&mut self, id: MessageId) {
        if let Some(session) = &mut self.session {
            session.in_flight.remove(&id);
        }
    }

    /// Its first `count` acks are durable, as far as this connection sent them.
    pub(super) fn durable(&mut self, count: u64) {
        let known = self.acks.partition_point(|&(number, _)| number <= count);
        self.deleted.extend(self.acks.drain(..known).map(|(_, id)| id));
    }

    /// The server went down: acks that are not known to be durable may be forgotten.
    pub(super) fn crashed(&mut self) {
        self.acks.clear();
        self.session = None;
    }
}
