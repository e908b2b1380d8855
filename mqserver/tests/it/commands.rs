//! The commands, the signals and the admin page, as an operator meets them.

use crate::common;

use common::{Client, Framing, PATIENCE, Server, Store, run, stderr, stdout};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

#[tokio::test]
async fn stop_returns_when_the_server_is_gone() {
    let store = Store::new();
    let mut server = Server::start(&store);
    Client::register(&server, "alice", "").await;
    let mut alice = Client::login(&server, Framing::WebSocket, "alice", "n0").await;
    let output = run(&["stop", "--store", &store.text()]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stdout(&output) + &stderr(&output), "");
    assert!(!store.path().join(".pid").exists());
    assert!(!store.path().join(".control").exists());
    // The lock is the last it lets go of; then there is nothing left but to exit.
    let status = server.ended(Duration::from_secs(5)).expect("it is gone");
    assert_eq!(status.code(), Some(0), "{}", server.log());
    assert_eq!(alice.next().await, None);
    Server::start(&store);
}

#[test]
fn stop_without_a_server_says_that_there_is_none() {
    let store = Store::new();
    let output = run(&["stop", "--store", &store.text()]);
    assert!(output.status.success());
    assert_eq!(stdout(&output), "no .pid file found\n");
    // Nor is there one where there is a file of one that is gone.
    std::fs::write(store.path().join(".pid"), format!("{}\n", std::process::id())).unwrap();
    let output = run(&["stop", "--store", &store.text()]);
    assert!(output.status.success());
    assert_eq!(stdout(&output), "no .pid file found\n");
    let output = run(&["stop", "--store", "/nonexistent/store"]);
    assert_eq!(stdout(&output), "no .pid file found\n");
}

/// Posts without pause until the server hangs up; how many it posted, and which of them were acked.
async fn post_until_the_end(mut client: Client, name: String) -> (usize, HashSet<String>) {
    let mut acked = HashSet::new();
    let mut posted = 0;
    let post = |number: usize| {
        let id = format!("{name} {number}");
        // Some are large, so that a stop finds some being staged.
        let size = if number % 50 == 49 { 600 << 10 } else { 100 };
        let mut data = id.clone().into_bytes();
        data.resize(size, b' ');
        let header = json!({"op": "post", "id": id, "to": {"bob": 1}, "noNodes": true});
        common::message(&header.to_string(), &data)
    };
    for _ in 0..32 {
        client.send_bytes(post(posted)).await;
        posted += 1;
    }
    while let Some(reply) = client.next_or_end().await {
        assert_eq!((reply.op.as_str(), reply.kind.as_deref()), ("ack", Some("ok")), "{reply:?}");
        assert!(acked.insert(reply.id.unwrap()), "acked twice");
        if client.try_send_bytes(post(posted)).await {
            posted += 1;
        }
    }
    (posted, acked)
}

async fn stops_gracefully_under_load(signal: Signal) {
    let store = Store::new();
    let mut server = Server::start(&store);
    Client::register(&server, "alice", "").await;
    Client::register(&server, "bob", "").await;
    let mut posters = Vec::new();
    for number in 1..=4 {
        Client::add_node(&server, "alice", &format!("n{number}")).await;
        let framing = [Framing::Raw, Framing::WebSocket][number % 2];
        let client = Client::login(&server, framing, "alice", &format!("n{number}")).await;
        posters.push(tokio::spawn(post_until_the_end(client, number.to_string())));
    }
    common::eventually("messages in the spool", || store.files("bob,0").len() > 200).await;
    let start = Instant::now();
    server.signal(signal);
    let mut acked = HashSet::new();
    for poster in posters {
        let (posted, some) = timeout(PATIENCE, poster).await.unwrap().unwrap();
        assert!(some.len() <= posted);
        acked.extend(some);
    }
    let status = server.ended(PATIENCE).expect("it has stopped");
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert_eq!(status.code(), Some(0), "{}", server.log());
    assert!(!store.path().join(".pid").exists());
    assert!(acked.len() > 200);

    let server = Server::start(&store);
    let mut alice = Client::login(&server, Framing::Raw, "alice", "n0").await;
    alice.post(&json!({"bob": 1}), b"the end").await;
    let mut bob = Client::login(&server, Framing::WebSocket, "bob", "n0").await;
    let mut got = HashSet::new();
    loop {
        let data = bob.take_data().await;
        let text = String::from_utf8(data.trim_ascii_end().to_vec()).unwrap();
        if text == "the end" {
            break;
        }
        assert!(got.insert(text), "delivered twice");
    }
    let lost: Vec<_> = acked.difference(&got).collect();
    assert!(lost.is_empty(), "acked and lost: {lost:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_stops_it_gracefully_and_what_it_acked_is_kept() {
    stops_gracefully_under_load(Signal::TERM).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigint_stops_it_gracefully_and_what_it_acked_is_kept() {
    stops_gracefully_under_load(Signal::INT).await;
}

#[tokio::test]
async fn a_stop_closes_connections_that_have_not_said_a_word_or_only_half_of_one() {
    let store = Store::new();
    let mut server = Server::start(&store);
    let mut sockets = Vec::new();
    for begun in [&b""[..], b"\x85", b"\x85\x7e\x40\x00half", b"GET / HT", b"GET / HTTP/1.1\r\n"] {
        let mut socket = TcpStream::connect(server.address).await.unwrap();
        socket.write_all(begun).await.unwrap();
        sockets.push(socket);
    }
    // Behind these, as they are accepted in their order.
    Client::register(&server, "alice", "").await;
    let start = Instant::now();
    server.signal(Signal::TERM);
    let status = server.ended(PATIENCE).expect("it has stopped");
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert_eq!(status.code(), Some(0), "{}", server.log());
}

/// A store with a server, two users with three nodes, two links of which one is logged in, and
/// three messages waiting for bob's two nodes.
async fn busy() -> (Store, Server, Client, Client) {
    let store = Store::new();
    let server = Server::start(&store);
    Client::register(&server, "alice", "").await;
    Client::register(&server, "bob", "").await;
    Client::add_node(&server, "bob", "n1").await;
    let mut alice = Client::login(&server, Framing::Raw, "alice", "n0").await;
    for _ in 0..3 {
        alice.post(&json!({"bob": 1}), b"x").await;
    }
    store.filed("bob,1", 3).await;
    let mut stranger = Client::connect(server.address, Framing::WebSocket).await;
    let again = json!({"op": "register", "userId": "alice", "newNode": "n0", "aliases": ""});
    stranger.send(&again, b"").await;
    assert_eq!(stranger.reply().await.error.as_deref(), Some("user exists"));
    (store, server, alice, stranger)
}

fn status(store: &Store) -> Value {
    let output = run(&["status", "--json", "--store", &store.text()]);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stdout(&output);
    assert_eq!(text.lines().count(), 1);
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
async fn status_as_json_counts_right() {
    let (store, server, _alice, _stranger) = busy().await;
    // Connections that ended just now are counted until the server has noticed.
    common::eventually("two links", || status(&store)["links"] == 2).await;
    let mut told = status(&store);
    assert!(told["uptimeS"].take().as_u64().unwrap() < 600);
    let disk = told["disk"].take();
    assert!(disk["free"].as_u64().unwrap() <= disk["total"].as_u64().unwrap(), "{disk}");
    let wanted = json!({
        "pid": server.pid(), "uptimeS": null, "version": env!("CARGO_PKG_VERSION"), "links": 2,
        "online": 1, "users": 2, "nodes": 3, "lists": 0, "waiting": 6, "disk": null,
        "journal": {"segments": 3, "used": 1},
    });
    assert_eq!(told, wanted);
    let mut bob = Client::login(&server, Framing::Raw, "bob", "n0").await;
    for _ in 0..3 {
        bob.take().await;
    }
    bob.barrier().await;
    common::eventually("acks to show", || status(&store)["waiting"] == 3).await;
    assert_eq!(status(&store)["online"], 2);
}

#[tokio::test]
async fn status_as_text_says_the_same() {
    let (store, server, _alice, _stranger) = busy().await;
    common::eventually("two links", || status(&store)["links"] == 2).await;
    let output = run(&["status", "--store", &store.text()]);
    assert!(output.status.success());
    let text = stdout(&output);
    let (uptime, rest): (Vec<&str>, Vec<&str>) =
        text.lines().partition(|line| line.starts_with("uptime "));
    assert!(uptime.len() == 1 && uptime[0].contains("0:0"), "{text}");
    let (disk, rest): (Vec<&str>, Vec<&str>) =
        rest.into_iter().partition(|line| line.starts_with("disk "));
    assert!(disk.len() == 1 && disk[0].ends_with(" free"), "{text}");
    let wanted = [
        format!("pid      {}", server.pid()),
        format!("version  {}", env!("CARGO_PKG_VERSION")),
        "links    2, 1 of them logged in".into(),
        "users    2".into(),
        "nodes    3".into(),
        "lists    0".into(),
        "waiting  6 messages".into(),
        "journal  1 of 3 segments in use".into(),
    ];
    assert_eq!(rest, wanted);
}

#[tokio::test]
async fn status_without_a_server_fails_and_says_so() {
    let store = Store::new();
    let path = store.text();
    let wanted = format!("mqserver: no server runs on {path}\n");
    for left in [None, Some("1\n")] {
        if let Some(left) = left {
            std::fs::write(store.path().join(".pid"), left).unwrap();
        }
        for args in [&["status", "--store", &path][..], &["status", "--json", "--store", &path]] {
            let output = run(args);
            assert_eq!(output.status.code(), Some(1));
            assert_eq!((stdout(&output), stderr(&output)), (String::new(), wanted.clone()));
        }
    }
    let server = Server::start(&store);
    server.kill();
    let output = run(&["status", "--store", &path]);
    assert_eq!((output.status.code(), stderr(&output)), (Some(1), wanted));
}

/// A server may be asked how it is by as many as like, also while it starts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_asked_all_the_time_hinders_no_start() {
    let store = Store::new();
    let ended = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (stop, path) = (ended.clone(), store.path());
    let asking = std::thread::spawn(move || {
        while !stop.load(std::sync::atomic::Ordering::Relaxed) {
            // What `mqserver status` and `stop` ask first; in between, any answer is right.
            let _ = mqserver::lock::running(&path);
        }
    });
    for _ in 0..20 {
        // A file that is stale is one that others may look at while the lock is taken.
        Server::start(&store).kill();
    }
    ended.store(true, std::sync::atomic::Ordering::Relaxed);
    asking.join().unwrap();
}

#[test]
fn help_and_version_are_told() {
    let output = run(&["--version"]);
    assert!(output.status.success());
    assert_eq!(stdout(&output), format!("mqserver {}\n", env!("CARGO_PKG_VERSION")));
    let output = run(&["--help"]);
    assert!(output.status.success());
    let help = stdout(&output);
    for word in ["stop", "status", "--store", "--listen", "--admin", "mqstore", "127.0.0.1:8008"] {
        assert!(help.contains(word), "no {word} in:\n{help}");
    }
}

#[test]
fn what_it_does_not_understand_is_refused_with_the_usage() {
    for args in [
        &["--prot", "8008"][..],
        &["start"],
        &["stop", "--listen", "127.0.0.1:0"],
        &["status", "--yaml"],
        &["--listen", "8008"],
        &["--admin", "on"],
    ] {
        let output = run(args);
        let error = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(error.contains("Usage:") || error.contains("try '--help'"), "{args:?}: {error}");
        assert!(output.stdout.is_empty());
    }
}

/// The whole answer to a GET, with more lines in its head.
async fn get(address: SocketAddr, path: &str, more: &str) -> String {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{more}\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, socket.read_to_string(&mut answer)).await.unwrap().unwrap();
    answer
}

#[tokio::test]
async fn the_admin_page_is_there_for_all_and_what_it_asks_for_who_has_the_token() {
    let store = Store::new();
    let token = stdout(&run(&["admin-token", "--store", &store.text()]));
    let server = Server::start_with_admin(&store);
    let admin = server.admin.unwrap();
    let page = get(admin, "/", "").await;
    assert!(page.starts_with("HTTP/1.1 200 "), "{page}");
    assert!(page.to_lowercase().contains("content-type: text/html"), "{page}");
    assert!(page.to_lowercase().contains("content-security-policy: default-src 'none'"), "{page}");
    let bearer = |token: &str| format!("Authorization: Bearer {}\r\n", token.trim_end());
    for (path, more, status) in [
        ("/api/v1/events", String::new(), "401"),
        ("/else", String::new(), "401"),
        ("/api/v1/events", bearer("mqa_00000000000000000000000000000000"), "401"),
        ("/api/v1/events", format!("Authorization: Basic {token}\r\n"), "401"),
        ("/api/v1/events", bearer(&token), "200"),
        ("/else", bearer(&token), "404"),
    ] {
        let answer = get(admin, path, &more).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path} {more}: {answer}");
    }
    let second = stdout(&run(&["admin-token", "--store", &store.text(), "--new"]));
    assert_ne!(second, token);
    assert!(get(admin, "/api/v1/events", &bearer(&token)).await.starts_with("HTTP/1.1 401 "));
    assert!(get(admin, "/api/v1/events", &bearer(&second)).await.starts_with("HTTP/1.1 200 "));
    assert!(!server.log().contains(token.trim_end()), "{}", server.log());
}

#[tokio::test]
async fn without_a_token_nobody_is_let_in() {
    let store = Store::new();
    let server = Server::start_with_admin(&store);
    let answer = get(server.admin.unwrap(), "/api/v1/events", "Authorization: Bearer it\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    assert!(answer.contains("`mqserver admin-token` makes one"), "{answer}");
}

#[tokio::test]
async fn the_health_page_says_ok() {
    let store = Store::new();
    let server = Server::start_with_admin(&store);
    let admin = server.admin.unwrap();
    let health = get(admin, "/health", "").await;
    assert!(health.starts_with("HTTP/1.1 200 "), "{health}");
    assert!(health.ends_with("\r\n\r\n{\"status\":\"ok\"}"), "{health}");
}

#[tokio::test]
async fn the_example_of_a_store_serves() {
    let store = Store::absent();
    std::fs::create_dir(store.path()).unwrap();
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../mqstore.example");
    for entry in std::fs::read_dir(example).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), store.path().join(entry.file_name())).unwrap();
    }
    let server = Server::start(&store);
    Client::register(&server, "alice", "").await;
    let mut alice = Client::login(&server, Framing::WebSocket, "alice", "n0").await;
    alice.post(&json!({"alice": 1}), b"to myself").await;
    assert_eq!(alice.take_data().await, "to myself");
    server.stop();
}

#[tokio::test]
async fn run_is_what_it_does_without_a_command() {
    let store = Store::new();
    let mut command = common::program();
    command.arg("run");
    let server = Server::start_with(&store, command, "off");
    Client::register(&server, "alice", "").await;
    server.stop();
}
