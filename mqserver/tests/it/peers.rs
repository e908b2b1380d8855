//! Connections: too many of them, those that never get anywhere, and those whose peer is gone.

use crate::common;

use common::{Client, Framing, PATIENCE, SMALL, Server, Store, eventually, program, run, stdout};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const UPGRADE: &[u8] =
    b"GET /mq HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

fn with(limits: &str) -> (Store, Server) {
    let store = Store::with(&format!("{SMALL}[limits]\n{limits}"));
    let server = Server::start(&store);
    (store, server)
}

fn links(store: &Store) -> u64 {
    let output = run(&["status", "--json", "--store", &store.text()]);
    let status: Value = serde_json::from_str(&stdout(&output)).unwrap();
    status["links"].as_u64().unwrap()
}

/// Connects until it is let in.
async fn let_in(server: &Server) {
    let start = Instant::now();
    loop {
        let mut client = Client::connect(server.address, Framing::WebSocket).await;
        client.send(&json!({"op": "login", "userId": "nobody", "nodeId": "n"}), b"").await;
        if client.next().await.unwrap().info.as_deref() == Some("userId unknown") {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "{}", server.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn one_connection_too_many_is_told_so_and_there_is_room_when_another_ends() {
    for (limit, text) in [
        ("connections = 3", "too many connections"),
        ("connections_per_address = 3", "too many connections from this address"),
    ] {
        let (_store, server) = with(&format!("{limit}\nlogin_timeout_s = 60"));
        let mut sitting = Vec::new();
        for _ in 0..3 {
            sitting.push(TcpStream::connect(server.address).await.unwrap());
        }
        for framing in [Framing::Raw, Framing::WebSocket] {
            let mut client = Client::connect(server.address, framing).await;
            client.try_send_bytes(common::message("{}", b"")).await;
            assert_eq!(client.quit().await, text);
        }
        eventually("a warning", || server.log().contains(text)).await;
        sitting.pop();
        let_in(&server).await;
    }
}

#[tokio::test]
async fn who_is_too_many_and_silent_holds_nothing_for_long() {
    let (_store, server) = with("connections = 1\nlogin_timeout_s = 60");
    let _sitting = TcpStream::connect(server.address).await.unwrap();
    let mut crowd = Vec::new();
    for _ in 0..200 {
        crowd.push(TcpStream::connect(server.address).await.unwrap());
    }
    for mut one in crowd {
        let mut rest = Vec::new();
        let _ = timeout(PATIENCE, one.read_to_end(&mut rest)).await.expect("it is closed");
    }
}

#[tokio::test]
async fn a_handshake_that_drips_ends_at_its_time_all_the_same() {
    let (_store, server) = with("handshake_timeout_s = 1\nlogin_timeout_s = 60");
    let mut tcp = TcpStream::connect(server.address).await.unwrap();
    let start = Instant::now();
    tcp.write_all(b"GET /mq HTTP/1.1\r\n").await.unwrap();
    while tcp.write_all(b"X: y\r\n").await.is_ok() {
        assert!(start.elapsed() < PATIENCE, "it may drip for ever");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(start.elapsed() > Duration::from_millis(900));
}

#[tokio::test]
async fn two_thousand_that_never_end_their_handshake_do_not_hinder_a_login() {
    let (_store, server) = with("handshake_timeout_s = 60\nlogin_timeout_s = 60");
    Client::register(&server, "alice", "").await;
    let mut crowd = Vec::new();
    for _ in 0..2_000 {
        let mut tcp = TcpStream::connect(server.address).await.unwrap();
        tcp.write_all(b"GET /mq HTTP/1.1\r\nX: ").await.unwrap();
        crowd.push(tcp);
    }
    let mut alice = Client::login(&server, Framing::WebSocket, "alice", "n0").await;
    alice.post(&json!({"alice": 1}), b"hello").await;
    assert_eq!(alice.take_data().await, "hello");
}

#[tokio::test]
async fn without_file_descriptors_it_pauses_and_goes_on_when_there_are_some() {
    let store = Store::with(&format!("{SMALL}[limits]\nlogin_timeout_s = 60"));
    let mut command = std::process::Command::new("prlimit");
    command.args(["--nofile=40:40", "--"]).arg(program().get_program());
    command.stdin(std::process::Stdio::null()).env_remove("RUST_LOG");
    let mut server = Server::start_with(&store, command, "off");
    assert!(server.log().is_empty() || !server.log().contains("no connection can be accepted"));
    let mut crowd = Vec::new();
    for _ in 0..60 {
        crowd.push(TcpStream::connect(server.address).await.unwrap());
    }
    eventually("a warning", || server.log().contains("no connection can be accepted")).await;
    assert!(server.log().contains("limits.connections = 16384 is cut to 20"), "{}", server.log());
    assert!(server.is_alive());
    drop(crowd);
    let_in(&server).await;
    server.stop();
}

/// A WebSocket of which nobody reads or answers anything.
async fn upgraded(server: &Server) -> TcpStream {
    let mut tcp = TcpStream::connect(server.address).await.unwrap();
    tcp.write_all(UPGRADE).await.unwrap();
    let mut head = [0; 4096];
    let read = timeout(PATIENCE, tcp.read(&mut head)).await.unwrap().unwrap();
    assert!(head[..read].starts_with(b"HTTP/1.1 101 "));
    tcp
}

#[tokio::test]
async fn a_websocket_that_answers_no_ping_is_closed_and_one_that_does_is_not() {
    let (store, server) = with("ping_s = 1\nlogin_timeout_s = 60");
    Client::register(&server, "alice", "").await;
    let mut alice = Client::login(&server, Framing::WebSocket, "alice", "n0").await;
    let mut dead = upgraded(&server).await;
    let mut got = Vec::new();
    let closed = async {
        timeout(PATIENCE, dead.read_to_end(&mut got)).await.expect("it is closed").unwrap();
    };
    // Whoever reads answers pings.
    let silence = tokio::time::timeout(PATIENCE, alice.next());
    tokio::select! {
        () = closed => {}
        message = silence => panic!("{message:?}"),
    }
    // An empty ping, then an empty close frame of ours, 1000.
    assert_eq!(got, b"\x89\x00\x88\x02\x03\xe8", "{}", got.escape_ascii());
    let quiet = timeout(Duration::from_secs(4), alice.next()).await;
    assert!(quiet.is_err(), "{quiet:?}");
    alice.post(&json!({"alice": 1}), b"alive").await;
    assert_eq!(alice.take_data().await, "alive");
    assert_eq!(links(&store), 1);
}

#[tokio::test]
async fn a_slow_reader_is_no_dead_one() {
    let (_store, server) = with("ping_s = 1\nlogin_timeout_s = 60");
    Client::register(&server, "alice", "").await;
    Client::register(&server, "bob", "").await;
    let mut bob = Client::login(&server, Framing::WebSocket, "bob", "n0").await;
    let size = 15 << 20;
    bob.post(&json!({"alice": 1}), &vec![b'x'; size]).await;

    let mut slow = upgraded(&server).await;
    let login = common::message(r#"{"op":"login","userId":"alice","nodeId":"n0"}"#, b"");
    let mut frame = vec![0x82, 0x80 | login.len() as u8, 0, 0, 0, 0];
    frame.extend_from_slice(&login);
    slow.write_all(&frame).await.unwrap();
    // For five seconds it only reads, and answers nothing, as a browser that gets a large message.
    let start = Instant::now();
    let mut got = 0;
    let mut some = vec![0; 64 << 10];
    while got < size {
        let read = timeout(PATIENCE, slow.read(&mut some)).await.unwrap().unwrap();
        assert_ne!(read, 0, "closed after {got} bytes and {:?}", start.elapsed());
        got += read;
        let due = Duration::from_secs(5).mul_f64(got as f64 / size as f64);
        tokio::time::sleep(due.saturating_sub(start.elapsed())).await;
    }
}

#[tokio::test]
async fn a_raw_peer_that_takes_nothing_for_long_is_closed() {
    let (store, server) = with("dead_peer_s = 2\nlogin_timeout_s = 60");
    Client::register(&server, "alice", "").await;
    Client::register(&server, "bob", "").await;
    let mut bob = Client::login(&server, Framing::Raw, "bob", "n0").await;
    let _stalled = Client::login(&server, Framing::Raw, "alice", "n0").await;
    assert_eq!(links(&store), 2);
    bob.post(&json!({"alice": 1}), &vec![b'x'; 15 << 20]).await;
    eventually("the end of a stalled link", || links(&store) == 1).await;
    bob.barrier().await;
}
