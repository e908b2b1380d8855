//! What can go wrong on a link, and what the peer is told.

use std::io;

use tokio_tungstenite::tungstenite::error::{CapacityError, Error as WsError};

/// Why a link ended, or never began. After any of these no further message comes; the owner calls
/// [`Link::close`](crate::Link::close) and, where the peer is at fault, gives it
/// [`quit_text`](Error::quit_text) to send.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The socket failed. Nobody can act; the client connects again.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A message beyond [`Limits::max_message`](crate::Limits::max_message), refused before it was
    /// received. The sender must send less, or the operator raise the limit.
    #[error("message of {size} bytes, the limit is {limit}")]
    MessageTooLarge {
        /// Bytes announced, or, of a fragmented message, known so far.
        size: u64,
        /// The limit in force, in bytes.
        limit: usize,
    },
    /// No WebSocket came about: the text says what the peer asked or answered. A server has sent
    /// the HTTP error response already.
    #[error("WebSocket handshake: {0}")]
    Handshake(String),
    /// The peer broke RFC 6455. The author of the peer must act.
    #[error("WebSocket protocol: {0}")]
    Protocol(String),
}

impl Error {
    /// The text of the `quit` a server sends before it closes; `None` if the link cannot carry one.
    pub fn quit_text(&self) -> Option<&'static str> {
        match self {
            Self::MessageTooLarge { .. } => Some("message too large"),
            Self::Protocol(_) => Some("invalid frame"),
            Self::Io(_) | Self::Handshake(_) => None,
        }
    }

    /// An error for a link whose peer has said that it will read nothing more.
    pub(crate) fn peer_closed() -> Self {
        io::Error::new(io::ErrorKind::BrokenPipe, "the peer has closed the link").into()
    }
}

impl From<WsError> for Error {
    fn from(error: WsError) -> Self {
        match error {
            WsError::Io(error) => Self::Io(error),
            WsError::Capacity(CapacityError::MessageTooLong { size, max_size }) => {
                Self::MessageTooLarge { size: size as u64, limit: max_size }
            }
            WsError::ConnectionClosed | WsError::AlreadyClosed => Self::peer_closed(),
            other => Self::Protocol(other.to_string()),
        }
    }
}
