//! Why the directory was not changed.

use super::InviteError;

/// The operator named a user that does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no such user")]
pub struct NoUser;

/// Why a user was not registered, or its aliases not replaced. Told to the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    /// The name is taken; these are that user's aliases.
    #[error("user exists")]
    Exists(String),
    /// A user needs a first node.
    #[error("new nodename required")]
    NodeRequired,
    /// The node's name has the form of one that only we issue.
    #[error("new nodename reserved")]
    NodeReserved,
    /// Nobody, or not this client, may register.
    #[error(transparent)]
    NotInvited(#[from] InviteError),
    /// More aliases than a user may have.
    #[error("too many aliases: aliases_per_user is {0}")]
    TooManyAliases(usize),
    /// A name is empty, too long, or not printable.
    #[error("invalid name")]
    InvalidName,
    /// Logged in, one can only replace one's own aliases.
    #[error("no such user")]
    NotOneself,
    /// Logged in, a register takes no node.
    #[error("prev nodename invalid")]
    NodeUnwanted,
}

/// Why a node was not added. Told to the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddNodeError {
    /// A node needs a name.
    #[error("new nodename required")]
    NodeRequired,
    /// The name has the form of one that only we issue.
    #[error("new nodename reserved")]
    NodeReserved,
    /// The name is too long or not printable.
    #[error("invalid name")]
    InvalidName,
    /// No such user.
    #[error("userId unknown")]
    UserUnknown,
    /// The credential is no node's name.
    #[error("nodeId unknown")]
    NodeUnknown,
    /// The same, logged in.
    #[error("prev nodename invalid")]
    PrevInvalid,
    /// The user has 100 nodes.
    #[error("no offsets available")]
    NoOffsets,
    /// The user has as many nodes as the operator allows.
    #[error("too many nodes: nodes_per_user is {0}")]
    TooManyNodes(usize),
    /// The name is that of the node at this offset.
    #[error("new nodename exists")]
    Exists(u8),
    /// The operator has disabled the user.
    #[error("user disabled")]
    Disabled,
}

/// Why a node was not dropped. Told to the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DropNodeError {
    /// The user has no node at this offset.
    #[error("node {0} not found")]
    NotFound(u64),
    /// It is the user's only one, without which nobody could log in as that user, or be added.
    #[error("node {0} is the last one")]
    Last(u64),
}
