//! dropNode of version 2: a user takes one of its nodes away, with all that is left of it.

use crate::common;

use common::node::Node;
use common::{Client, Framing, PATIENCE, SMALL, Server, Store, eventually, message};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// A server with alice, who has one node, and bob with the nodes `n0` and `n1`.
async fn people(config: &str) -> (Store, Server) {
    let store = Store::with(&format!("{SMALL}{config}"));
    let server = Server::start(&store);
    for user in ["alice", "bob"] {
        Client::register(&server, user, "").await;
    }
    assert_eq!(Client::add_node(&server, "bob", "n1").await, 1);
    (store, server)
}

async fn v2(server: &Server, user: &str, node: &str) -> Node {
    let (node, answer) =
        Node::login(server, Framing::WebSocket, user, node, &json!({"v": 2})).await;
    assert_eq!(answer["info"], "ok login", "{answer}");
    node
}

/// What a login of bob's is told.
async fn login(server: &Server, node: &str) -> Value {
    let (client, answer) = Node::login(server, Framing::Raw, "bob", node, &json!({"v": 2})).await;
    drop(client);
    answer
}

async fn drop_node(by: &mut Node, offset: &Value) -> Value {
    by.send(&json!({"op": "dropNode", "id": "d", "node": offset})).await;
    by.next().await
}

fn ok() -> Value {
    json!({"op": "ack", "id": "d", "type": "ok"})
}

async fn post(by: &mut Node, id: &str, kind: u8, data: &[u8]) -> Value {
    by.send_with(&json!({"op": "post", "id": id, "to": {"bob": kind}, "noNodes": true}), data)
        .await;
    let ack = by.next().await;
    assert_eq!((&ack["op"], &ack["type"]), (&json!("ack"), &json!("ok")), "{ack}");
    ack
}

/// The data of all that comes to a node of bob's, acked.
async fn all_of(server: &Server, node: &str) -> Vec<String> {
    let (mut node, answer) = Node::login(server, Framing::Raw, "bob", node, &json!({"v": 2})).await;
    let taken = node.take(answer["queued"].as_u64().unwrap() as usize).await;
    node.ack(&taken.iter().map(|(id, _)| id).collect::<Vec<_>>()).await;
    node.is_left_alone().await;
    node.close().await;
    taken.iter().map(|(_, data)| String::from_utf8(data.to_vec()).unwrap()).collect()
}

/// Nothing of bob's node 1 is on the disk but what the journal has.
fn is_gone(store: &Store) -> bool {
    !store.queue("bob,1").exists() && !store.path().join("posted/bob,1").exists()
}

#[tokio::test]
async fn a_dropped_node_is_logged_out_and_nothing_is_left_of_it() {
    let (store, server) = people("").await;
    let mut alice = v2(&server, "alice", "n0").await;
    for number in 0..20 {
        post(&mut alice, &number.to_string(), 1, b"before").await;
    }
    store.filed("bob,1", 20).await;
    let mut other = v2(&server, "bob", "n1").await;
    let taken = other.take(20).await;
    other.ack(&[&taken[3].0]).await;
    let mut bob = v2(&server, "bob", "n0").await;
    bob.take(20).await;
    assert_eq!(drop_node(&mut bob, &json!(1)).await, ok());
    assert_eq!(other.quit().await, "node dropped");
    assert!(is_gone(&store));
    assert_eq!(login(&server, "n1").await["info"], "nodeId unknown");
    assert_eq!(drop_node(&mut bob, &json!(1)).await["error"], "node 1 not found");
    // The others lose nothing, and what is posted is for them alone.
    post(&mut alice, "after", 1, b"after").await;
    assert_eq!(bob.take(1).await[0].1, "after");
    bob.close().await;
    assert_eq!(all_of(&server, "n0").await.len(), 21);
    assert!(is_gone(&store));
}

#[tokio::test]
async fn who_drops_itself_gets_the_ack_first() {
    for framing in [Framing::Raw, Framing::WebSocket] {
        let (store, server) = people("").await;
        let mut bob = Node::login(&server, framing, "bob", "n1", &json!({"v": 2})).await.0;
        bob.send(&json!({"op": "dropNode", "id": "d", "node": 1})).await;
        // What it asks behind that is not for it to ask any more.
        bob.send(&json!({"op": "post", "id": "p", "to": {"bob": 1}})).await;
        assert_eq!(bob.next().await, ok());
        assert_eq!(bob.quit().await, "node dropped");
        assert!(is_gone(&store));
        assert_eq!(login(&server, "n1").await["info"], "nodeId unknown");
        assert_eq!(login(&server, "n0").await["queued"], 0);
    }
}

#[tokio::test]
async fn the_last_node_stays_and_so_do_those_of_others() {
    let (_store, server) = people("").await;
    let mut alice = v2(&server, "alice", "n0").await;
    for (offset, error) in [
        (json!(0), "node 0 is the last one"),
        (json!(1), "node 1 not found"),
        (json!(100), "node 100 not found"),
        (json!(256), "node 256 not found"),
    ] {
        let ack = drop_node(&mut alice, &offset).await;
        assert_eq!(ack, json!({"op": "ack", "id": "d", "type": "error", "error": error}));
    }
    assert_eq!(login(&server, "n1").await["info"], "ok login");
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_told_and_version_1_knows_no_such_op() {
    let (_store, server) = people("").await;
    for (header, body, quit) in [
        (r#"{"op":"dropNode","node":1}"#, "", "dropNode request missing param id"),
        (r#"{"op":"dropNode","id":"d"}"#, "", "dropNode request missing param node"),
        (r#"{"op":"dropNode","id":"d","node":"1"}"#, "", "dropNode request missing param node"),
        (r#"{"op":"dropNode","id":"d","node":-1}"#, "", "dropNode request missing param node"),
        (r#"{"op":"dropNode","id":"d","node":1.5}"#, "", "dropNode request missing param node"),
        (r#"{"op":"dropNode","id":"d","node":1}"#, "x", "message body disallowed for dropNode"),
    ] {
        let mut bob = v2(&server, "bob", "n0").await;
        let sent = bob.link.send(message(header, body.as_bytes()).into());
        timeout(PATIENCE, sent).await.unwrap().unwrap();
        assert_eq!(bob.quit().await, quit, "{header}");
        // Not even of what is wrong with it.
        let mut old = Client::login(&server, Framing::Raw, "bob", "n0").await;
        old.send_bytes(message(header, body.as_bytes())).await;
        assert_eq!(old.quit().await, "invalid request op", "{header}");
        let mut stranger = Client::connect(server.address, Framing::Raw).await;
        stranger.send_bytes(message(header, body.as_bytes())).await;
        assert_eq!(stranger.quit().await, "invalid request op", "{header}");
    }
    assert_eq!(login(&server, "n1").await["info"], "ok login");
}

#[tokio::test]
async fn what_one_node_was_to_have_waits_for_another() {
    let (store, server) = people("\n[limits]\nqueue_messages = 2\n").await;
    let mut alice = v2(&server, "alice", "n0").await;
    // For node 0, and so full.
    post(&mut alice, "1", 1, b"for all").await;
    post(&mut alice, "2", 1, b"for all").await;
    assert_eq!(all_of(&server, "n1").await.len(), 2);
    // So only node 1 has room.
    let ack = post(&mut alice, "3", 0, b"for one").await;
    assert_eq!(ack["error"], Value::Null, "{ack}");
    store.filed("bob,1", 1).await;
    let mut bob = v2(&server, "bob", "n0").await;
    bob.take(2).await;
    assert_eq!(drop_node(&mut bob, &json!(1)).await, ok());
    assert_eq!(bob.take(1).await[0].1, "for one");
    assert!(is_gone(&store));
    bob.close().await;
    assert_eq!(all_of(&server, "n0").await, ["for all", "for all", "for one"]);
}

#[tokio::test]
async fn the_next_node_of_that_offset_inherits_nothing_not_even_after_kill_9() {
    let (store, server) = people("").await;
    let mut alice = v2(&server, "alice", "n0").await;
    post(&mut alice, "1", 1, b"acked by one").await;
    let mut other = v2(&server, "bob", "n1").await;
    // It is acked, and something is posted; the journal says both.
    let taken = other.take(1).await;
    other.ack(&[&taken[0].0]).await;
    let to_alice = json!({"op": "post", "id": "7", "to": {"alice": 1}, "noNodes": true});
    other.send_with(&to_alice, b"of the old one").await;
    assert_eq!(other.next().await["type"], "ok");
    alice.take(1).await;
    post(&mut alice, "2", 1, b"waits").await;
    let mut bob = v2(&server, "bob", "n0").await;
    let first = bob.take(2).await;
    assert_eq!(drop_node(&mut bob, &json!(1)).await, ok());
    assert_eq!(other.take(1).await[0].1, "waits");
    assert_eq!(other.quit().await, "node dropped");
    bob.ack(&[&first[1].0]).await;
    bob.barrier().await;
    bob.close().await;
    // The same name, and the same offset; what waits for node 0 is copied.
    assert_eq!(Client::add_node(&server, "bob", "n1").await, 1);
    let mut other = v2(&server, "bob", "n1").await;
    other.take(1).await;
    other.send_with(&to_alice, b"of the new one").await;
    let ack = other.next().await;
    assert_eq!((&ack["type"], &ack["dup"]), (&json!("ok"), &Value::Null), "{ack}");
    server.kill();
    let server = Server::start(&store);
    assert_eq!(all_of(&server, "n1").await, ["acked by one"]);
    assert_eq!(all_of(&server, "n0").await, ["acked by one"]);
    let mut other = v2(&server, "bob", "n1").await;
    other.send_with(&to_alice, b"again").await;
    assert_eq!(other.next().await["dup"], true);
    let mut alice = v2(&server, "alice", "n0").await;
    let got: Vec<_> = alice.take(2).await.into_iter().map(|(_, data)| data).collect();
    assert_eq!(got, ["of the old one", "of the new one"]);
}

#[tokio::test]
async fn after_kill_9_a_node_is_gone_with_all_it_had_or_there_with_all_it_has() {
    let (store, mut server) = people("").await;
    let (mut gone, mut there) = (0, 0);
    for round in 0..16 {
        let mut alice = v2(&server, "alice", "n0").await;
        for number in 0..30 {
            post(&mut alice, &format!("{round} {number}"), 1, b"waits").await;
        }
        all_of(&server, "n0").await;
        let mut bob = v2(&server, "bob", "n0").await;
        bob.send(&json!({"op": "dropNode", "id": "d", "node": 1})).await;
        let acked = match round % 8 {
            7 => bob.next().await == ok(),
            step => {
                sleep(Duration::from_micros(400 * step)).await;
                false
            }
        };
        server.kill();
        server = Server::start(&store);
        match login(&server, "n1").await {
            answer if answer["info"] == "ok login" => {
                assert!(!acked);
                assert_eq!(answer["queued"], 30);
                assert_eq!(all_of(&server, "n1").await.len(), 30);
                there += 1;
            }
            answer => {
                assert_eq!(answer["info"], "nodeId unknown");
                eventually("nothing is left of the node", || is_gone(&store)).await;
                let offset = Client::add_node(&server, "bob", "n1").await;
                // Its place may not be free yet.
                assert!(offset == 1 || offset == 2, "{offset}");
                assert_eq!(all_of(&server, "n1").await.len(), 0);
                if offset == 2 {
                    let mut bob = v2(&server, "bob", "n0").await;
                    assert_eq!(Client::add_node(&server, "bob", "n2").await, 1);
                    assert_eq!(drop_node(&mut bob, &json!(2)).await, ok());
                    assert_eq!(Client::add_node(&server, "bob", "n1").await, 2);
                    assert_eq!(drop_node(&mut bob, &json!(1)).await, ok());
                    assert_eq!(drop_node(&mut bob, &json!(2)).await, ok());
                    assert_eq!(Client::add_node(&server, "bob", "n1").await, 1);
                }
                gone += 1;
            }
        }
    }
    assert!(gone > 0 && there + gone == 16, "{gone} gone, {there} there");
}
