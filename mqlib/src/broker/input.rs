//! What happens to the broker.

use super::Operation;
use crate::credential::InvitationKey;
use crate::directory::Credential;
use crate::limits::Limits;
use crate::quit::Quit;
use crate::request::{Incoming, NodeName};
use crate::store::SpoolDone;
use std::time::Duration;

/// A connection, by a number that its door chose and never uses again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// A request as a door hands it in: parsed, and with node names turned into keys.
#[derive(Debug)]
pub struct Asked {
    /// The request.
    pub incoming: Incoming,
    /// Its passwords, hashed. A post, which is most of what comes, has none.
    pub names: Option<Box<Names>>,
    /// When it was read, on the monotonic clock, if that is known: for [`Totals::to_ack`](super::Totals::to_ack).
    pub read: Option<Duration>,
}

/// The passwords of a request: node names, and an invitation's token.
#[derive(Debug, Default)]
pub struct Names {
    /// The key of `newNode`.
    pub new_node: Credential,
    /// The key of `prevNode`, or of a login's `nodeId`.
    pub node: Credential,
    /// The name that `new_node` is the key of, if we make it instead of the client.
    pub issued: Option<NodeName>,
    /// What is kept of the invitation that comes along.
    pub invitation: Option<InvitationKey>,
}

impl Asked {
    /// A request that has no node names.
    pub fn without_names(incoming: Incoming) -> Self {
        Self { incoming, names: None, read: None }
    }
}

/// What happens to the broker.
#[derive(Debug)]
pub enum Input {
    /// A connection was made, at this time on the monotonic clock.
    Opened(LinkId, Duration),
    /// It has asked for something that takes its door a while to hand in, a login perhaps.
    Asking(LinkId),
    /// It asks for something.
    Request(LinkId, Asked),
    /// What it sent is no request.
    Invalid(LinkId, Quit),
    /// Its socket has taken all deliveries up to a mark, of so many bytes.
    Written(LinkId, usize),
    /// It is gone, both ways.
    Closed(LinkId),
    /// The operator wants something done. Answered by `Operated` with the same number.
    Operate(u64, Operation),
    /// The operator has set other limits. What was granted before is kept: a timer that runs, a
    /// queue that is longer, a node too many.
    Limits(Box<Limits>),
    /// The store has done something.
    Spool(SpoolDone),
}
