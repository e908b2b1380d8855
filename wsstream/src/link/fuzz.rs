//! Fuzz targets: bytes of a stranger, in chunks of any size, to a link of either framing and role.
//!
//! `cargo test` runs each on its corpus and some random inputs; `mqtest/fuzz/run` for long.
//! An input is a byte of choices, chunk sizes, and the stream.

use super::*;
use crate::handshake;
use std::io;
use std::pin::pin;
use std::task::Waker;
use tokio::io::ReadBuf;

/// Runs of a target in `cargo test`, besides its corpus.
const RUNS: usize = 2000;

/// A peer that says `incoming` in chunks of `cuts`, over and over, and takes what it is told.
#[derive(Debug)]
struct Peer<'a> {
    incoming: &'a [u8],
    cuts: &'a [u8],
    turn: usize,
    paused: bool,
    told: Vec<u8>,
}

impl AsyncRead for Peer<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let cuts = self.cuts;
        let chunk = cuts.get(self.turn % cuts.len().max(1)).map_or(usize::MAX, |cut| (*cut).into());
        self.turn += 1;
        // Nothing comes now: at times, and once before the end, when all that is held shows.
        let silent = chunk == 0 && cuts.iter().any(|cut| *cut > 0);
        if silent || self.incoming.is_empty() && !self.paused {
            self.paused |= self.incoming.is_empty();
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let count = chunk.max(1).min(buf.remaining()).min(self.incoming.len());
        let (now, later) = self.incoming.split_at(count);
        buf.put_slice(now);
        self.incoming = later;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Peer<'_> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.told.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// The choices, the chunk sizes and the stream in an input.
fn parts(input: &[u8]) -> (u8, &[u8], &[u8]) {
    let (&choices, rest) = input.split_first().unwrap_or((&0, &[]));
    let cuts = usize::from(choices >> 4).min(rest.len());
    let (cuts, stream) = rest.split_at(cuts);
    (choices, cuts, stream)
}

/// Small, so that short inputs meet them; or a large message, of which memory must not be kept.
fn limits(large: bool) -> Limits {
    let max_message = if large { 16 << 20 } else { 300 };
    Limits { max_message, read_buffer: 64, max_head: 600, ..Limits::default() }
}

fn link<'a>(codec: Codec, limits: &Limits, cuts: &'a [u8], incoming: &'a [u8]) -> Link<Peer<'a>> {
    let peer = Peer { incoming, cuts, turn: 0, paused: false, told: Vec::new() };
    Link::new(peer, codec, BytesMut::new(), limits)
}

/// What a link heard: the messages, how it ended, and what it answered by itself.
fn hear(mut link: Link<Peer<'_>>, limits: &Limits) -> (Vec<Bytes>, String, Vec<u8>) {
    let mut cx = Context::from_waker(Waker::noop());
    let (mut messages, mut held) = (Vec::new(), 0);
    loop {
        let heard = link.poll_message(&mut cx);
        // A length that is announced costs its sender nothing.
        let most = (1 << 16).max(2 * link.received as usize) + 2 * link.read_buffer;
        assert!(link.read.capacity() <= most, "{} bytes held", link.read.capacity());
        match heard {
            Poll::Pending => continue,
            Poll::Ready(Some(Ok(message))) => {
                assert!(message.len() <= limits.max_message);
                held += message.len();
                assert!(held <= link.received as usize, "more came out than went in");
                messages.push(message);
            }
            Poll::Ready(Some(Err(error))) => {
                assert!(link.poll_message(&mut cx).is_ready());
                return (messages, error.to_string(), link.stream.told);
            }
            Poll::Ready(None) => {
                let end = format!("{:?}", link.peer);
                return (messages, end, link.stream.told);
            }
        }
    }
}

/// What `sender` makes of messages, as it goes over the wire.
fn say(mut sender: Link<Peer<'_>>, messages: &[Bytes]) -> Vec<u8> {
    for message in messages {
        sender.start_send(message.clone()).unwrap();
    }
    let flushed = sender.poll_flush(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(flushed, Poll::Ready(Ok(()))));
    sender.stream.told
}

/// Chunks do not matter; what was heard can be said again; and the peer understands what a link
/// answers by itself.
fn check(input: &[u8], codec: fn(&Limits) -> Codec, opposite: fn(&Limits) -> Codec) {
    let (choices, cuts, stream) = parts(input);
    let limits = limits(choices & 1 == 1);
    let whole = hear(link(codec(&limits), &limits, &[], stream), &limits);
    let (messages, end, _) = hear(link(codec(&limits), &limits, cuts, stream), &limits);
    assert_eq!((&messages, &end), (&whole.0, &whole.1), "in chunks");

    let said = say(link(opposite(&limits), &limits, &[], &[]), &messages);
    let (again, end, _) = hear(link(codec(&limits), &limits, cuts, &said), &limits);
    assert_eq!((&again, end.as_str()), (&messages, "Gone"), "said again");

    let (heard, end, _) = hear(link(opposite(&limits), &limits, &[], &whole.2), &limits);
    assert!(heard.is_empty() && end == "Gone", "an answer that means {heard:?}, {end}");
}

fn raw(limits: &Limits) -> Codec {
    Codec::Raw(RawCodec::new(limits))
}

fn server(limits: &Limits) -> Codec {
    Codec::WebSocket(Box::new(WebSocket::new(Role::Server, limits)))
}

fn client(limits: &Limits) -> Codec {
    Codec::WebSocket(Box::new(WebSocket::new(Role::Client, limits)))
}

#[test]
fn raw_frames() {
    bolero::check!().with_iterations(RUNS).for_each(|input| check(input, raw, raw));
}

#[test]
fn websocket_frames_to_a_server() {
    bolero::check!().with_iterations(RUNS).for_each(|input| check(input, server, client));
}

#[test]
fn websocket_frames_to_a_client() {
    bolero::check!().with_iterations(RUNS).for_each(|input| check(input, client, server));
}

/// Runs what needs a clock.
fn block_on<F: Future>(future: F) -> F::Output {
    thread_local! {
        static RUNTIME: tokio::runtime::Runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    }
    RUNTIME.with(|runtime| runtime.block_on(future))
}

#[test]
fn handshake_of_a_server() {
    bolero::check!().with_iterations(RUNS).for_each(|input| {
        let (_, cuts, stream) = parts(input);
        let limits = limits(false);
        let answer = |cuts| {
            let mut peer =
                Peer { incoming: stream, cuts, turn: 0, paused: false, told: Vec::new() };
            let mut read = BytesMut::new();
            let answered = block_on(handshake::answer(&mut peer, &mut read, &limits));
            assert!(read.capacity() <= 2 * limits.max_head + stream.len());
            let read = answered.is_ok().then(|| [&read[..], peer.incoming].concat());
            (answered.map_err(|error| error.to_string()), read, peer.told)
        };
        let whole = answer(&[]);
        // A head is as long as its last read makes it, up to one read beyond the limit.
        if stream.len() <= limits.max_head {
            assert_eq!(answer(cuts), whole);
        }
    });
}

#[test]
fn handshake_of_a_client() {
    bolero::check!().with_iterations(RUNS).for_each(|input| {
        let (choices, cuts, stream) = parts(input);
        let (url, stream) = stream.split_at(usize::from(choices & 15).min(stream.len()));
        let url = format!("ws://{}", String::from_utf8_lossy(url));
        let peer = Peer { incoming: stream, cuts, turn: 0, paused: false, told: Vec::new() };
        let limits = limits(false);
        let mut asking = pin!(Link::connect_ws(peer, &url, &limits));
        let mut cx = Context::from_waker(Waker::noop());
        while asking.as_mut().poll(&mut cx).is_pending() {}
    });
}
