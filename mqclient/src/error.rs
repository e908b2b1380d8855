//! What can go wrong, and who acts on it.

use crate::tls::distrust;
use std::io;
use std::path::Path;

/// Why a request failed, or why the client ended.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The caller corrects the server's address.
    #[error("not a server's address: {0} (expected ws://, wss://, mq:// or mqs://host:port)")]
    Address(String),
    /// The server cannot be reached: whoever runs it starts it, or the caller tries again later.
    #[error("cannot connect to {address}: {reason}")]
    Connect {
        /// Where.
        address: String,
        /// Why not.
        reason: String,
    },
    /// One side does not trust the other: the caller names other roots, shows another certificate, or
    /// corrects the host's name; or whoever runs the server mends its certificate.
    #[error("no trust between this client and {address}: {reason}")]
    Untrusted {
        /// Where.
        address: String,
        /// Who does not trust whom, and why.
        reason: String,
    },
    /// These are no certificates, or no private key; the caller corrects them.
    #[error("TLS: {0}")]
    Tls(String),
    /// The link broke before the answer came; the caller tries again.
    #[error("the link to the server broke: {0}")]
    Lost(String),
    /// No such user: the caller registers it, or corrects the name.
    #[error("the server knows no such user")]
    UserUnknown,
    /// No such node: the caller adds it, or corrects the name.
    #[error("the user has no such node")]
    NodeUnknown,
    /// Another connection holds the node: the caller ends that one, or waits.
    #[error("the node is already active on another connection")]
    NodeActive,
    /// Another connection has taken the node over; the caller leaves it to that one.
    #[error("another connection has taken the node over")]
    TakenOver,
    /// The user is registered already; the caller logs in, or takes another name.
    #[error("the user exists")]
    UserExists,
    /// The server ended the connection for a reason that trying again does not cure. The caller
    /// reads the text; if it names an invalid request, that is a bug of this crate's.
    #[error("the server refuses the connection: {0}")]
    Refused(String),
    /// The server refused this one request; the caller reads the text and corrects it, or tries
    /// again if it speaks of storage.
    #[error("the server refuses the request: {0}")]
    Rejected(String),
    /// No ack came by the deadline that the caller set, and the post is not sent any more. If it was
    /// sent, it may be stored: then the caller asks its recipient, or posts it again and risks that
    /// it arrives twice.
    #[error("not acked by its deadline: {}", match maybe_stored {
        true => "the post may have been stored or not",
        false => "the post was not sent",
    })]
    Deadline {
        /// Was it sent?
        maybe_stored: bool,
    },
    /// The outbox or the memory on disk cannot be used, or is full; whoever runs the program makes
    /// room, or mends what the text names. A post that is refused for this was not sent.
    #[error("{path}: {reason}")]
    Disk {
        /// The file or directory.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// The message exceeds the limit; the caller makes it smaller.
    #[error("the message is larger than {0} bytes")]
    TooLarge(usize),
    /// The header, with all its recipients, exceeds 65,535 bytes; the caller names fewer.
    #[error("too many recipients for one message")]
    HeaderTooLong,
    /// An argument that the protocol has no meaning for; the caller corrects it.
    #[error("invalid argument: {0}")]
    Argument(&'static str),
    /// The peer speaks another protocol; the caller corrects the address.
    #[error("the peer is no websocket.MQ server: {0}")]
    Protocol(String),
    /// The client was closed or dropped before the answer came. A post may have arrived or not.
    #[error("the client is closed")]
    Closed,
}

impl Error {
    pub(crate) fn disk(path: &Path, reason: impl ToString) -> Self {
        Self::Disk { path: path.display().to_string(), reason: reason.to_string() }
    }

    pub(crate) fn connect(address: &str, error: &io::Error) -> Self {
        let address = address.to_owned();
        match distrust(error) {
            Some(reason) => Self::Untrusted { address, reason },
            None => Self::Connect { address, reason: error.to_string() },
        }
    }
}
