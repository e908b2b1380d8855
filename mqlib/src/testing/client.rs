//! A simulated client: one node of one user, who comes and goes.

use crate::broker::LinkId;
use crate::credential::NodeKey;
use crate::directory::Credential;
use crate::id::MessageId;

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
}

impl Client {
    /// The connection is gone.
    pub(super) fn disconnected(&mut self) {
        self.link = None;
        self.logged_in = false;
        self.asking = false;
        self.received.clear();
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
