//! A link that speaks RFC 6455, on real sockets, against tokio-tungstenite and against bare bytes.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::{WAIT, pair, sockets};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use wsstream::{Error, Framing, Limits, Link};

/// A server's link, and tokio-tungstenite as its client.
async fn server(limits: &Limits) -> (Link<TcpStream>, WebSocketStream<TcpStream>) {
    let (accepted, connected) = sockets().await;
    let client = tokio_tungstenite::client_async("ws://localhost/", connected);
    let (link, client) = tokio::join!(Link::accept(accepted, limits), client);
    (link.unwrap(), client.unwrap().0)
}

/// A server's link, and its client's bare socket after the handshake.
async fn bare(limits: &Limits) -> (Link<TcpStream>, TcpStream) {
    let (link, client) = server(limits).await;
    (link, client.into_inner())
}

/// A frame with an all-zero mask, which leaves the payload as it is.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    assert!(payload.len() < 126);
    [&[first, 0x80 | payload.len() as u8, 0, 0, 0, 0], payload].concat()
}

async fn read<const N: usize>(stream: &mut TcpStream) -> [u8; N] {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await.unwrap();
    bytes
}

#[tokio::test]
async fn messages_of_all_sizes_go_both_ways() {
    let (mut server, mut client) = pair(Framing::WebSocket, &Limits::default()).await;
    for size in [0, 1, 125, 126, 4_000, 4_096, 5_000, 65_535, 65_536, 3 << 20, 10, 1 << 20, 9] {
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
async fn another_library_understands_the_server() {
    let (mut link, mut client) = server(&Limits::default()).await;
    client.send(Message::Binary(vec![1; 100_000].into())).await.unwrap();
    client.send(Message::text("grüße")).await.unwrap();
    assert_eq!(link.message().await.unwrap().unwrap(), vec![1; 100_000]);
    assert_eq!(link.message().await.unwrap().unwrap(), "grüße");
    link.send(Bytes::from_static(b"hi")).await.unwrap();
    link.send(Bytes::from(vec![2; 70_000])).await.unwrap();
    assert_eq!(client.next().await.unwrap().unwrap(), Message::Binary("hi".into()));
    assert_eq!(client.next().await.unwrap().unwrap(), Message::Binary(vec![2; 70_000].into()));
}

#[tokio::test]
async fn another_library_understands_the_client() {
    let (accepted, connected) = sockets().await;
    let limits = Limits::default();
    let (server, link) = tokio::join!(
        tokio_tungstenite::accept_async(accepted),
        Link::connect_ws(connected, "ws://localhost:8008/mq", &limits)
    );
    let (mut server, mut link) = (server.unwrap(), link.unwrap());
    link.send(Bytes::from(vec![3; 70_000])).await.unwrap();
    assert_eq!(server.next().await.unwrap().unwrap(), Message::Binary(vec![3; 70_000].into()));
    server.send(Message::Ping("p".into())).await.unwrap();
    server.send(Message::text("hi")).await.unwrap();
    assert_eq!(link.message().await.unwrap().unwrap(), "hi");
    let closing = tokio::spawn(link.close(Some("bye".into()), WAIT));
    assert_eq!(server.next().await.unwrap().unwrap(), Message::Pong("p".into()));
    assert_eq!(server.next().await.unwrap().unwrap(), Message::Binary("bye".into()));
    assert!(server.next().await.unwrap().unwrap().is_close());
    assert!(server.next().await.is_none());
    drop(server);
    closing.await.unwrap();
}

#[tokio::test]
async fn fragments_with_a_ping_between_them_are_one_message() {
    let (mut link, mut client) = server(&Limits::default()).await;
    let fragment = |opcode, text: &'static str, last| {
        Message::Frame(Frame::message(text, OpCode::Data(opcode), last))
    };
    client.send(fragment(Data::Text, "one ", false)).await.unwrap();
    client.send(Message::Ping("p".into())).await.unwrap();
    client.send(fragment(Data::Continue, "two ", false)).await.unwrap();
    client.send(fragment(Data::Continue, "three", true)).await.unwrap();
    assert_eq!(link.message().await.unwrap().unwrap(), "one two three");
}

#[tokio::test]
async fn a_ping_is_answered_though_we_send_nothing() {
    let (mut link, mut client) = server(&Limits::default()).await;
    client.send(Message::Ping("are you there".into())).await.unwrap();
    let reading = tokio::spawn(async move { link.message().await.is_none() });
    assert_eq!(client.next().await.unwrap().unwrap(), Message::Pong("are you there".into()));
    drop(client);
    assert!(reading.await.unwrap());
}

#[tokio::test]
async fn our_ping_is_answered_and_the_answer_counts_as_received() {
    let (mut server, mut client) = pair(Framing::WebSocket, &Limits::default()).await;
    let client = tokio::spawn(async move { client.message().await.is_none() });
    let before = server.received();
    assert!(server.start_ping().unwrap());
    std::future::poll_fn(|cx| server.poll_flush(cx)).await.unwrap();
    let silent = tokio::time::timeout(Duration::from_millis(200), server.message()).await;
    assert!(silent.is_err());
    assert_eq!(server.received() - before, 6);
    server.close(None, WAIT).await;
    assert!(client.await.unwrap());
}

#[tokio::test]
async fn a_flood_of_pings_that_reads_no_pong_costs_little_memory() {
    let (mut link, mut client) = bare(&Limits::default()).await;
    let pings = masked(0x89, &[7; 125]).repeat(100);
    let flood = tokio::spawn(async move {
        for _ in 0..2_000 {
            client.write_all(&pings).await.unwrap();
        }
        client.write_all(&masked(0x82, b"done")).await.unwrap();
        client
    });
    assert_eq!(link.message().await.unwrap().unwrap(), "done");
    assert!(link.queued() < 100 << 10, "{}", link.queued());
    drop(flood.await.unwrap());
}

#[tokio::test]
async fn many_messages_are_one_write() {
    let (mut link, mut client) = bare(&Limits::default()).await;
    for _ in 0..100 {
        link.start_send(Bytes::from_static(b"0123456789")).unwrap();
    }
    assert_eq!(link.queued(), 1200);
    std::future::poll_fn(|cx| link.poll_flush(cx)).await.unwrap();
    let mut buffer = [0; 4096];
    assert_eq!(client.read(&mut buffer).await.unwrap(), 1200);
}

#[tokio::test]
async fn a_message_too_large_is_refused_from_its_length() {
    let limits = Limits { max_message: 1000, ..Limits::default() };
    let (mut link, mut client) = bare(&limits).await;
    client.write_all(&[0x82, 0xfe, 0xff, 0xff, 0, 0, 0, 0]).await.unwrap();
    let error = link.message().await.unwrap().unwrap_err();
    assert!(matches!(error, Error::MessageTooLarge { size: 65_535, limit: 1000 }), "{error}");
    let closing = tokio::spawn(link.close(Some("message too large".into()), WAIT));
    assert_eq!(&read::<19>(&mut client).await, b"\x82\x11message too large");
    assert_eq!(read::<4>(&mut client).await, [0x88, 2, 0x03, 0xf1]); // 1009
    drop(client);
    closing.await.unwrap();
}

#[tokio::test]
async fn fragments_are_refused_when_their_sum_is_too_large() {
    let limits = Limits { max_message: 150, ..Limits::default() };
    let (mut link, mut client) = bare(&limits).await;
    client.write_all(&masked(0x02, &[1; 100])).await.unwrap();
    client.write_all(&[0x80, 0x80 | 100, 0, 0, 0, 0]).await.unwrap();
    let error = link.message().await.unwrap().unwrap_err();
    assert!(matches!(error, Error::MessageTooLarge { size: 200, limit: 150 }), "{error}");
}

#[tokio::test]
async fn violations_of_the_protocol_are_told_as_such() {
    let violations: [(&[u8], u16); 7] = [
        (&[0x82, 0x01, 7], 1002),                      // not masked
        (&[0xc2, 0x81, 0, 0, 0, 0, 7], 1002),          // a reserved bit
        (&[0x83, 0x81, 0, 0, 0, 0, 7], 1002),          // an unknown opcode
        (&[0x80, 0x81, 0, 0, 0, 0, 7], 1002),          // continues nothing
        (&[0x09, 0x80, 0, 0, 0, 0], 1002),             // a fragmented ping
        (&[0x89, 0xfe, 0x40, 0, 0, 0, 0, 0], 1002),    // a long ping, refused before it comes
        (&[0x81, 0x82, 0, 0, 0, 0, 0xc3, 0x28], 1007), // not UTF-8
    ];
    for (bytes, code) in violations {
        let (mut link, mut client) = bare(&Limits::default()).await;
        client.write_all(bytes).await.unwrap();
        let error = link.message().await.unwrap().unwrap_err();
        assert!(matches!(error, Error::Protocol(_)), "{bytes:x?}: {error}");
        assert_eq!(error.quit_text(), Some("invalid frame"));
        assert!(link.message().await.is_none());
        let closing = tokio::spawn(link.close(None, WAIT));
        let [high, low] = code.to_be_bytes();
        assert_eq!(read::<4>(&mut client).await, [0x88, 2, high, low]);
        drop(client);
        closing.await.unwrap();
    }
}

#[tokio::test]
async fn the_peers_close_is_answered() {
    let (mut link, mut client) = server(&Limits::default()).await;
    client.send(Message::Ping("p".into())).await.unwrap();
    client.close(None).await.unwrap();
    assert!(link.message().await.is_none());
    assert!(link.peer_closed());
    let closing = tokio::spawn(link.close(Some("late".into()), WAIT));
    while let Some(message) = client.next().await {
        let message = message.unwrap();
        assert!(message.is_close() || message.is_pong(), "{message:?}");
    }
    drop(client);
    closing.await.unwrap();
}

#[tokio::test]
async fn our_close_says_1000_and_discards_what_still_comes() {
    let (link, mut client) = server(&Limits::default()).await;
    client.send(Message::text("on its way")).await.unwrap();
    let closing = tokio::spawn(link.close(Some("quit".into()), WAIT));
    assert_eq!(client.next().await.unwrap().unwrap(), Message::Binary("quit".into()));
    let Message::Close(Some(frame)) = client.next().await.unwrap().unwrap() else { panic!() };
    assert_eq!(frame.code, CloseCode::Normal);
    assert!(client.next().await.is_none());
    drop(client);
    closing.await.unwrap();
}

#[tokio::test]
async fn a_bare_fin_is_the_end_without_a_close_frame() {
    let (mut link, mut client) = bare(&Limits::default()).await;
    client.write_all(&[0x82, 0x85, 0]).await.unwrap();
    client.shutdown().await.unwrap();
    assert!(link.message().await.is_none());
    assert!(!link.peer_closed());
    link.close(None, WAIT).await;
    assert_eq!(common::rest(&mut client).await, []);
}

#[tokio::test]
async fn a_peer_that_never_answers_the_close_is_left_after_the_wait() {
    let (link, mut client) = bare(&Limits::default()).await;
    link.close(None, Duration::from_millis(100)).await;
    assert_eq!(common::rest(&mut client).await, [0x88, 2, 0x03, 0xe8]);
}

#[tokio::test]
async fn frames_behind_the_request_are_kept() {
    let (accepted, mut client) = sockets().await;
    let request = upgrade("/mq");
    client.write_all(&[request.as_bytes(), &masked(0x82, b"eager")].concat()).await.unwrap();
    let mut link = Link::accept(accepted, &Limits::default()).await.unwrap();
    assert_eq!(link.message().await.unwrap().unwrap(), "eager");
}

#[tokio::test]
async fn frames_behind_the_response_are_kept() {
    let (mut server, client) = sockets().await;
    let limits = Limits::default();
    let (link, ()) = tokio::join!(Link::connect_ws(client, "ws://x/", &limits), async {
        let mut request = vec![0; 4096];
        let count = server.read(&mut request).await.unwrap();
        let request = String::from_utf8(request[..count].to_vec()).unwrap();
        let key = request.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
        let accept = derive_accept_key(key.unwrap().as_bytes());
        let answer = format!(
            "HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        let mut answer = answer.into_bytes();
        answer.extend_from_slice(b"\x82\x05eager");
        server.write_all(&answer).await.unwrap();
    });
    assert_eq!(link.unwrap().message().await.unwrap().unwrap(), "eager");
}

fn upgrade(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}
