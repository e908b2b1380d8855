//! A simulated client: one node of one user, who comes and goes.

use crate::broker::LinkId;
use crate::credential::NodeKey;
use crate::directory::Credential;
use crate::id::MessageId;
use crate::request::Request;
use std::collections::{BTreeMap, VecDeque};

/// Users in the world.
pub(super) const USERS: usize = 3;
/// Nodes of each.
pub(super) const NODES: usize = 3;

/// A client.
#[derive(Debug, Default)]
pub(super) struct Client {
    pub(super) link: Option<LinkId>,
    pub(super) logged_in: bool,
    /// It got a window and marks at its login.
    pub(super) speaks_v2: bool,
    /// A register, addNode or login was sent and not answered.
    pub(super) asking: bool,
    /// The server has said that the node exists.
    pub(super) confirmed: bool,
    /// Delivered and not acked.
    pub(super) received: Vec<MessageId>,
    /// Posts of version 1 without an answer.
    pub(super) loose: Vec<u64>,
    /// Posts of version 2 without an answer, by their numbers.
    pub(super) unacked: BTreeMap<u64, Request>,
    /// Those of them that are to be posted once more, before any other.
    pub(super) reposts: VecDeque<u64>,
}

impl Client {
    /// The connection is gone.
    pub(super) fn disconnected(&mut self) {
        self.link = None;
        self.logged_in = false;
        self.asking = false;
        self.received.clear();
        self.reposts = self.unacked.keys().copied().collect();
    }
}

/// The user's name.
pub(super) fn user(number: usize) -> String {
    format!("User {number}")
}

/// The key of a user's node.
pub(super) fn key(user: usize, node: usize) -> Credential {
    Credential::Key(NodeKey([(user * NODES + node) as u8; 32]))
}
