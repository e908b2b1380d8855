//! What a link sends: frames, gathered until they go out with one system call.
//!
//! The mask of a WebSocket client is all zeros, which changes nothing and is undone by the server
//! like any other.

use super::common::Framing;
use std::io;
use std::pin::Pin;
use std::task::{self, Poll, ready};
use tokio::io::AsyncWrite;

/// Bytes to be sent, from `sent` on.
#[derive(Debug)]
pub(crate) struct Outbox {
    framing: Framing,
    bytes: Vec<u8>,
    sent: usize,
}

impl Outbox {
    /// Nothing to send.
    pub(crate) fn new(framing: Framing) -> Self {
        Self { framing, bytes: Vec::new(), sent: 0 }
    }

    /// Queues a message of `len` bytes, which the caller appends to what it is given.
    pub(crate) fn put(&mut self, len: usize) -> &mut Vec<u8> {
        self.head(if self.framing == Framing::Raw { 0x85 } else { 0x82 }, len);
        &mut self.bytes
    }

    /// Queues bytes that are no frame.
    pub(crate) fn put_unframed(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Queues a close frame.
    pub(crate) fn put_close(&mut self) {
        self.head(if self.framing == Framing::Raw { 0x81 } else { 0x88 }, 0);
    }

    /// Queues the answer to a ping, which only a WebSocket has.
    pub(crate) fn put_pong(&mut self, data: &[u8]) {
        self.head(0x8a, data.len());
        self.bytes.extend_from_slice(data);
    }

    fn head(&mut self, first: u8, len: usize) {
        let mask = if self.framing == Framing::Raw { 0 } else { 0x80 };
        self.bytes.push(first);
        match len {
            0..126 => self.bytes.push(mask | len as u8),
            126..0x1_0000 => {
                self.bytes.push(mask | 126);
                self.bytes.extend_from_slice(&(len as u16).to_be_bytes());
            }
            _ => {
                self.bytes.push(mask | 127);
                self.bytes.extend_from_slice(&(len as u64).to_be_bytes());
            }
        }
        if self.framing == Framing::Ws {
            self.bytes.extend_from_slice(&[0; 4]);
        }
    }

    /// Whether there is nothing left to send.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Sends all.
    pub(crate) fn poll_flush<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut task::Context<'_>,
    ) -> Poll<io::Result<()>> {
        while self.sent < self.bytes.len() {
            let stream = Pin::new(&mut *stream);
            self.sent += ready!(stream.poll_write(cx, &self.bytes[self.sent..]))?;
        }
        self.bytes.clear();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use tokio::io::AsyncReadExt;

    #[tokio::test]
    async fn what_a_slow_stream_takes_in_parts_arrives_whole() {
        let (mut near, mut far) = tokio::io::duplex(1000);
        let mut outbox = Outbox::new(Framing::Raw);
        assert!(outbox.is_empty());
        for byte in 1..=3 {
            outbox.put(5000).extend_from_slice(&[byte; 5000]);
        }
        outbox.put_close();
        let expected = outbox.bytes.clone();
        assert!(!outbox.is_empty());
        let mut got = vec![0; expected.len()];
        let flush = poll_fn(|cx| outbox.poll_flush(&mut near, cx));
        let (flushed, read) = tokio::join!(flush, far.read_exact(&mut got));
        flushed.unwrap();
        read.unwrap();
        assert!(got == expected);
        assert!(outbox.is_empty());
    }
}
