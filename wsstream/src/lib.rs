//! Whole messages in, whole messages out, over one byte stream.
//!
//! Two framings share a port and the first byte tells them apart: `G` opens the HTTP `GET` of a
//! WebSocket (RFC 6455), anything else is the stream the original's clients speak (draft-04 of
//! WebSocket, without its handshake). A [`Link`] hides which of the two it is.
//!
//! A link has one owner, which reads and writes it from one task: no locks, no halves. It is
//! generic over the stream, so TCP, TLS (both are a [`Stream`]) and a test's pipe are the same to it.
//!
//! The story: [`Link::accept`] reads the first byte and shakes hands; bytes gather in one read
//! buffer until the framing (`raw` or `websocket`) finds a whole frame in it; what is sent gathers
//! in the `outbox` until it is flushed in one write; [`Link::close`] says goodbye.
//!
//! Memory follows what has arrived, never what was announced, and an idle link keeps no
//! buffer. The owner sets `TCP_NODELAY`, keepalive and deadlines: there is no clock here
//! but in [`Link::close`].

mod buffer;
mod closing;
mod error;
mod handshake;
mod limits;
mod link;
mod outbox;
mod raw;
mod stream;
mod websocket;

pub use error::Error;
pub use limits::Limits;
pub use link::{Framing, Link};
pub use raw::{RawCodec, RawFrame};
pub use stream::Stream;
