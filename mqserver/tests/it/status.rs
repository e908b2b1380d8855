//! status of version 2: what a user is told of its nodes, aliases and lists.

use crate::common;

use common::node::Node;
use common::{Client, Framing, SMALL, Server, Store, message};
use serde_json::{Value, json};

async fn v2(server: &Server, user: &str, node: &str) -> Node {
    let (node, answer) =
        Node::login(server, Framing::WebSocket, user, node, &json!({"v": 2})).await;
    assert_eq!(answer["info"], "ok login", "{answer}");
    node
}

/// The answer's etc.
async fn status(by: &mut Node) -> Value {
    by.send(&json!({"op": "status", "id": "s"})).await;
    let (header, body) = by.hear().await.unwrap();
    assert_eq!((&header["op"], &header["id"]), (&json!("status"), &json!("s")), "{header}");
    assert_eq!(header["etc"], body.len());
    serde_json::from_slice(&body).unwrap()
}

/// The nodes without the times, of which each is one.
fn nodes(status: &Value) -> Value {
    let mut nodes = status["nodes"].clone();
    for node in nodes.as_array_mut().unwrap() {
        if let Some(seen) = node.as_object_mut().unwrap().remove("lastSeen") {
            assert!(seen.as_str().unwrap().ends_with('Z'), "{seen}");
        }
    }
    nodes
}

/// Bytes of the messages that wait in a queue, as they are delivered.
fn bytes(store: &Store, node: &str) -> u64 {
    let line = "websocket.MQ 1 crc32c:01234567 length:0123456789\n".len() as u64;
    store.files(node).iter().map(|file| file.metadata().unwrap().len() - line).sum()
}

/// alice, and bob with two nodes, aliases and lists.
async fn people(config: &str) -> (Store, Server) {
    let store = Store::with(&format!("{SMALL}{config}"));
    let server = Server::start(&store);
    Client::register(&server, "alice", "ally").await;
    Client::register(&server, "bob", "bobby rob").await;
    assert_eq!(Client::add_node(&server, "bob", "n1").await, 1);
    (store, server)
}

#[tokio::test]
async fn a_user_is_told_what_waits_for_each_of_its_nodes_also_after_a_restart() {
    let (store, server) = people("").await;
    let mut alice = v2(&server, "alice", "n0").await;
    for (id, kind) in [("1", 1), ("2", 1), ("3", 0)] {
        let post = json!({"op": "post", "id": id, "to": {"bob": kind}});
        alice.send_with(&post, b"some bytes").await;
        assert_eq!(alice.next().await["type"], "ok");
    }
    store.filed("bob,0", 3).await;
    let each = bytes(&store, "bob,0") / 3;
    let node = |offset: u8, online: bool, queued: u64| json!({"offset": offset, "online": online, "queued": queued, "bytes": queued * each});
    let mut bob = v2(&server, "bob", "n1").await;
    let taken = bob.take(3).await;
    assert_eq!(nodes(&status(&mut bob).await), json!([node(0, false, 3), node(1, true, 3)]));
    bob.ack(&[&taken[0].0]).await;
    assert_eq!(nodes(&status(&mut bob).await), json!([node(0, false, 3), node(1, true, 2)]));
    // What was for one node is no more for any.
    bob.ack(&[&taken[2].0]).await;
    assert_eq!(nodes(&status(&mut bob).await), json!([node(0, false, 2), node(1, true, 1)]));
    server.stop();
    let server = Server::start(&store);
    let mut bob = v2(&server, "bob", "n0").await;
    bob.take(2).await;
    assert_eq!(nodes(&status(&mut bob).await), json!([node(0, true, 2), node(1, false, 1)]));
    // Not of others.
    let mut alice = v2(&server, "alice", "n0").await;
    let told = status(&mut alice).await;
    assert_eq!(nodes(&told), json!([node(0, true, 0)]));
    assert_eq!((&told["aliases"], &told["lists"]), (&json!(["ally"]), &json!([])));
}

#[tokio::test]
async fn a_node_was_last_seen_when_it_left_if_that_was_in_this_life() {
    let (store, server) = people("").await;
    let mut bob = v2(&server, "bob", "n0").await;
    let told = status(&mut bob).await;
    let now = told["nodes"][0]["lastSeen"].as_str().unwrap().to_owned();
    assert_eq!(told["nodes"][1].get("lastSeen"), None);
    v2(&server, "bob", "n1").await.close().await;
    let mut last = told;
    let start = std::time::Instant::now();
    while last["nodes"][1].get("lastSeen").is_none() || last["nodes"][1]["online"] == true {
        assert!(start.elapsed() < common::PATIENCE, "{last}");
        last = status(&mut bob).await;
    }
    let seen = last["nodes"][1]["lastSeen"].as_str().unwrap().to_owned();
    // To the second, in which it may have been before.
    assert!(seen[..19] >= now[..19], "{seen} {now}");
    let later = status(&mut bob).await;
    assert_eq!(later["nodes"][1]["lastSeen"], seen);
    server.kill();
    let server = Server::start(&store);
    let told = status(&mut v2(&server, "bob", "n0").await).await;
    assert_eq!(told["nodes"][1].get("lastSeen"), None);
}

#[tokio::test]
async fn a_user_is_told_its_aliases_and_the_lists_it_is_a_member_of() {
    let (_store, server) = people("").await;
    let mut bob = v2(&server, "bob", "n0").await;
    for (list, edit, member) in
        [("zebra", "add", "alice"), ("apes", "invite", "ally"), ("left", "add", "alice")]
    {
        let header =
            json!({"op": "listEdit", "id": list, "to": list, "type": edit, "member": member});
        bob.send(&header).await;
        // Its notice, and the ack.
        bob.take(1).await;
        assert_eq!(bob.next().await["type"], "ok");
    }
    bob.send(
        &json!({"op": "listEdit", "id": "4", "to": "left", "type": "remove", "member": "bob"}),
    )
    .await;
    bob.take(1).await;
    assert_eq!(bob.next().await["type"], "ok");
    let told = status(&mut bob).await;
    assert_eq!(told["aliases"], json!(["bobby", "rob"]));
    assert_eq!(told["lists"], json!(["apes", "zebra"]));
    let mut alice = v2(&server, "alice", "n0").await;
    let mut lists = Value::Null;
    alice.send(&json!({"op": "status", "id": "s"})).await;
    while lists.is_null() {
        let (header, body) = alice.hear().await.unwrap();
        if header["op"] == "status" {
            lists = serde_json::from_slice::<Value>(&body).unwrap()["lists"].clone();
        }
    }
    // An invitation is no membership.
    assert_eq!(lists, json!(["left", "zebra"]));
}

#[tokio::test]
async fn version_1_knows_no_status_and_version_2_needs_an_id_and_no_body() {
    let (_store, server) = people("").await;
    for (header, body, quit) in [
        (r#"{"op":"status"}"#, "", "status request missing param id"),
        (r#"{"op":"status","id":1}"#, "", "status request missing param id"),
        (r#"{"op":"status","id":"s"}"#, "x", "message body disallowed for status"),
    ] {
        let mut bob = v2(&server, "bob", "n0").await;
        bob.link.send(message(header, body.as_bytes()).into()).await.unwrap();
        assert_eq!(bob.quit().await, quit);
        let mut old = Client::login(&server, Framing::Raw, "bob", "n0").await;
        old.send_bytes(message(header, body.as_bytes())).await;
        assert_eq!(old.quit().await, "invalid request op");
        let mut stranger = Client::connect(server.address, Framing::Raw).await;
        stranger.send_bytes(message(header, body.as_bytes())).await;
        assert_eq!(stranger.quit().await, "invalid request op");
    }
}

#[tokio::test]
async fn who_asks_too_often_is_told_so_as_with_posts() {
    let (_store, server) = people("\n[limits]\nposts_per_second = 1\nposts_burst = 2\n").await;
    let mut bob = v2(&server, "bob", "n0").await;
    status(&mut bob).await;
    status(&mut bob).await;
    bob.send(&json!({"op": "status", "id": "s"})).await;
    let refused = bob.next().await;
    let error = "too many posts: limit 1 per second";
    assert_eq!(refused, json!({"op": "ack", "id": "s", "type": "error", "error": error}));
}

#[tokio::test]
async fn many_that_are_asked_at_once_are_answered_in_order_with_what_stands_between() {
    let (_store, server) = people("").await;
    let mut bob = v2(&server, "bob", "n0").await;
    for number in 0..200 {
        bob.send(&json!({"op": "status", "id": number.to_string()})).await;
        bob.send(&json!({"op": "post", "id": format!("p{number}"), "to": {}, "noNodes": true}))
            .await;
    }
    for number in 0..200 {
        let told = bob.next().await;
        assert_eq!((&told["op"], &told["id"]), (&json!("status"), &json!(number.to_string())));
        assert_eq!(bob.next().await["id"], format!("p{number}"));
    }
}
