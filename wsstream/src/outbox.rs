//! The write buffer: small things are gathered, large payloads are shared.
//!
//! A message to a thousand links is queued a thousand times; from [`SHARED`] bytes on all of them
//! hold the same memory. All of it goes out in as few vectored writes as the socket allows.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;

/// Payloads from this size on are not copied. Bytes.
const SHARED: usize = 16 << 10;
/// Small things are gathered in pieces of about this size, so that a full buffer is not much larger
/// than what is in it. Bytes.
const PIECE: usize = 8 << 10;
/// Slices a write: enough for a full socket buffer of the smallest shared payloads.
const SLICES: usize = 64;

/// Bytes to be written: `parts`, then `tail` from `sent` on.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    parts: VecDeque<Bytes>,
    tail: Vec<u8>,
    sent: usize,
    len: usize,
    written: u64,
    /// How long `tail` was when it was last let go.
    last: usize,
}

impl Outbox {
    /// Bytes not yet handed to the socket.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Bytes handed to the socket so far.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Appends by copying.
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        if self.tail.len() >= PIECE && self.tail.len() + bytes.len() > self.tail.capacity() {
            self.begin_part();
        }
        if self.tail.capacity() == 0 {
            // A busy link gathers about as much each time.
            self.tail.reserve(bytes.len().max(self.last.min(SHARED)));
        }
        self.tail.extend_from_slice(bytes);
        self.len += bytes.len();
    }

    /// Appends, sharing the memory if that is worth it.
    pub(crate) fn put_shared(&mut self, bytes: Bytes) {
        if bytes.len() < SHARED {
            return self.put(&bytes);
        }
        self.begin_part();
        self.len += bytes.len();
        self.parts.push_back(bytes);
    }

    /// Makes a part of what is gathered.
    fn begin_part(&mut self) {
        let mut before = Bytes::from(std::mem::take(&mut self.tail));
        before.advance(std::mem::take(&mut self.sent));
        if !before.is_empty() {
            self.parts.push_back(before);
        }
    }

    /// Writes until at most `left` bytes are queued.
    pub(crate) fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
        left: usize,
    ) -> Poll<io::Result<()>> {
        while self.len > left {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let queued = self.parts.iter().map(|part| &part[..]);
            let queued = queued.chain([&self.tail[self.sent..]]).filter(|part| !part.is_empty());
            let mut count = 0;
            for (slice, part) in slices.iter_mut().zip(queued) {
                *slice = IoSlice::new(part);
                count += 1;
            }
            let slices = &slices[..count];
            let written = ready!(Pin::new(&mut *stream).poll_write_vectored(cx, slices))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, mut count: usize) {
        self.len -= count;
        self.written += count as u64;
        while let Some(part) = self.parts.front_mut() {
            if count < part.len() {
                return part.advance(count);
            }
            count -= part.len();
            self.parts.pop_front();
        }
        self.sent += count;
        if self.len == 0 {
            self.sent = 0;
            // Who has nothing to send keeps no buffer.
            self.last = self.tail.len();
            self.tail = Vec::new();
            self.parts = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes a few bytes at a time.
    struct Sip(Vec<u8>);

    impl AsyncWrite for Sip {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let count = bytes.len().min(5_003);
            self.0.extend_from_slice(&bytes[..count]);
            Poll::Ready(Ok(count))
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn order_survives_partial_writes_of_small_and_shared_parts() {
        let (mut out, mut sip, mut expected) = (Outbox::default(), Sip(Vec::new()), Vec::new());
        for (i, size) in [3, 40_000, 0, 7, SHARED, SHARED - 1, 90_000, 1].into_iter().enumerate() {
            let part = Bytes::from(vec![i as u8; size]);
            expected.extend_from_slice(&part);
            out.put_shared(part);
            if i == 3 {
                std::future::poll_fn(|cx| out.poll_write(&mut sip, cx, 20_000)).await.unwrap();
                assert!(out.len() <= 20_000);
            }
        }
        std::future::poll_fn(|cx| out.poll_write(&mut sip, cx, 0)).await.unwrap();
        assert!(sip.0 == expected);
        assert_eq!(out.len(), 0);
    }

    #[test]
    fn a_full_outbox_is_not_much_larger_than_what_is_in_it() {
        let mut out = Outbox::default();
        for _ in 0..40 {
            out.put(&[0; 1000]);
        }
        assert_eq!(out.len(), 40_000);
        assert!(out.parts.iter().all(|part| part.len() <= 2 * PIECE));
        assert!(out.tail.capacity() <= 2 * PIECE);
    }

    #[tokio::test]
    async fn an_empty_outbox_keeps_no_memory() {
        let mut out = Outbox::default();
        for _ in 0..1000 {
            out.put(&[0; 1000]);
        }
        std::future::poll_fn(|cx| out.poll_write(&mut Sip(Vec::new()), cx, 0)).await.unwrap();
        assert_eq!(out.tail.capacity(), 0);
    }
}
