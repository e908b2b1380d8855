//! Takeover: a login of version 2 that ends the link that holds its node.

use crate::common;

use common::{Client, Framing, Server, Store};
use serde_json::json;

const BOTH: [Framing; 2] = [Framing::Raw, Framing::WebSocket];

/// Asks to take a node over; the answer.
async fn take_over(server: &Server, framing: Framing, node: &str) -> (Client, Option<String>) {
    let mut client = Client::connect(server.address, framing).await;
    let header = json!({"op": "login", "userId": "bob", "nodeId": node, "v": 2, "takeover": true});
    client.send(&header, b"").await;
    let info = client.reply().await.info;
    (client, info)
}

async fn bob(server: &Server, node: &str) -> Client {
    Client::login(server, Framing::WebSocket, "bob", node).await
}

async fn people() -> (Store, Server, Client) {
    let store = Store::new();
    let server = Server::start(&store);
    for user in ["alice", "bob"] {
        Client::register(&server, user, "").await;
    }
    let alice = Client::login(&server, Framing::Raw, "alice", "n0").await;
    (store, server, alice)
}

#[tokio::test]
async fn the_old_link_is_told_and_what_was_in_flight_comes_again_on_the_new_one() {
    let (_store, server, mut alice) = people().await;
    for framing in BOTH {
        let mut old = bob(&server, "n0").await;
        for data in [b"1", b"2"] {
            alice.post(&json!({"bob": 1}), data).await;
        }
        let first = old.delivery().await;
        assert_eq!(first.data(), "1");
        let (mut new, info) = take_over(&server, framing, "n0").await;
        assert_eq!(info.as_deref(), Some("ok login"));
        assert_eq!(old.quit().await, "taken over");
        let again = new.take().await;
        assert_eq!((&again.id, again.data()), (&first.id, "1".into()));
        assert_eq!(new.take_data().await, "2");
        new.barrier().await;
        new.close().await;
    }
}

#[tokio::test]
async fn what_the_old_link_still_says_does_not_count() {
    let (_store, server, mut alice) = people().await;
    let mut old = bob(&server, "n0").await;
    alice.post(&json!({"bob": 1}), b"1").await;
    let first = old.delivery().await;
    let (mut new, _) = take_over(&server, Framing::Raw, "n0").await;
    // It cannot know yet; its end comes after.
    let header = json!({"op": "ack", "id": first.id, "type": "ok"}).to_string();
    old.try_send_bytes(common::message(&header, b"")).await;
    assert_eq!(old.quit().await, "taken over");
    assert_eq!(new.delivery().await.id, first.id);
    new.close().await;
    let mut new = bob(&server, "n0").await;
    assert_eq!(new.take().await.id, first.id);
}

#[tokio::test]
async fn nobody_is_taken_over_by_who_does_not_ask_for_it_in_version_2() {
    let (_store, server, mut alice) = people().await;
    let mut old = bob(&server, "n0").await;
    for more in [
        json!({}),
        json!({"takeover": true}),
        json!({"v": 1, "takeover": true}),
        json!({"v": 2}),
        json!({"v": 2, "takeover": false}),
    ] {
        let mut header = json!({"op": "login", "userId": "bob", "nodeId": "n0"});
        header.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let mut client = Client::connect(server.address, Framing::Raw).await;
        client.send(&header, b"").await;
        assert_eq!(client.quit().await, "node already active", "{more}");
    }
    alice.post(&json!({"bob": 1}), b"still here").await;
    assert_eq!(old.take_data().await, "still here");
    old.barrier().await;
}

#[tokio::test]
async fn a_node_that_nobody_holds_is_simply_logged_in_and_a_wrong_name_takes_nothing() {
    let (_store, server, mut alice) = people().await;
    let (mut held, info) = take_over(&server, Framing::Raw, "n0").await;
    assert_eq!(info.as_deref(), Some("ok login"));
    let (_, info) = take_over(&server, Framing::Raw, "n1").await;
    assert_eq!(info.as_deref(), Some("nodeId unknown"));
    alice.post(&json!({"bob": 1}), b"x").await;
    assert_eq!(held.take_data().await, "x");
}

#[tokio::test]
async fn a_message_for_one_node_is_free_again_when_its_holder_is_taken_over() {
    let (_store, server, mut alice) = people().await;
    Client::add_node(&server, "bob", "n1").await;
    let mut old = bob(&server, "n0").await;
    let header = json!({"op": "post", "id": "p", "to": {"bob": 0}, "noNodes": true});
    alice.send(&header, b"one").await;
    assert_eq!(alice.reply().await.kind.as_deref(), Some("ok"));
    let held = old.delivery().await;
    let mut other = bob(&server, "n1").await;
    other.barrier().await;
    let (mut new, _) = take_over(&server, Framing::Raw, "n0").await;
    assert_eq!(old.quit().await, "taken over");
    // The other node was there first; when it leaves, the new link has it.
    let again = other.delivery().await;
    assert_eq!(again.id, held.id);
    other.close().await;
    assert_eq!(new.take().await.id, held.id);
    new.barrier().await;
    let mut other = bob(&server, "n1").await;
    other.barrier().await;
}

#[tokio::test]
async fn links_that_take_over_from_each_other_leave_one_that_works() {
    let (_store, server, mut alice) = people().await;
    alice.post(&json!({"bob": 1}), b"x").await;
    let mut links = Vec::new();
    for _ in 0..50 {
        let mut client = Client::connect(server.address, Framing::Raw).await;
        let header =
            json!({"op": "login", "userId": "bob", "nodeId": "n0", "v": 2, "takeover": true});
        client.send(&header, b"").await;
        links.push(client);
    }
    // Each link has its answer before any is asked: while a login still waits for its turn, the link
    // that it will end works.
    let mut let_in = Vec::new();
    for mut link in links {
        match link.reply().await.info.as_deref() {
            Some("ok login") => let_in.push(link),
            info => assert_eq!(info, Some("taken over")),
        }
    }
    let mut working = Vec::new();
    for mut link in let_in {
        let header = json!({"op": "post", "id": "b", "to": {}, "noNodes": true});
        link.try_send_bytes(common::message(&header.to_string(), b"")).await;
        let reply = link.reply().await;
        match reply.op.as_str() {
            "quit" => assert_eq!(reply.info.as_deref(), Some("taken over")),
            op => {
                assert_eq!(op, "ack");
                working.push(link);
            }
        }
    }
    assert_eq!(working.len(), 1);
    assert_eq!(working[0].take_data().await, "x");
}
