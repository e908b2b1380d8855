//! Why a connection is closed: the text of the `quit` that goes before the close.

use crate::request::Op;

/// A reason to end a connection. Told to the client, who mends its request or its timing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Quit {
    /// `LLLL` is no length, or more than the message holds.
    #[error("invalid length header")]
    InvalidLength,
    /// The header is not JSON.
    #[error("invalid JSON")]
    InvalidJson,
    /// `op` is missing, not a string, or not a request's.
    #[error("invalid request op")]
    InvalidOp,
    /// Only register, addNode and login are allowed before login.
    #[error("illegal op on unauthenticated socket")]
    IllegalOp,
    /// A parameter is missing or of the wrong type.
    #[error("{} request missing param {}", .0.name(), .1)]
    MissingParam(Op, &'static str),
    /// Bytes follow the header of a request that has no body.
    #[error("message body disallowed for {}", .0.name())]
    BodyDisallowed(Op),
    /// `etc` is no length, reaches beyond the body, or is not JSON.
    #[error("invalid etc")]
    InvalidEtc,
    /// A second login on a connection.
    #[error("already logged in")]
    AlreadyLoggedIn,
    /// Login of a user that is not registered.
    #[error("userId unknown")]
    UserUnknown,
    /// Login with a name that is no node's of that user.
    #[error("nodeId unknown")]
    NodeUnknown,
    /// Another connection holds the node.
    #[error("node already active")]
    NodeActive,
    /// Another connection has taken the node over.
    #[error("taken over")]
    TakenOver,
    /// The node was dropped, by another of its user's or by itself.
    #[error("node dropped")]
    NodeDropped,
    /// The operator has deleted the user.
    #[error("user deleted")]
    UserDeleted,
    /// The operator has disabled the user: nobody logs in as that user until it is enabled.
    #[error("user disabled")]
    UserDisabled,
    /// No login in time.
    #[error("close timeout")]
    LoginTimeout,
    /// The store cannot be read or written; the client tries again later.
    #[error("storage failure")]
    Storage,
    /// A message beyond the limit, refused from its announced length.
    #[error("message too large")]
    MessageTooLarge,
    /// The server has as many connections as it takes; the client tries again later.
    #[error("too many connections")]
    TooManyConnections,
    /// The client's address has as many connections as one may have; it closes some.
    #[error("too many connections from this address")]
    TooManyFromAddress,
    /// The framing is broken.
    #[error("invalid frame")]
    InvalidFrame,
}

impl Quit {
    /// All reasons, as [`reason`](Self::reason) tells them.
    pub const REASONS: [&str; 21] = [
        "invalid_length",
        "invalid_json",
        "invalid_op",
        "illegal_op",
        "missing_param",
        "body_disallowed",
        "invalid_etc",
        "already_logged_in",
        "user_unknown",
        "node_unknown",
        "node_active",
        "taken_over",
        "node_dropped",
        "user_deleted",
        "user_disabled",
        "login_timeout",
        "storage",
        "message_too_large",
        "too_many_connections",
        "too_many_from_address",
        "invalid_frame",
    ];

    /// The reason in a word, without what the client sent: for counting.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::InvalidLength => "invalid_length",
            Self::InvalidJson => "invalid_json",
            Self::InvalidOp => "invalid_op",
            Self::IllegalOp => "illegal_op",
            Self::MissingParam(..) => "missing_param",
            Self::BodyDisallowed(_) => "body_disallowed",
            Self::InvalidEtc => "invalid_etc",
            Self::AlreadyLoggedIn => "already_logged_in",
            Self::UserUnknown => "user_unknown",
            Self::NodeUnknown => "node_unknown",
            Self::NodeActive => "node_active",
            Self::TakenOver => "taken_over",
            Self::NodeDropped => "node_dropped",
            Self::UserDeleted => "user_deleted",
            Self::UserDisabled => "user_disabled",
            Self::LoginTimeout => "login_timeout",
            Self::Storage => "storage",
            Self::MessageTooLarge => "message_too_large",
            Self::TooManyConnections => "too_many_connections",
            Self::TooManyFromAddress => "too_many_from_address",
            Self::InvalidFrame => "invalid_frame",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_quit_has_a_reason_of_its_own_in_the_list() {
        let quits = [
            Quit::InvalidLength,
            Quit::InvalidJson,
            Quit::InvalidOp,
            Quit::IllegalOp,
            Quit::MissingParam(Op::Post, "id"),
            Quit::BodyDisallowed(Op::Login),
            Quit::InvalidEtc,
            Quit::AlreadyLoggedIn,
            Quit::UserUnknown,
            Quit::NodeUnknown,
            Quit::NodeActive,
            Quit::TakenOver,
            Quit::NodeDropped,
            Quit::UserDeleted,
            Quit::UserDisabled,
            Quit::LoginTimeout,
            Quit::Storage,
            Quit::MessageTooLarge,
            Quit::TooManyConnections,
            Quit::TooManyFromAddress,
            Quit::InvalidFrame,
        ];
        assert!(quits.iter().map(Quit::reason).eq(Quit::REASONS));
        assert_eq!(Quit::REASONS.iter().collect::<BTreeSet<_>>().len(), quits.len());
    }
}
