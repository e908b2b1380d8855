//! Reposts: a node of version 2 that posts again what had no answer, under the same id, has it stored
//! once, and acked as the first was.

use crate::common;

use common::node::Node;
use common::{Client, Framing, Server, Store};
use serde_json::{Value, json};

/// More than goes through the journal.
const LARGE: usize = 600 << 10;
/// So many posts of a node are known again.
const REMEMBERED: usize = 4096;

async fn people() -> (Store, Server) {
    let store = Store::new();
    let server = Server::start(&store);
    for user in ["alice", "bob", "carol"] {
        Client::register(&server, user, &format!("al-{user}")).await;
    }
    (store, server)
}

async fn v2(server: &Server, user: &str) -> Node {
    Node::login(server, Framing::WebSocket, user, "n0", &json!({"v": 2, "window": 1000})).await.0
}

/// Posts, and the ack.
async fn post(node: &mut Node, id: &str, to: Value, data: &[u8]) -> Value {
    node.send_with(&json!({"op": "post", "id": id, "to": to}), data).await;
    node.next().await
}

async fn to_bob(node: &mut Node, id: &str) -> Value {
    post(node, id, json!({"bob": 1}), id.as_bytes()).await
}

/// It was acked as the first was, and says that it was known.
#[track_caller]
fn is_repeat(first: &Value, again: &Value) {
    assert_eq!(first["dup"], Value::Null, "{first}");
    let mut expected = first.clone();
    expected["dup"] = json!(true);
    // What a post that is for one node of each only says in place of no error.
    expected.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    assert_eq!(*again, expected);
    assert!(first["msgid"].is_string() && first["posted"].is_string(), "{first}");
}

/// What bob has got, all of it.
async fn bobs(server: &Server) -> Vec<String> {
    let mut bob = v2(server, "bob").await;
    // A post of its own comes behind all that waits.
    bob.send_with(&json!({"op": "post", "id": "end", "to": {"bob": 1}}), b"end").await;
    let (mut got, mut left) = (Vec::new(), 2);
    while left > 0 {
        let (header, body) = bob.hear().await.unwrap();
        if header["op"] != "deliver" {
            left -= 1;
            continue;
        }
        bob.ack(&[&header["id"]]).await;
        match std::str::from_utf8(&body).unwrap() {
            "end" => left -= 1,
            data => got.push(data.to_owned()),
        }
    }
    bob.barrier().await;
    bob.close().await;
    got
}

#[tokio::test]
async fn on_one_connection_a_repeat_is_stored_once() {
    let (_store, server) = people().await;
    let mut alice = v2(&server, "alice").await;
    let first = to_bob(&mut alice, "1").await;
    is_repeat(&first, &to_bob(&mut alice, "1").await);
    // Not even while the first is under way.
    for _ in 0..3 {
        let header = json!({"op": "post", "id": "2", "to": {"bob": 1}});
        alice.send_with(&header, b"2").await;
    }
    let acks = [alice.next().await, alice.next().await, alice.next().await];
    is_repeat(&acks[0], &acks[1]);
    is_repeat(&acks[0], &acks[2]);
    assert_eq!(bobs(&server).await, ["1", "2"]);
}

#[tokio::test]
async fn a_repeat_is_known_after_a_reconnect_a_kill_and_a_stop() {
    let (store, mut server) = people().await;
    let mut alice = v2(&server, "alice").await;
    let first = to_bob(&mut alice, "x").await;
    alice.close().await;
    for round in 0..3 {
        server = match round {
            0 => server,
            1 => {
                server.kill();
                Server::start(&store)
            }
            _ => {
                server.stop();
                Server::start(&store)
            }
        };
        let mut alice = v2(&server, "alice").await;
        is_repeat(&first, &to_bob(&mut alice, "x").await);
        alice.close().await;
    }
    assert_eq!(bobs(&server).await, ["x"]);
}

#[tokio::test]
async fn the_last_4096_posts_are_known_and_no_more() {
    let (store, mut server) = people().await;
    let mut alice = v2(&server, "alice").await;
    let all = REMEMBERED + 10;
    // Long enough that the journal goes round, so that they are known from files.
    let data = vec![b'x'; 2000];
    let mut firsts = Vec::new();
    for some in (0..all).collect::<Vec<_>>().chunks(200) {
        for number in some {
            let header = json!({"op": "post", "id": format!("post {number}"), "to": {"bob": 0}});
            alice.send_with(&header, &data).await;
        }
        for _ in some {
            firsts.push(alice.next().await);
        }
    }
    alice.close().await;
    server.kill();
    server = Server::start(&store);
    let mut alice = v2(&server, "alice").await;
    for number in [all - REMEMBERED, all - REMEMBERED + 1, all / 2, all - 1] {
        let again = post(&mut alice, &format!("post {number}"), json!({"bob": 0}), &data).await;
        is_repeat(&firsts[number], &again);
    }
    let forgotten = post(&mut alice, "post 9", json!({"bob": 0}), &data).await;
    assert_eq!((&forgotten["type"], &forgotten["dup"]), (&json!("ok"), &Value::Null));
}

#[tokio::test]
async fn whatever_it_became_it_becomes_once() {
    let (store, mut server) = people().await;
    let mut alice = v2(&server, "alice").await;
    let large = "l".repeat(LARGE);
    let several = json!({"bob": 0, "carol": 0});
    let cases = [
        ("several messages", several.clone(), "several"),
        ("a large one", json!({"bob": 1}), &large),
        ("several large ones", several, &large),
    ];
    let mut firsts = Vec::new();
    for (id, to, data) in &cases {
        firsts.push(post(&mut alice, id, to.clone(), data.as_bytes()).await);
    }
    alice.close().await;
    server.kill();
    server = Server::start(&store);
    let mut alice = v2(&server, "alice").await;
    for ((id, to, data), first) in cases.iter().zip(&firsts) {
        is_repeat(first, &post(&mut alice, id, to.clone(), data.as_bytes()).await);
    }
    assert_eq!(bobs(&server).await, ["several", &large, &large]);
    let staged = std::fs::read_dir(store.path().join("spool/.staged")).unwrap();
    assert!(staged.count() <= 4, "the bodies of repeats are kept");
}

#[tokio::test]
async fn a_ping_is_known_again_and_so_is_a_post_of_the_same_id() {
    let (_store, server) = people().await;
    let mut alice = v2(&server, "alice").await;
    let ping = json!({"op": "ping", "id": "p", "alias": "al-bob"});
    alice.send_with(&ping, b"ping").await;
    let first = alice.next().await;
    alice.send_with(&ping, b"ping").await;
    let again = alice.next().await;
    assert_eq!((&again["dup"], &again["msgid"]), (&json!(true), &first["msgid"]));
    assert_eq!(to_bob(&mut alice, "p").await["msgid"], first["msgid"]);
    assert_eq!(bobs(&server).await, ["ping"]);
}

#[tokio::test]
async fn ids_are_a_nodes_own_and_version_1_reuses_them() {
    let (_store, server) = people().await;
    let mut alice = v2(&server, "alice").await;
    let mut carol = v2(&server, "carol").await;
    to_bob(&mut alice, "1").await;
    assert_eq!(to_bob(&mut carol, "1").await["dup"], Value::Null);
    alice.close().await;
    let mut alice = Node::login(&server, Framing::Raw, "alice", "n0", &json!({})).await.0;
    for _ in 0..2 {
        assert_eq!(to_bob(&mut alice, "1").await, json!({"op": "ack", "id": "1", "type": "ok"}));
    }
    assert_eq!(bobs(&server).await, ["1"; 4]);
}

#[tokio::test]
async fn what_was_refused_is_stored_when_it_is_posted_again() {
    let (_store, server) = people().await;
    let mut alice = v2(&server, "alice").await;
    let refused = post(&mut alice, "1", json!({"dave": 1}), b"1").await;
    assert_eq!(refused["msgid"], Value::Null);
    Client::register(&server, "dave", "al-dave").await;
    let stored = post(&mut alice, "1", json!({"dave": 1}), b"1").await;
    assert_eq!((&stored["dup"], stored["msgid"].is_string()), (&Value::Null, true));
}
