//! Limits of posts and queues on a server: what is over one gets an error that names it, and whoever
//! does not get a message for a full queue is named in the ack, with the reason.

use crate::common;

use common::{Client, Framing, PATIENCE, Server, Store, message};
use mqlib::reply::Reply;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const FULL: &str = "queue full, limit 3 messages";

/// A server with these limits, and the users alice, bob and carol, who have a node each.
async fn server(limits: &str) -> (Store, Server) {
    let store = Store::with(&format!("{}[limits]\n{limits}\n", common::SMALL));
    let server = Server::start(&store);
    for user in ["alice", "bob", "carol"] {
        Client::register(&server, user, &format!("al-{user}")).await;
    }
    (store, server)
}

/// A user's first node in version 1 or 2, once the server has learned of the end of its connection
/// before.
async fn login(server: &Server, user: &str, version: u8) -> Client {
    let start = Instant::now();
    loop {
        let mut client = Client::connect(server.address, Framing::WebSocket).await;
        let header = json!({"op": "login", "userId": user, "nodeId": "n0", "v": version});
        client.send(&header, b"").await;
        match client.reply().await.info.as_deref() {
            Some("ok login") => return client,
            Some("node already active") if start.elapsed() < PATIENCE => {}
            info => panic!("{user}: {info:?}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Posts, and returns the ack.
async fn post(client: &mut Client, to: &Value, data: &[u8]) -> Reply {
    client.send(&json!({"op": "post", "id": "p", "to": to}), data).await;
    let ack = client.reply().await;
    assert_eq!((ack.op.as_str(), ack.id.as_deref()), ("ack", Some("p")), "{ack:?}");
    ack
}

/// The same with an id of its own, so that version 2 takes none for a repeat.
async fn post_new(client: &mut Client, number: usize, to: &Value, data: &[u8]) -> Reply {
    client.send(&json!({"op": "post", "id": format!("p{number}"), "to": to}), data).await;
    client.reply().await
}

fn is_ok(ack: &Reply) -> bool {
    ack.kind.as_deref() == Some("ok") && ack.error.is_none() && ack.etc.is_none()
}

/// What an ack of `ok` says of who failed, in the words of its version.
#[track_caller]
fn fails(ack: &Reply, version: u8, lines: &str, failed: &Value) {
    assert_eq!(ack.kind.as_deref(), Some("ok"), "{ack:?}");
    assert_eq!(ack.error.as_deref(), Some(lines));
    match version {
        1 => assert_eq!((ack.etc, ack.body.len()), (None, 0)),
        _ => {
            let etc: Value = serde_json::from_slice(&ack.etc().unwrap()).unwrap();
            assert_eq!(etc, json!({"failed": failed}));
            assert!(ack.data().is_empty());
        }
    }
}

#[track_caller]
fn is_refused(ack: &Reply, why: &str) {
    assert_eq!((ack.kind.as_deref(), ack.error.as_deref()), (Some("error"), Some(why)));
}

#[tokio::test]
async fn a_full_queue_is_told_to_the_poster_and_the_others_get_the_message() {
    for version in [1, 2] {
        let (_store, server) = server("queue_messages = 3").await;
        let mut alice = login(&server, "alice", version).await;
        for number in 0..3 {
            assert!(is_ok(&post_new(&mut alice, number, &json!({"bob": 1}), b"early").await));
        }
        let ack = post_new(&mut alice, 3, &json!({"bob": 1, "carol": 1}), b"late").await;
        fails(&ack, version, &format!("bob: {FULL}"), &json!({"bob": FULL}));
        let mut carol = login(&server, "carol", version).await;
        assert_eq!(carol.take_data().await, "late");
        // Room is made by an ack, and bob never gets what he had no room for.
        let mut bob = login(&server, "bob", version).await;
        for _ in 0..3 {
            assert_eq!(bob.take_data().await, "early");
        }
        bob.barrier().await;
        assert!(is_ok(&post_new(&mut alice, 4, &json!({"bob": 1}), b"again").await));
        assert_eq!(bob.take_data().await, "again");
    }
}

#[tokio::test]
async fn unknown_recipients_are_named_too() {
    for version in [1, 2] {
        let (_store, server) = server("").await;
        let mut alice = login(&server, "alice", version).await;
        let to = json!({"bob": 1, "nobody": 1, "L": 2});
        let ack = post(&mut alice, &to, b"x").await;
        let failed = json!({"nobody": "userId unknown", "L": "list L not found"});
        fails(&ack, version, "list L not found\nuserId unknown", &failed);
    }
}

#[tokio::test]
async fn a_queue_is_full_by_its_bytes_too() {
    let (_store, server) = server("queue_mib = 1").await;
    let mut alice = login(&server, "alice", 2).await;
    // The second goes by way of a staged file, and takes the queue beyond its limit.
    for (number, size) in [400 << 10, 700 << 10].into_iter().enumerate() {
        let ack = post_new(&mut alice, number, &json!({"bob": 1}), &vec![b'x'; size]).await;
        assert!(is_ok(&ack));
    }
    let ack = post_new(&mut alice, 2, &json!({"bob": 1}), b"x").await;
    let why = "queue full, limit 1048576 bytes";
    fails(&ack, 2, &format!("bob: {why}"), &json!({"bob": why}));
}

#[tokio::test]
async fn what_waits_from_before_a_restart_counts() {
    let (store, server) = server("queue_messages = 3").await;
    let mut alice = login(&server, "alice", 2).await;
    for number in 0..3 {
        assert!(is_ok(&post_new(&mut alice, number, &json!({"bob": 1}), b"x").await));
    }
    store.filed("bob,0", 3).await;
    server.kill();
    let server = Server::start(&store);
    let mut alice = login(&server, "alice", 2).await;
    // The first may come before the files are counted.
    let mut full = false;
    for number in 3..1000 {
        let ack = post_new(&mut alice, number, &json!({"bob": 1}), b"x").await;
        full = ack.error.is_some();
        if full {
            fails(&ack, 2, &format!("bob: {FULL}"), &json!({"bob": FULL}));
            break;
        }
    }
    assert!(full);
}

#[tokio::test]
async fn a_user_whose_other_node_has_room_gets_it_there() {
    for version in [1, 2] {
        let (_store, server) = server("queue_messages = 3").await;
        assert_eq!(Client::add_node(&server, "bob", "n1").await, 1);
        let mut alice = login(&server, "alice", version).await;
        let mut bob = Client::login(&server, Framing::Raw, "bob", "n1").await;
        for number in 0..3 {
            assert!(is_ok(&post_new(&mut alice, number, &json!({"bob": 1}), b"x").await));
            bob.take().await;
        }
        bob.barrier().await;
        let ack = post_new(&mut alice, 3, &json!({"bob": 1}), b"at one").await;
        let why = "queue full at node 0, limit 3 messages";
        fails(&ack, version, &format!("bob: {why}"), &json!({"bob": why}));
        assert_eq!(bob.take_data().await, "at one");
        // For one node of his, one with room is all it takes.
        let ack = post_new(&mut alice, 4, &json!({"bob": 0}), b"to one").await;
        assert_eq!((ack.kind.as_deref(), ack.error, ack.etc), (Some("ok"), None, None));
        assert_eq!(bob.take_data().await, "to one");
    }
}

#[tokio::test]
async fn a_node_that_is_added_counts_what_it_was_given() {
    let (_store, server) = server("queue_messages = 3").await;
    let mut alice = login(&server, "alice", 2).await;
    for number in 0..3 {
        assert!(is_ok(&post_new(&mut alice, number, &json!({"bob": 1}), b"x").await));
    }
    Client::add_node(&server, "bob", "n1").await;
    let ack = post_new(&mut alice, 3, &json!({"bob": 1}), b"x").await;
    fails(&ack, 2, &format!("bob: {FULL}"), &json!({"bob": FULL}));
}

#[tokio::test]
async fn a_ping_to_a_full_queue_names_the_alias_and_not_its_owner() {
    for version in [1, 2] {
        let (_store, server) = server("queue_messages = 1").await;
        let mut alice = login(&server, "alice", version).await;
        assert!(is_ok(&post(&mut alice, &json!({"bob": 1}), b"x").await));
        alice.send(&json!({"op": "ping", "id": "q", "alias": "al-bob"}), b"x").await;
        let ack = alice.reply().await;
        let why = "queue full, limit 1 messages";
        fails(&ack, version, &format!("al-bob: {why}"), &json!({"al-bob": why}));
    }
}

#[tokio::test]
async fn a_list_edit_says_who_does_not_learn_of_it() {
    for version in [1, 2] {
        let (_store, server) = server("queue_messages = 1").await;
        let mut alice = login(&server, "alice", version).await;
        assert!(is_ok(&post(&mut alice, &json!({"bob": 1}), b"x").await));
        let edit = json!({"op": "listEdit", "id": "e", "to": "L", "type": "add", "member": "bob"});
        alice.send(&edit, b"").await;
        let ack = alice.reply().await;
        let why = "queue full, limit 1 messages";
        fails(&ack, version, &format!("bob: {why}"), &json!({"bob": why}));
        // The edit itself is made.
        let ack = post_new(&mut alice, 1, &json!({"L": 2}), b"x").await;
        fails(&ack, version, &format!("bob: {why}"), &json!({"bob": why}));
        assert_eq!(alice.take().await.op, "listEdited");
    }
}

#[tokio::test]
async fn thousands_of_failed_recipients_are_named_and_counted() {
    let (_store, server) = server("").await;
    for version in [1, 2] {
        let mut alice = login(&server, "alice", version).await;
        let to: serde_json::Map<String, Value> =
            (0..1500).map(|number| (format!("nobody {number}"), json!(1))).collect();
        let ack = post(&mut alice, &Value::Object(to), b"x").await;
        let lines: Vec<_> = ack.error.as_deref().unwrap().lines().collect();
        assert_eq!((lines.len(), lines[1000]), (1001, "and 500 more"));
        if version == 2 {
            let etc: Value = serde_json::from_slice(&ack.etc().unwrap()).unwrap();
            assert_eq!(etc["failed"].as_object().unwrap().len(), 1000);
            assert_eq!(etc["more"], 500);
        }
        alice.close().await;
    }
}

#[tokio::test]
async fn too_many_posts_are_refused_and_may_come_later() {
    for version in [1, 2] {
        let (_store, server) = server("posts_per_second = 1\nposts_burst = 2").await;
        let mut alice = login(&server, "alice", version).await;
        let mut refused = 0;
        for number in 0..5 {
            let ack = post_new(&mut alice, number, &json!({"bob": 1}), b"x").await;
            if ack.kind.as_deref() == Some("error") {
                is_refused(&ack, "too many posts: limit 1 per second");
                refused += 1;
            }
        }
        assert!(refused > 0);
        // Another user is not concerned, and after a while alice may post again what was refused.
        assert!(is_ok(
            &post(&mut login(&server, "carol", version).await, &json!({"bob": 1}), b"").await
        ));
        tokio::time::sleep(Duration::from_millis(1100)).await;
        assert!(is_ok(&post_new(&mut alice, 4, &json!({"bob": 1}), b"x").await));
    }
}

#[tokio::test]
async fn too_many_recipients_are_refused_with_the_limit() {
    let (_store, server) = server("to = 2\nto_one = 1\nrecipients = 2").await;
    Client::add_node(&server, "bob", "n1").await;
    for version in [1, 2] {
        let mut alice = login(&server, "alice", version).await;
        for (to, why) in [
            (json!({"a": 1, "b": 1, "c": 1}), "too many recipients: limit 2 names"),
            (json!({"bob": 0, "carol": 0}), "too many recipients: limit 1 of type 0"),
            (json!({"bob": 1, "carol": 1}), "too many recipients: limit 2 nodes"),
        ] {
            is_refused(&post(&mut alice, &to, b"x").await, why);
        }
        assert!(is_ok(&post(&mut alice, &json!({"bob": 1}), b"x").await));
        alice.close().await;
    }
}

#[tokio::test]
async fn json_that_is_nested_without_end_is_refused_and_hurts_nobody() {
    let (_store, server) = server("").await;
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    for header in ["[".repeat(65_535), deep(32_000), format!("{{\"op\":{}}}", deep(30_000))] {
        let mut stranger = Client::connect(server.address, Framing::Raw).await;
        stranger.send_bytes(message(&header, b"")).await;
        assert_eq!(stranger.quit().await, "invalid JSON");
    }
    for version in [1, 2] {
        // Inline, as a value of its own up to the limit of a message, and open at the end.
        let posts =
            |etc: &str| json!({"op": "post", "id": "d", "to": {"bob": 1}, "etc": etc.len()});
        for etc in [deep(129), deep(7 << 20), "[".repeat(15 << 20)] {
            let mut alice = login(&server, "alice", version).await;
            alice.send(&posts(&etc), etc.as_bytes()).await;
            assert_eq!(alice.quit().await, "invalid etc");
        }
        let mut alice = login(&server, "alice", version).await;
        let inline = format!(r#"{{"op":"post","id":"d","to":{{"bob":1}},"etc":{}}}"#, deep(200));
        alice.send_bytes(message(&inline, b"")).await;
        assert_eq!(alice.quit().await, "invalid JSON");
        let mut alice = login(&server, "alice", version).await;
        let etc = deep(128);
        alice.send(&posts(&etc), etc.as_bytes()).await;
        assert!(is_ok(&alice.reply().await));
        alice.close().await;
    }
}
