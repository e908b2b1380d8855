//! How large things may get on a link.

/// Limits of one link, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The largest message accepted. A larger one is refused from its announced length.
    ///
    /// It does not bind what is sent. A client wants a little more here than its server: the server
    /// adds a header to what it forwards.
    pub max_message: usize,
    /// Size of the read buffer of a link that is read from, and the largest read of small messages.
    /// A link that is silent keeps none.
    pub read_buffer: usize,
    /// [`Link::poll_ready`](crate::Link::poll_ready) waits for the socket from this many queued
    /// bytes on.
    pub write_buffer: usize,
    /// The largest HTTP head (request or response) of a WebSocket handshake.
    pub max_head: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_message: 16 << 20,
            read_buffer: 16 << 10,
            write_buffer: 16 << 10,
            max_head: 16 << 10,
        }
    }
}
