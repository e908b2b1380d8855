//! A link that speaks the draft-04 stream, on real sockets.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{WAIT, pair, rest, sockets};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wsstream::{Error, Framing, Limits, Link};

/// A server's link and the bare socket of its client, which has sent `first`.
async fn server(first: &[u8], limits: &Limits) -> (Link<TcpStream>, TcpStream) {
    let (server, mut client) = sockets().await;
    client.write_all(first).await.unwrap();
    (Link::accept(server, limits).await.unwrap(), client)
}

#[tokio::test]
async fn any_first_byte_but_g_is_a_raw_link() {
    let (mut link, _client) = server(&[0x85, 2, b'h', b'i'], &Limits::default()).await;
    assert_eq!(link.framing(), Framing::Raw);
    assert_eq!(link.message().await.unwrap().unwrap(), "hi");
}

#[tokio::test]
async fn messages_of_all_sizes_go_both_ways() {
    let (mut server, mut client) = pair(Framing::Raw, &Limits::default()).await;
    for size in [0, 1, 125, 126, 4_000, 4_096, 5_000, 65_535, 65_536, 3 << 20, 10] {
        let sent = Bytes::from(vec![size as u8; size]);
        let (sending, got) = tokio::join!(client.send(sent.clone()), server.message());
        sending.unwrap();
        assert!(got.unwrap().unwrap() == sent);
        let (sending, got) = tokio::join!(server.send(sent.clone()), client.message());
        sending.unwrap();
        assert!(got.unwrap().unwrap() == sent);
    }
}

#[tokio::test]
async fn nothing_is_sent_before_the_flush() {
    let (mut link, mut client) = server(&[0x85, 1, 7], &Limits::default()).await;
    for _ in 0..3 {
        link.start_send(Bytes::from_static(b"x")).unwrap();
    }
    assert_eq!(link.queued(), 9);
    let mut buffer = [0; 100];
    let early = tokio::time::timeout(Duration::from_millis(30), client.read(&mut buffer)).await;
    assert!(early.is_err());
    std::future::poll_fn(|cx| link.poll_flush(cx)).await.unwrap();
    assert_eq!(link.queued(), 0);
    assert_eq!(client.read(&mut buffer).await.unwrap(), 9);
    assert_eq!(&buffer[..9], [0x85, 1, b'x', 0x85, 1, b'x', 0x85, 1, b'x']);
}

#[tokio::test]
async fn a_dropped_wait_for_a_message_loses_nothing() {
    let (mut link, mut client) = server(&[0x85, 2, b'a'], &Limits::default()).await;
    let early = tokio::time::timeout(Duration::from_millis(30), link.message()).await;
    assert!(early.is_err());
    client.write_all(&[b'b', 0x85, 1, b'c']).await.unwrap();
    assert_eq!(link.message().await.unwrap().unwrap(), "ab");
    assert_eq!(link.message().await.unwrap().unwrap(), "c");
}

#[tokio::test]
async fn a_close_frame_is_answered_with_a_close_frame() {
    let (mut link, mut client) = server(&[0x85, 1, 7, 0x81, 0], &Limits::default()).await;
    assert!(link.message().await.unwrap().is_ok());
    assert!(link.message().await.is_none());
    assert!(link.peer_closed());
    assert!(link.start_send(Bytes::from_static(b"late")).is_err());
    let closing = tokio::spawn(link.close(Some(Bytes::from_static(b"late")), WAIT));
    assert_eq!(rest(&mut client).await, [0x81, 0]);
    drop(client);
    closing.await.unwrap();
}

#[tokio::test]
async fn a_bare_fin_is_answered_with_a_fin() {
    let (mut link, mut client) = server(&[0x85, 9, 7], &Limits::default()).await;
    client.shutdown().await.unwrap();
    assert!(link.message().await.is_none());
    assert!(!link.peer_closed());
    link.close(Some(Bytes::from_static(b"quit")), WAIT).await;
    assert_eq!(rest(&mut client).await, []);
}

#[tokio::test]
async fn our_close_is_quit_then_close_frame_then_fin_then_waits_for_the_peers_fin() {
    let (mut link, mut client) = server(&[0x85, 1, 7], &Limits::default()).await;
    assert!(link.message().await.unwrap().is_ok());
    let closing = tokio::spawn(link.close(Some(Bytes::from_static(b"quit")), WAIT));
    assert_eq!(rest(&mut client).await, b"\x85\x04quit\x81\x00");
    client.write_all(&[0x85; 5000]).await.unwrap();
    assert!(!closing.is_finished());
    client.shutdown().await.unwrap();
    closing.await.unwrap();
}

#[tokio::test]
async fn a_peer_that_never_hangs_up_is_left_after_the_wait() {
    let (link, mut client) = server(&[0x85, 1, 7], &Limits::default()).await;
    let start = Instant::now();
    link.close(None, Duration::from_millis(100)).await;
    assert!(start.elapsed() >= Duration::from_millis(90));
    assert!(start.elapsed() < WAIT);
    assert_eq!(rest(&mut client).await, [0x81, 0]);
}

#[tokio::test]
async fn a_message_too_large_is_refused_and_its_sender_still_told() {
    let limits = Limits { max_message: 1000, ..Limits::default() };
    let (mut link, mut client) = server(&[0x85, 126, 0xff, 0xff], &limits).await;
    let error = link.message().await.unwrap().unwrap_err();
    assert!(matches!(error, Error::MessageTooLarge { size: 65_535, limit: 1000 }), "{error}");
    assert!(link.message().await.is_none());
    let quit = Bytes::from_static(error.quit_text().unwrap().as_bytes());
    let closing = tokio::spawn(link.close(Some(quit), WAIT));
    client.write_all(&[1; 65_535]).await.unwrap();
    assert_eq!(rest(&mut client).await, b"\x85\x11message too large\x81\x00");
    drop(client);
    closing.await.unwrap();
}

#[tokio::test]
async fn a_full_queue_waits_for_the_peer_to_read() {
    let (mut link, mut client) = server(&[0x85, 1, 7], &Limits::default()).await;
    let mut queued = 0;
    let full = async {
        loop {
            std::future::poll_fn(|cx| link.poll_ready(cx)).await.unwrap();
            link.start_send(Bytes::from(vec![1; 10_000])).unwrap();
            queued += 10_004;
        }
    };
    assert!(tokio::time::timeout(Duration::from_millis(300), full).await.is_err());
    assert!(link.queued() < (64 << 10) + 10_004, "{}", link.queued());
    let reading = tokio::spawn(async move { rest(&mut client).await.len() });
    link.close(None, WAIT).await;
    assert_eq!(reading.await.unwrap(), queued + 2);
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_an_error() {
    let (server, client) = sockets().await;
    drop(client);
    let error = Link::accept(server, &Limits::default()).await.unwrap_err();
    assert!(matches!(error, Error::Io(_)) && error.quit_text().is_none());
}
