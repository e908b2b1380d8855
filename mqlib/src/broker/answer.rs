//! Answers that wait for the disk.

use super::LinkId;
use super::drops::Dropped;
use crate::node::{NodeId, UserId};
use bytes::Bytes;

/// Who waits for something to be durable.
pub(super) enum Answer {
    /// By a client.
    Reply {
        link: LinkId,
        reply: Bytes,
        /// A node that has got more than it knew, if it is online.
        copied_to: Option<NodeId>,
    },
    /// By a client, or by an earlier life: that nothing is left of a node.
    Dropped(Dropped),
    /// By the operator.
    Operated(u64),
    /// By the operator: that a user is no more. It is answered when nothing is left of it.
    Deleted(UserId),
    /// By the operator: that so many messages are removed.
    Purged(u64, u64),
    /// By a queue: that its node's acks are durable.
    Acks(NodeId),
}

impl Answer {
    /// The node that a queue is copied to.
    pub(super) fn copied_to(&self) -> Option<NodeId> {
        match self {
            Self::Reply { copied_to, .. } => *copied_to,
            Self::Dropped(_)
            | Self::Operated(_)
            | Self::Deleted(_)
            | Self::Purged(..)
            | Self::Acks(_) => None,
        }
    }

    /// The user that is being removed, or a node of whom is.
    pub(super) fn removed(&self) -> Option<UserId> {
        match self {
            Self::Dropped(dropped) => Some(dropped.user()),
            Self::Deleted(user) => Some(*user),
            Self::Reply { .. } | Self::Operated(_) | Self::Purged(..) | Self::Acks(_) => None,
        }
    }
}

impl std::fmt::Debug for Answer {
    /// Without the reply, in which there may be a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Reply { link, .. } => f.debug_tuple("Reply").field(link).finish(),
            Self::Dropped(dropped) => std::fmt::Debug::fmt(dropped, f),
            Self::Deleted(user) => f.debug_tuple("Deleted").field(user).finish(),
            Self::Operated(number) | Self::Purged(number, _) => {
                f.debug_tuple("Operated").field(number).finish()
            }
            Self::Acks(node) => f.debug_tuple("Acks").field(node).finish(),
        }
    }
}
