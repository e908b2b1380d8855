//! What the broker has done in this life, counted for the operator.

use crate::directory::{AddNodeError, ListError, RegisterError};
use crate::histogram::{Histogram, TIMES};
use crate::limits::{Limit, QueueLimit};
use crate::request::Op;
use crate::store::Refusal;

/// Counts since the start, and how long messages took.
#[derive(Debug, Clone, Copy)]
pub struct Totals {
    requests: [u64; Op::ALL.len()],
    refused: [u64; Why::ALL.len()],
    limits: [u64; Limit::ALL.len()],
    /// Posts that were repeated, and known.
    pub repeated: u64,
    /// Messages sent to a node for the first time on its connection.
    pub delivered: u64,
    /// Messages sent once more, for they were not acked in time.
    pub redelivered: u64,
    /// Messages that a node has acked.
    pub acked: u64,
    /// Messages that were removed from a node's queue though it has not acked them: purged, too old, or
    /// of a user that is gone or stays away.
    pub removed: u64,
    /// Of those, how many their senders were told of.
    pub bounced: u64,
    /// From reading a post, ping or listEdit to its ack, in nanoseconds; of those that were stored.
    pub to_ack: Histogram,
    /// From reading it to the first delivery to each node that was online, in nanoseconds. What such
    /// a node leaves in the store, for it does not read, is not in it.
    pub to_delivery: Histogram,
}

/// Why a request was refused, by who has to act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It is beyond a limit, which the operator may raise.
    Limit,
    /// The disk is full, or fails.
    Disk,
    /// It asks for what cannot be: the client mends it.
    Request,
}

impl Why {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Limit, Self::Disk, Self::Request];

    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Limit => "limit",
            Self::Disk => "disk",
            Self::Request => "request",
        }
    }
}

/// Why a request is refused, and the limit that it is beyond.
pub(super) struct Cause(Why, Option<Limit>);

impl Default for Totals {
    fn default() -> Self {
        Self {
            requests: [0; Op::ALL.len()],
            refused: [0; Why::ALL.len()],
            limits: [0; Limit::ALL.len()],
            repeated: 0,
            delivered: 0,
            redelivered: 0,
            acked: 0,
            removed: 0,
            bounced: 0,
            to_ack: Histogram::new(TIMES),
            to_delivery: Histogram::new(TIMES),
        }
    }
}

impl Totals {
    /// Requests by their op, those that were refused among them.
    pub fn requests(&self) -> impl Iterator<Item = (Op, u64)> {
        Op::ALL.into_iter().zip(self.requests)
    }

    /// Requests that were refused, by why; not those that ended their connection.
    pub fn refused(&self) -> impl Iterator<Item = (Why, u64)> {
        Why::ALL.into_iter().zip(self.refused)
    }

    /// How often each limit was met: by a request, or by a node's queue as a recipient.
    pub fn limits(&self) -> impl Iterator<Item = (Limit, u64)> {
        Limit::ALL.into_iter().zip(self.limits)
    }

    pub(super) fn ask(&mut self, op: Op) {
        self.requests[op as usize] += 1;
    }

    pub(super) fn refuse(&mut self, cause: impl Into<Cause>) {
        let Cause(why, limit) = cause.into();
        self.refused[why as usize] += 1;
        limit.into_iter().for_each(|limit| self.meet(limit));
    }

    pub(super) fn meet(&mut self, limit: Limit) {
        self.limits[limit as usize] += 1;
    }
}

impl From<Why> for Cause {
    fn from(why: Why) -> Self {
        Self(why, None)
    }
}

impl From<Limit> for Cause {
    fn from(limit: Limit) -> Self {
        Self(Why::Limit, Some(limit))
    }
}

impl From<Refusal> for Cause {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::DiskFull => Self(Why::Disk, Some(Limit::MinFree)),
            Refusal::Disk => Self(Why::Disk, None),
        }
    }
}

impl From<QueueLimit> for Limit {
    fn from(limit: QueueLimit) -> Self {
        match limit {
            QueueLimit::Messages(_) => Self::QueueMessages,
            QueueLimit::Bytes(_) => Self::QueueBytes,
        }
    }
}

impl From<&RegisterError> for Cause {
    fn from(error: &RegisterError) -> Self {
        match error {
            RegisterError::TooManyAliases(_) => Limit::AliasesPerUser.into(),
            _ => Why::Request.into(),
        }
    }
}

impl From<&AddNodeError> for Cause {
    fn from(error: &AddNodeError) -> Self {
        match error {
            AddNodeError::TooManyNodes(_) | AddNodeError::NoOffsets => Limit::NodesPerUser.into(),
            _ => Why::Request.into(),
        }
    }
}

impl From<&ListError> for Cause {
    fn from(error: &ListError) -> Self {
        match error {
            ListError::TooManyMembers { .. } => Limit::MembersPerList.into(),
            ListError::TooManyLists { .. } => Limit::ListsPerUser.into(),
            _ => Why::Request.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_counted_under_its_own_name() {
        let mut totals = Totals::default();
        for (nth, op) in Op::ALL.into_iter().enumerate() {
            (0..=nth).for_each(|_| totals.ask(op));
        }
        for (nth, limit) in Limit::ALL.into_iter().enumerate() {
            (0..=nth).for_each(|_| totals.refuse(limit));
        }
        assert!(totals.requests().map(|(_, count)| count).eq(1..=Op::ALL.len() as u64));
        assert!(totals.limits().map(|(_, count)| count).eq(1..=Limit::ALL.len() as u64));
        totals.refuse(Refusal::DiskFull);
        totals.refuse(&RegisterError::NodeRequired);
        let refused: Vec<_> = totals.refused().map(|(why, count)| (why.name(), count)).collect();
        let limits = (1..=Limit::ALL.len() as u64).sum();
        assert_eq!(refused, [("limit", limits), ("disk", 1), ("request", 1)]);
    }
}
