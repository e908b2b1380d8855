//! One link of the load: a socket and both framings, as far as a benchmark needs them.
//!
//! What the load costs is taken from the server, since they share a machine. So a message is looked
//! at where it was read and written where it is sent from (`outbox`), with one system call for all
//! that there is. wsstream allocates and copies for each message, for reasons that a server and a
//! real client have, and this has not.

use super::common::Framing;
use super::origin::Origin;
use super::outbox::Outbox;
use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{self, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::time::timeout;
use wsstream::Stream;

/// Many small messages come with one read. Bytes.
const READ: usize = 32 << 10;
/// The longest frame taken: deliveries are a little larger than what was posted. Bytes.
const LONGEST: usize = 64 << 20;
/// How long the server may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(2);
/// The key of RFC 6455's example, and the answer to it.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
const END_OF_HEAD: &[u8] = b"\r\n\r\n";

/// A link.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: Stream,
    framing: Framing,
    /// What was read, from `start` to `end`.
    read: Vec<u8>,
    start: usize,
    end: usize,
    /// What is to be sent.
    pub(crate) outbox: Outbox,
}

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Frame {
    Message,
    Ping,
    Pong,
    Close,
}

impl Wire {
    /// Connects, and shakes hands. The caller sets the deadline.
    pub(crate) async fn connect(
        addr: SocketAddr,
        framing: Framing,
        origin: Origin,
    ) -> anyhow::Result<Self> {
        Self::over(origin.connect(addr).await?.into(), addr, framing).await
    }

    /// The same over a connection that is there.
    pub(crate) async fn over(
        stream: Stream,
        addr: SocketAddr,
        framing: Framing,
    ) -> anyhow::Result<Self> {
        let outbox = Outbox::new(framing);
        let mut wire = Self { stream, framing, read: vec![0; READ], start: 0, end: 0, outbox };
        if framing == Framing::Ws {
            wire.shake_hands(addr).await.context("no WebSocket")?;
        }
        Ok(wire)
    }

    /// The socket below, for its options.
    pub(crate) fn get_ref(&self) -> &Stream {
        &self.stream
    }

    /// The same, to send what is no message.
    pub(crate) fn stream_mut(&mut self) -> &mut Stream {
        &mut self.stream
    }

    async fn shake_hands(&mut self, addr: SocketAddr) -> anyhow::Result<()> {
        let ask = format!(
            "GET /mq HTTP/1.1\r\nHost: {addr}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        );
        self.outbox.put_unframed(ask.as_bytes());
        self.flush().await?;
        loop {
            let read = &self.read[self.start..self.end];
            let end = read.windows(END_OF_HEAD.len()).position(|part| part == END_OF_HEAD);
            if let Some(end) = end {
                let head = String::from_utf8_lossy(&read[..end]);
                let accepted = head.starts_with("HTTP/1.1 101 ") && head.contains(ACCEPT);
                ensure!(accepted, "the server answers {head:?}");
                self.start += end + END_OF_HEAD.len();
                return Ok(());
            }
            poll_fn(|cx| self.poll_read(cx)).await?;
        }
    }

    /// Reads what is there, once. Call [`next`](Self::next) until it has no more before.
    pub(crate) fn poll_read(&mut self, cx: &mut task::Context<'_>) -> Poll<anyhow::Result<()>> {
        let mut room = ReadBuf::new(&mut self.read[self.end..]);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut room))?;
        let count = room.filled().len();
        self.end += count;
        Poll::Ready(if count > 0 { Ok(()) } else { Err(closed()) })
    }

    /// The next whole message of what was read, where it lies.
    pub(crate) fn next(&mut self) -> anyhow::Result<Option<&[u8]>> {
        loop {
            let read = &self.read[self.start..self.end];
            let Some((frame, head, len)) = parse(self.framing, read)? else {
                self.make_room(0);
                return Ok(None);
            };
            ensure!(len <= LONGEST, "the server sends a frame of {len} bytes");
            let at = self.start + head;
            if self.end < at + len {
                self.make_room(head + len);
                return Ok(None);
            }
            self.start = at + len;
            match frame {
                Frame::Message => return Ok(Some(&self.read[at..at + len])),
                Frame::Pong => {}
                Frame::Close => return Err(closed()),
                Frame::Ping => self.outbox.put_pong(&self.read[at..at + len]),
            }
        }
    }

    /// Makes room behind what was read, for a whole frame at least.
    fn make_room(&mut self, whole: usize) {
        self.read.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.read.len() < whole {
            self.read.resize(whole, 0);
        }
    }

    /// Sends all that is queued.
    pub(crate) fn poll_flush(&mut self, cx: &mut task::Context<'_>) -> Poll<io::Result<()>> {
        self.outbox.poll_flush(&mut self.stream, cx)
    }

    async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// Sends a message.
    pub(crate) async fn send(&mut self, message: &[u8]) -> anyhow::Result<()> {
        self.outbox.put(message.len()).extend_from_slice(message);
        Ok(self.flush().await?)
    }

    /// The next message.
    pub(crate) async fn message(&mut self) -> anyhow::Result<Bytes> {
        loop {
            if let Some(message) = self.next()? {
                return Ok(Bytes::copy_from_slice(message));
            }
            poll_fn(|cx| self.poll_read(cx)).await?;
        }
    }

    /// Says goodbye, and waits a while until the server is gone.
    pub(crate) async fn close(mut self) {
        self.outbox.put_close();
        let goodbye = async {
            self.flush().await?;
            self.stream.shutdown().await?;
            loop {
                // Nobody wants it any more.
                (self.start, self.end) = (0, 0);
                poll_fn(|cx| self.poll_read(cx)).await?;
            }
        };
        let _: Result<anyhow::Result<()>, _> = timeout(GOODBYE, goodbye).await;
    }
}

fn closed() -> anyhow::Error {
    anyhow::anyhow!("the server has closed the link")
}

/// The frame at the front: what it is, and the lengths of head and payload.
fn parse(framing: Framing, read: &[u8]) -> anyhow::Result<Option<(Frame, usize, usize)>> {
    let &[first, second, ref rest @ ..] = read else { return Ok(None) };
    let (head, len) = match (second & 0x7f, rest) {
        (126, &[a, b, ..]) => (4, u64::from(u16::from_be_bytes([a, b]))),
        (127, &[a, b, c, d, e, f, g, h, ..]) => {
            let len = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
            // The original wrote the same 32 bits twice.
            (10, if framing == Framing::Raw { len & 0xffff_ffff } else { len })
        }
        (126.., _) => return Ok(None),
        (len, _) => (2, len.into()),
    };
    let frame = match (framing, first) {
        (Framing::Raw, _) if first & 0x0f == 1 => Frame::Close,
        (Framing::Raw, _) | (Framing::Ws, 0x81 | 0x82) => Frame::Message,
        (Framing::Ws, 0x88) => Frame::Close,
        (Framing::Ws, 0x89) => Frame::Ping,
        (Framing::Ws, 0x8a) => Frame::Pong,
        _ => bail!("the server sends a frame that begins with {first:#x}"),
    };
    ensure!(framing == Framing::Raw || second & 0x80 == 0, "the server sends a masked frame");
    Ok(Some((frame, head, len as usize)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::{TcpListener, TcpStream};
    use wsstream::{Limits, Link};

    /// A link of ours, and the server's side of it.
    async fn pair(framing: Framing) -> (Wire, Link<TcpStream>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let accept = async {
            let (stream, _) = listener.accept().await.unwrap();
            Link::accept(stream, &Limits::default()).await.unwrap()
        };
        let connect = async {
            let mut wire = Wire::connect(addr, framing, Origin::default()).await.unwrap();
            wire.send(b"hello").await.unwrap();
            wire
        };
        let (mut link, wire) = tokio::join!(accept, connect);
        assert_eq!(link.message().await.unwrap().unwrap(), "hello");
        (wire, link)
    }

    #[tokio::test]
    async fn messages_of_all_sizes_arrive_in_both_directions_and_framings() {
        for framing in [Framing::Raw, Framing::Ws] {
            let (mut wire, mut link) = pair(framing).await;
            for size in [0, 1, 125, 126, 65_535, 65_536, 3 << 20] {
                let message = Bytes::from_iter((0..size).map(|at| at as u8));
                let (sent, got) = tokio::join!(wire.send(&message), link.message());
                sent.unwrap();
                assert!(got.unwrap().unwrap() == message, "{framing:?} {size}");
                let (sent, got) = tokio::join!(link.send(message.clone()), wire.message());
                sent.unwrap();
                assert!(got.unwrap() == message, "{framing:?} {size}");
            }
        }
    }

    #[tokio::test]
    async fn of_what_is_read_at_once_each_message_is_found() {
        let (mut wire, mut link) = pair(Framing::Ws).await;
        let messages = (0..3000).map(|nth| Bytes::from(vec![nth as u8; nth % 200]));
        let messages = Vec::from_iter(messages);
        for message in &messages {
            link.start_send(message.clone()).unwrap();
        }
        let sending = poll_fn(|cx| link.poll_flush(cx));
        let reading = async {
            for message in &messages {
                assert_eq!(wire.message().await.unwrap(), message);
            }
        };
        tokio::join!(sending, reading).0.unwrap();
    }

    #[tokio::test]
    async fn a_ping_is_answered_and_a_close_is_an_error() {
        let (mut wire, mut link) = pair(Framing::Ws).await;
        let before = link.received();
        assert!(link.start_ping().unwrap());
        link.send(Bytes::from_static(b"x")).await.unwrap();
        assert_eq!(wire.message().await.unwrap(), "x");
        wire.send(b"y").await.unwrap();
        assert_eq!(link.message().await.unwrap().unwrap(), "y");
        assert_eq!(link.received() - before, 6 + 7);
        let closing = link.close(None, Duration::from_millis(10));
        let (got, ()) = tokio::join!(wire.message(), closing);
        assert!(got.is_err());
    }

    #[tokio::test]
    async fn the_server_is_told_goodbye() {
        for framing in [Framing::Raw, Framing::Ws] {
            let (wire, mut link) = pair(framing).await;
            let server = async {
                assert!(link.message().await.is_none());
                assert!(link.peer_closed());
                link.close(None, GOODBYE).await;
            };
            let start = std::time::Instant::now();
            tokio::join!(wire.close(), server);
            assert!(start.elapsed() < GOODBYE / 2, "neither waits for the other");
        }
    }

    #[tokio::test]
    async fn a_server_that_speaks_no_websocket_is_refused() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"HTTP/1.1 404 Not Found\r\n\r\n").await.unwrap();
            stream
        };
        let (_stream, wire) =
            tokio::join!(server, Wire::connect(addr, Framing::Ws, Origin::default()));
        assert!(format!("{:#}", wire.unwrap_err()).contains("404"));
    }

    #[test]
    fn frames_that_no_server_sends_are_refused() {
        for frame in [[0x02, 0x00], [0x80, 0x00], [0x82, 0x81], [0xc2, 0x00]] {
            assert!(parse(Framing::Ws, &frame).is_err(), "{frame:x?}");
        }
        assert_eq!(parse(Framing::Ws, &[0x82]).unwrap(), None);
        assert_eq!(parse(Framing::Ws, &[0x82, 126, 1]).unwrap(), None);
    }
}
