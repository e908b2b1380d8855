//! What the server has acked it still has after `kill -9`, and what was acked to it does not return.

use crate::common;

use common::{Client, Framing, Server, Store};
use serde_json::json;
use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;

/// More than goes through the journal.
const LARGE: usize = (512 << 10) + 1;

/// A store with alice and bob, and its server.
async fn alice_and_bob() -> (Store, Server) {
    let store = Store::new();
    let server = Server::start(&store);
    Client::register(&server, "alice", "").await;
    Client::register(&server, "bob", "").await;
    (store, server)
}

async fn alice(server: &Server) -> Client {
    Client::login(server, Framing::Raw, "alice", "n0").await
}

async fn bob(server: &Server) -> Client {
    Client::login(server, Framing::WebSocket, "bob", "n0").await
}

fn numbered(number: usize) -> Vec<u8> {
    format!("message {number}").into_bytes()
}

#[tokio::test]
async fn an_acked_message_survives_kill_9_right_after_the_ack() {
    let (store, mut server) = alice_and_bob().await;
    for round in 0..5 {
        let mut poster = alice(&server).await;
        poster.post(&json!({"bob": 1}), &numbered(round)).await;
        server.kill();
        server = Server::start(&store);
        let mut receiver = bob(&server).await;
        let delivery = receiver.take().await;
        assert_eq!(delivery.data(), numbered(round));
        assert_eq!(delivery.from.as_deref(), Some("alice"));
        receiver.barrier().await;
    }
}

#[tokio::test]
async fn users_aliases_and_lists_survive_kill_9() {
    let (store, server) = alice_and_bob().await;
    Client::register(&server, "carol", "friend").await;
    let mut poster = alice(&server).await;
    let edit = json!({"op": "listEdit", "id": "e", "to": "l", "type": "add", "member": "bob"});
    poster.send(&edit, b"").await;
    assert_eq!(poster.reply().await.kind.as_deref(), Some("ok"));
    server.kill();
    let server = Server::start(&store);
    let mut poster = alice(&server).await;
    poster.send(&json!({"op": "ping", "id": "p", "alias": "friend"}), b"to the alias").await;
    assert_eq!(poster.reply().await.kind.as_deref(), Some("ok"));
    let mut carol = Client::login(&server, Framing::Raw, "carol", "n0").await;
    assert_eq!(carol.take_data().await, "to the alias");
    poster.post(&json!({"l": 2}), b"to the list").await;
    let mut receiver = bob(&server).await;
    assert_eq!(receiver.take().await.op, "listEdited");
    assert_eq!(receiver.take_data().await, "to the list");
}

#[tokio::test]
async fn a_large_message_survives_kill_9_right_after_the_ack() {
    let (store, server) = alice_and_bob().await;
    let large: Vec<u8> = (0..LARGE + 4_000).map(|at| (at % 251) as u8).collect();
    alice(&server).await.post(&json!({"bob": 1}), &large).await;
    server.kill();
    let server = Server::start(&store);
    // Twice, as it is staged first and filed then.
    let mut receiver = bob(&server).await;
    assert!(receiver.delivery().await.data() == large);
    store.filed("bob,0", 1).await;
    server.kill();
    let server = Server::start(&store);
    assert!(bob(&server).await.delivery().await.data() == large);
}

#[tokio::test]
async fn a_filed_message_survives_kill_9_and_so_does_one_that_is_not_filed_yet() {
    let (store, server) = alice_and_bob().await;
    let mut poster = alice(&server).await;
    poster.post(&json!({"bob": 1}), b"filed").await;
    store.filed("bob,0", 1).await;
    poster.post(&json!({"bob": 1}), b"not filed").await;
    server.kill();
    let server = Server::start(&store);
    let mut receiver = bob(&server).await;
    assert_eq!(receiver.take_data().await, "filed");
    assert_eq!(receiver.take_data().await, "not filed");
}

#[tokio::test]
async fn a_message_for_one_node_survives_kill_9_and_only_one_node_gets_it() {
    let (store, server) = alice_and_bob().await;
    assert_eq!(Client::add_node(&server, "bob", "n1").await, 1);
    let mut poster = alice(&server).await;
    poster.post(&json!({"bob": 0}), b"filed, for one").await;
    store.filed("bob,1", 1).await;
    poster.post(&json!({"bob": 0}), b"not filed, for one").await;
    server.kill();
    let server = Server::start(&store);
    let mut first = bob(&server).await;
    assert_eq!(first.take_data().await, "filed, for one");
    assert_eq!(first.take_data().await, "not filed, for one");
    first.barrier().await;
    let mut poster = alice(&server).await;
    poster.post(&json!({"bob": 1}), b"for both").await;
    let mut second = Client::login(&server, Framing::WebSocket, "bob", "n1").await;
    assert_eq!(second.take_data().await, "for both");
    assert_eq!(first.take_data().await, "for both");
}

#[tokio::test]
async fn a_queue_keeps_its_order_across_kills_and_stops() {
    let (store, mut server) = alice_and_bob().await;
    for round in 0..4 {
        let mut poster = alice(&server).await;
        for number in 0..25 {
            let mut data = numbered(round * 25 + number);
            // Messages of all three ways in one queue.
            data.resize(if number == 10 { LARGE } else { data.len() }, b' ');
            poster.post(&json!({"bob": 1}), &data).await;
            if number == 20 {
                store.filed("bob,0", round * 25 + 21).await;
            }
        }
        if round == 2 {
            server.stop();
        } else {
            server.kill();
        }
        server = Server::start(&store);
    }
    let mut receiver = bob(&server).await;
    for number in 0..100 {
        let data = receiver.take_data().await;
        assert_eq!(data.trim_ascii_end(), numbered(number));
    }
}

#[tokio::test]
async fn what_was_acked_does_not_come_back_after_a_stop() {
    let (store, server) = alice_and_bob().await;
    let mut poster = alice(&server).await;
    for number in 0..10 {
        poster.post(&json!({"bob": 1}), &numbered(number)).await;
    }
    store.filed("bob,0", 10).await;
    let mut receiver = bob(&server).await;
    for number in 0..5 {
        assert_eq!(receiver.take_data().await, numbered(number));
    }
    // The one in flight has no ack.
    assert_eq!(receiver.delivery().await.data(), numbered(5));
    receiver.barrier().await;
    server.stop();
    let server = Server::start(&store);
    let mut receiver = bob(&server).await;
    for number in 5..10 {
        assert_eq!(receiver.take_data().await, numbered(number));
    }
    alice(&server).await.post(&json!({"bob": 1}), b"last").await;
    assert_eq!(receiver.take_data().await, "last");
}

#[tokio::test]
async fn an_ack_that_is_on_disk_holds_after_kill_9() {
    let (store, server) = alice_and_bob().await;
    let mut poster = alice(&server).await;
    poster.post(&json!({"bob": 1}), b"first").await;
    store.filed("bob,0", 1).await;
    let mut receiver = bob(&server).await;
    assert_eq!(receiver.take_data().await, "first");
    receiver.barrier().await;
    // An ack is on disk no later than the next post.
    poster.post(&json!({"bob": 1}), b"second").await;
    server.kill();
    let server = Server::start(&store);
    assert_eq!(bob(&server).await.take_data().await, "second");
}

#[tokio::test]
async fn a_file_in_the_spool_reads_as_a_line_and_the_message_as_delivered() {
    let (store, server) = alice_and_bob().await;
    let post = json!({"op": "post", "id": "p", "to": {"bob": 1}, "etc": {"subject": "hello"}});
    let mut poster = alice(&server).await;
    poster.send(&post, b"some data").await;
    poster.reply().await;
    store.filed("bob,0", 1).await;
    let file = store.files("bob,0").remove(0);
    // It has its name before it is written.
    let whole = || mqlib::spool::parse(std::fs::read(&file).unwrap()).is_ok();
    common::eventually("the whole file", whole).await;
    let id = file.file_name().unwrap().to_str().unwrap().to_owned();
    let content = String::from_utf8(std::fs::read(&file).unwrap()).unwrap();
    let (line, message) = content.split_once('\n').unwrap();
    let (checksum, length) = line
        .strip_prefix("websocket.MQ 1 crc32c:")
        .and_then(|rest| rest.split_once(" length:"))
        .unwrap_or_else(|| panic!("{line}"));
    assert!(checksum.len() == 8 && checksum.bytes().all(|byte| byte.is_ascii_hexdigit()));
    assert_eq!(length.parse(), Ok(message.len()));
    let (_, posted) = message.split_once(r#""posted":""#).unwrap();
    let posted = &posted[.."2026-11-21T08:00:00.000Z".len()];
    assert!(posted.ends_with('Z') && posted.as_bytes()[10] == b'T', "{posted}");
    let header =
        format!(r#"{{"op":"deliver","id":"{id}","from":"alice","etc":19,"posted":"{posted}"}}"#);
    let body = r#"{"subject":"hello"}some data"#;
    assert_eq!(message, format!("{:<4x}{header}{body}", header.len()));
}

#[tokio::test]
async fn recipients_share_one_file() {
    let (store, server) = alice_and_bob().await;
    Client::register(&server, "carol", "").await;
    let mut poster = alice(&server).await;
    poster.post(&json!({"bob": 1, "carol": 1}), b"to both").await;
    store.filed("bob,0", 1).await;
    store.filed("carol,0", 1).await;
    let inode = |node: &str| std::fs::metadata(&store.files(node)[0]).unwrap().ino();
    assert_eq!(inode("bob,0"), inode("carol,0"));
    assert_eq!(bob(&server).await.take_data().await, "to both");
    let mut carol = Client::login(&server, Framing::Raw, "carol", "n0").await;
    assert_eq!(carol.take_data().await, "to both");
}

#[tokio::test]
async fn the_empty_directory_of_a_node_that_logs_out_goes_away() {
    let (store, server) = alice_and_bob().await;
    alice(&server).await.post(&json!({"bob": 1}), b"x").await;
    store.filed("bob,0", 1).await;
    let mut receiver = bob(&server).await;
    receiver.take().await;
    receiver.barrier().await;
    store.filed("bob,0", 0).await;
    receiver.close().await;
    common::eventually("the directory to go", || !store.queue("bob,0").exists()).await;
}

#[tokio::test]
async fn a_stale_pid_file_is_no_obstacle() {
    let (store, server) = alice_and_bob().await;
    alice(&server).await.post(&json!({"bob": 1}), b"x").await;
    server.kill();
    assert!(store.path().join(".pid").exists());
    // That of a process that lives, and is no server.
    std::fs::write(store.path().join(".pid"), format!("{}\n", std::process::id())).unwrap();
    let server = Server::start(&store);
    let pid = std::fs::read_to_string(store.path().join(".pid")).unwrap();
    assert_eq!(pid.trim().parse(), Ok(server.pid()));
    assert_eq!(bob(&server).await.take_data().await, "x");
}

#[tokio::test]
async fn ids_increase_across_kills_and_stops() {
    let (store, mut server) = alice_and_bob().await;
    let mut seen = HashSet::new();
    let mut last = String::new();
    for round in 0..6 {
        let mut poster = alice(&server).await;
        let mut receiver = bob(&server).await;
        for _ in 0..10 {
            poster.post(&json!({"bob": 1}), b"").await;
            let id = loop {
                let id = receiver.take().await.id.unwrap();
                // Others come again: their acks went with the kill.
                if seen.insert(id.clone()) {
                    break id;
                }
            };
            assert!(id > last, "{id} after {last}");
            last = id;
        }
        receiver.barrier().await;
        if round % 2 == 0 {
            server.kill();
        } else {
            server.stop();
        }
        server = Server::start(&store);
    }
}
