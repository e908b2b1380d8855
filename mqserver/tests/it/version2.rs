//! Version 2 of the protocol on a server: windows, acks of many, dates, edits of many members; and
//! that a link of version 1 sees nothing of it.

use crate::common;

use bytes::Bytes;
use common::node::Node;
use common::{Client, Framing, Server, Store, message};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::time::{Duration, Instant};
use tokio::time::timeout;

const BOTH: [Framing; 2] = [Framing::Raw, Framing::WebSocket];
/// More than goes through the journal.
const LARGE: usize = 600 << 10;

/// A store with alice, bob and carol, and its server.
async fn people(config: &str) -> (Store, Server) {
    let store = Store::with(&format!("{}{config}", common::SMALL));
    let server = Server::start(&store);
    for user in ["alice", "bob", "carol"] {
        Client::register(&server, user, &format!("al-{user}")).await;
    }
    (store, server)
}

async fn alice(server: &Server) -> Client {
    Client::login(server, Framing::Raw, "alice", "n0").await
}

/// Bob's first node, in version 2 with this window.
async fn bob(server: &Server, framing: Framing, window: usize) -> Node {
    let (bob, answer) = login_bob(server, framing, window).await;
    assert_eq!((&answer["info"], &answer["window"]), (&json!("ok login"), &json!(window)));
    bob
}

async fn login_bob(server: &Server, framing: Framing, window: usize) -> (Node, Value) {
    Node::login(server, framing, "bob", "n0", &json!({"v": 2, "window": window})).await
}

fn numbered(number: usize) -> Bytes {
    format!("message {number}").into()
}

/// Posts numbered messages to bob, not one by one.
async fn post(poster: &mut Client, numbers: std::ops::Range<usize>) {
    let numbers: Vec<usize> = numbers.collect();
    for some in numbers.chunks(200) {
        for number in some {
            let header = json!({"op": "post", "id": number.to_string(), "to": {"bob": 1}});
            poster.send(&header, &numbered(*number)).await;
        }
        for number in some {
            let ack = poster.reply().await;
            assert_eq!((ack.id, ack.kind.as_deref()), (Some(number.to_string()), Some("ok")));
        }
    }
}

fn data(taken: &[(Value, Bytes)]) -> Vec<&Bytes> {
    taken.iter().map(|(_, data)| data).collect()
}

fn ids(taken: &[(Value, Bytes)]) -> Vec<&Value> {
    taken.iter().map(|(id, _)| id).collect()
}

#[track_caller]
fn are_numbered(taken: &[(Value, Bytes)], numbers: impl IntoIterator<Item = usize>) {
    let wanted: Vec<Bytes> = numbers.into_iter().map(numbered).collect();
    assert_eq!(data(taken), wanted.iter().collect::<Vec<_>>());
}

#[tokio::test]
async fn a_window_of_deliveries_comes_without_an_ack_and_another_after_any_ack() {
    for framing in BOTH {
        let (_store, server) = people("").await;
        let mut poster = alice(&server).await;
        // What waits at login, and what is posted behind it.
        post(&mut poster, 0..6).await;
        let mut bob = bob(&server, framing, 3).await;
        let mut taken = bob.take(3).await;
        are_numbered(&taken, 0..3);
        bob.is_left_alone().await;
        post(&mut poster, 6..12).await;
        bob.is_left_alone().await;
        for (acked, next) in [(1, 3), (3, 4), (0, 5), (5, 6), (2, 7)] {
            bob.ack(&[&taken[acked].0]).await;
            taken.extend(bob.take(1).await);
            are_numbered(&taken[next..], [next]);
            bob.is_left_alone().await;
        }
        bob.ack(&ids(&taken)).await;
        are_numbered(&bob.take(3).await, 8..11);
        bob.is_left_alone().await;
    }
}

#[tokio::test]
async fn acks_in_any_order_and_many_at_once_empty_the_queue() {
    for framing in BOTH {
        let (store, server) = people("").await;
        post(&mut alice(&server).await, 0..60).await;
        store.filed("bob,0", 60).await;
        let mut bob = bob(&server, framing, 100).await;
        let taken = bob.take(60).await;
        are_numbered(&taken, 0..60);
        // One by one from behind, twice over; the others at once, with some once more.
        for (id, _) in taken.iter().skip(40).rev() {
            bob.send(&json!({"op": "ack", "id": id})).await;
            bob.send(&json!({"op": "ack", "id": id, "type": "ok"})).await;
        }
        let mut rest = ids(&taken[..50]);
        rest.rotate_left(17);
        bob.ack(&rest).await;
        bob.ack(&rest).await;
        bob.is_left_alone().await;
        bob.close().await;
        let (mut bob, answer) = login_bob(&server, framing, 100).await;
        assert_eq!(answer["queued"], 0);
        bob.is_left_alone().await;
        store.filed("bob,0", 0).await;
    }
}

#[tokio::test]
async fn after_kill_9_what_was_acked_stays_away_and_all_else_comes() {
    let (store, server) = people("").await;
    let mut poster = alice(&server).await;
    post(&mut poster, 0..20).await;
    store.filed("bob,0", 20).await;
    let mut receiver = bob(&server, Framing::WebSocket, 100).await;
    // Of these no file is made in time.
    post(&mut poster, 20..30).await;
    let taken = receiver.take(30).await;
    let acked: Vec<&Value> = taken.iter().map(|(id, _)| id).skip(1).step_by(3).collect();
    receiver.ack(&acked).await;
    receiver.barrier().await;
    // Acks are on disk no later than the next post.
    post(&mut poster, 30..31).await;
    server.kill();
    let server = Server::start(&store);
    let (mut receiver, answer) = login_bob(&server, Framing::Raw, 100).await;
    assert_eq!(answer["queued"], 21);
    let again = receiver.take(21).await;
    are_numbered(&again, (0..31).filter(|number| number % 3 != 1 || *number == 30));
    receiver.is_left_alone().await;
    receiver.ack(&ids(&again)).await;
    receiver.barrier().await;
    server.stop();
    let server = Server::start(&store);
    let (mut receiver, answer) = login_bob(&server, Framing::Raw, 100).await;
    assert_eq!(answer["queued"], 0);
    receiver.is_left_alone().await;
}

#[tokio::test]
async fn the_answer_to_a_login_says_who_answers_and_what_waits() {
    let (_store, server) = people("").await;
    assert_eq!(Client::add_node(&server, "bob", "n1").await, 1);
    for framing in BOTH {
        let (client, answer) =
            Node::login(&server, framing, "bob", "n1", &json!({"v": 2, "window": 7})).await;
        assert_eq!((&answer["op"], &answer["info"]), (&json!("info"), &json!("ok login")));
        assert_eq!((&answer["v"], &answer["node"]), (&json!(2), &json!(1)));
        assert_eq!((&answer["window"], &answer["queued"]), (&json!(7), &json!(0)));
        assert_eq!(answer["maxMessage"], 16 << 20);
        assert!(answer["server"].as_str().unwrap().starts_with("websocket.MQ "), "{answer}");
        assert_eq!(answer["time"].as_str().unwrap().len(), "2026-11-21T08:00:00.000Z".len());
        client.close().await;
    }
    // A later version than there is; no window.
    let (client, answer) = Node::login(&server, Framing::Raw, "bob", "n1", &json!({"v": 3})).await;
    assert_eq!((&answer["v"], &answer["window"]), (&json!(2), &json!(100)));
    client.close().await;
}

#[tokio::test]
async fn a_login_is_answered_before_what_was_sent_behind_it() {
    let (_store, server) = people("").await;
    for (framing, user) in BOTH.into_iter().zip(["alice", "bob"]) {
        let mut client = Node::connect(&server, framing).await;
        client.send(&json!({"op": "login", "userId": user, "nodeId": "n0", "v": 2})).await;
        client.send(&json!({"op": "post", "id": "1", "to": {}, "noNodes": true})).await;
        assert_eq!(client.next().await["info"], "ok login");
        assert_eq!(client.next().await["id"], "1");
        client.close().await;
    }
}

#[tokio::test]
async fn queued_counts_what_waits_filed_or_not_small_or_large() {
    let (store, server) = people("").await;
    let mut poster = alice(&server).await;
    let (receiver, answer) = login_bob(&server, Framing::Raw, 2).await;
    assert_eq!(answer["queued"], 0);
    receiver.close().await;
    post(&mut poster, 0..5).await;
    let (receiver, answer) = login_bob(&server, Framing::Raw, 2).await;
    assert_eq!(answer["queued"], 5);
    receiver.close().await;
    store.filed("bob,0", 5).await;
    poster.post(&json!({"bob": 1}), &vec![b'x'; LARGE]).await;
    post(&mut poster, 5..7).await;
    let (mut receiver, answer) = login_bob(&server, Framing::Raw, 2).await;
    assert_eq!(answer["queued"], 8);
    let taken = receiver.take(2).await;
    receiver.ack(&[&taken[1].0]).await;
    receiver.take(1).await;
    receiver.barrier().await;
    receiver.close().await;
    assert_eq!(login_bob(&server, Framing::Raw, 2).await.1["queued"], 7);
}

#[tokio::test]
async fn max_message_is_the_limit_to_the_byte() {
    let (_store, server) = people("[limits]\nmax_message_mib = 1\n").await;
    for framing in BOTH {
        let (mut bob, answer) = login_bob(&server, framing, 2).await;
        let most = answer["maxMessage"].as_u64().unwrap() as usize;
        assert_eq!(most, 1 << 20);
        let header = json!({"op": "post", "id": "1", "to": {"carol": 1}}).to_string();
        let mut large = message(&header, b"");
        large.resize(most, b'x');
        bob.link.send(large.clone().into()).await.unwrap();
        assert_eq!(bob.next().await["type"], "ok");
        large.push(b'x');
        // The server may hang up before it is all sent.
        let _ = bob.link.send(large.into()).await;
        assert_eq!(bob.quit().await, "message too large");
    }
}

#[tokio::test]
async fn the_order_is_that_of_the_commits_and_posters_learn_the_ids() {
    let (_store, server) = people("").await;
    let mut bob = bob(&server, Framing::WebSocket, 1000).await;
    let mut posters = Vec::new();
    for user in ["alice", "carol"] {
        let (mut poster, _) =
            Node::login(&server, Framing::Raw, user, "n0", &json!({"v": 2})).await;
        posters.push(tokio::spawn(async move {
            let mut acks = Vec::new();
            for number in 0..300 {
                let header = json!({"op": "post", "id": number.to_string(), "to": {"bob": 1}});
                // Large ones go another way, and do not lose their place for that.
                let size = if number % 100 == 50 { LARGE } else { 10 };
                let message = message(&header.to_string(), &vec![b'x'; size]);
                poster.link.send(message.into()).await.unwrap();
                if number % 50 == 49 {
                    for _ in 0..50 {
                        acks.push(poster.next().await);
                    }
                }
            }
            acks
        }));
    }
    let mut taken = Vec::new();
    while taken.len() < 600 {
        let header = bob.next().await;
        bob.ack(&[&header["id"]]).await;
        taken.push(header);
    }
    assert!(taken.is_sorted_by_key(|header| header["id"].as_str().unwrap().to_owned()));
    assert!(taken.is_sorted_by_key(|header| header["posted"].as_str().unwrap().to_owned()));
    for (poster, user) in posters.into_iter().zip(["alice", "carol"]) {
        let acks = poster.await.unwrap();
        let from = taken.iter().filter(|header| header["from"] == user);
        for (number, (ack, header)) in acks.iter().zip(from).enumerate() {
            assert_eq!((&ack["id"], &ack["type"]), (&json!(number.to_string()), &json!("ok")));
            assert_eq!((&ack["msgid"], &ack["posted"]), (&header["id"], &header["posted"]));
        }
        assert_eq!(acks.len(), 300);
    }
}

#[tokio::test]
async fn a_larger_window_than_1000_is_cut() {
    let (_store, server) = people("").await;
    post(&mut alice(&server).await, 0..1010).await;
    let (mut bob, answer) = login_bob(&server, Framing::WebSocket, 1_000_000).await;
    assert_eq!((&answer["window"], &answer["queued"]), (&json!(1000), &json!(1010)));
    let taken = bob.take(1000).await;
    are_numbered(&taken, 0..1000);
    bob.is_left_alone().await;
    bob.ack(&[&taken[500].0, &taken[999].0]).await;
    are_numbered(&bob.take(2).await, 1000..1002);
    bob.is_left_alone().await;
}

#[tokio::test]
async fn a_login_that_asks_for_nonsense_is_refused() {
    let (_store, server) = people("").await;
    let nonsense =
        [json!(0), json!("x"), json!("5"), json!(-1), json!(1.5), json!(null), json!([5])];
    for framing in BOTH {
        for nonsense in &nonsense {
            for (param, asked) in [
                ("window", json!({"v": 2, "window": nonsense})),
                ("v", json!({"v": nonsense, "window": 5})),
            ] {
                let mut client = Node::connect(&server, framing).await;
                let mut header = json!({"op": "login", "userId": "bob", "nodeId": "n0"});
                header.as_object_mut().unwrap().extend(asked.as_object().unwrap().clone());
                client.send(&header).await;
                let text = format!("login request missing param {param}");
                assert_eq!(client.quit().await, text, "{asked}");
            }
        }
    }
    // Version 1 has no window.
    let asked = json!({"v": 1, "window": "x"});
    let (_, answer) = Node::login(&server, Framing::Raw, "bob", "n0", &asked).await;
    assert_eq!(answer, json!({"op": "info", "info": "ok login"}));
}

#[tokio::test]
async fn a_link_of_version_1_sees_nothing_of_version_2() {
    let (_store, server) = people("[limits]\nredelivery_s = 1\n").await;
    for (framing, asked) in [(BOTH[0], json!({})), (BOTH[1], json!({"v": 1, "window": 50}))] {
        let (mut bob, answer) = Node::login(&server, framing, "bob", "n0", &asked).await;
        assert_eq!(answer, json!({"op": "info", "info": "ok login"}));
        bob.send(&json!({"op": "post", "id": "1", "to": {"carol": 1}})).await;
        assert_eq!(bob.next().await, json!({"op": "ack", "id": "1", "type": "ok"}));
        let mut poster = alice(&server).await;
        post(&mut poster, 0..2).await;
        // One at a time, and again just the same.
        let first = bob.next().await;
        let id = &first["id"];
        assert_eq!(first, json!({"op": "deliver", "id": id, "from": "alice"}));
        for _ in 0..2 {
            assert_eq!(bob.next().await, first);
        }
        bob.send(&json!({"op": "ack", "id": id, "type": "ok"})).await;
        let second = bob.next().await;
        bob.send(&json!({"op": "ack", "id": second["id"], "type": "ok"})).await;
        bob.barrier().await;
        bob.close().await;
        poster.close().await;
    }
}

#[tokio::test]
async fn a_link_of_version_1_is_refused_what_version_2_may_ask_for() {
    let (_store, server) = people("").await;
    let id = "0".repeat(32);
    for (header, wanted) in [
        (json!({"op": "ack", "ids": [id]}), "ack request missing param id"),
        (json!({"op": "ack", "ids": [id], "type": "ok"}), "ack request missing param id"),
        (json!({"op": "ack", "ids": 5}), "ack request missing param id"),
        (json!({"op": "ack", "id": id}), "ack request missing param type"),
        (json!({"op": "ack", "id": id, "ids": [id]}), "ack request missing param type"),
        (
            json!({"op": "listEdit", "id": "1", "to": "l", "type": "add", "members": ["carol"]}),
            "listEdit request missing param member",
        ),
    ] {
        for framing in BOTH {
            let (mut bob, _) = Node::login(&server, framing, "bob", "n0", &json!({})).await;
            bob.send(&header).await;
            assert_eq!(bob.quit().await, wanted, "{header}");
        }
    }
}

#[tokio::test]
async fn on_a_link_of_version_1_ids_and_members_are_fields_like_any_unknown() {
    let (_store, server) = people("").await;
    let (mut bob, _) = Node::login(&server, Framing::Raw, "bob", "n0", &json!({})).await;
    post(&mut alice(&server).await, 0..2).await;
    let first = &bob.take(1).await[0].0;
    bob.send(&json!({"op": "ack", "id": "x", "type": "ok", "ids": [first]})).await;
    bob.is_left_alone().await;
    bob.send(&json!({"op": "ack", "id": first, "type": "ok", "ids": 5})).await;
    are_numbered(&bob.take(1).await, [1]);
    bob.send(&json!({
        "op": "listEdit", "id": "e", "to": "l", "type": "add", "member": "alice", "members": 5
    }))
    .await;
    assert_eq!(bob.next().await["type"], "ok");
}

#[tokio::test]
async fn nodes_of_both_versions_get_the_same_message() {
    let (_store, server) = people("").await;
    Client::add_node(&server, "bob", "n1").await;
    for (old, new) in [(BOTH[0], BOTH[1]), (BOTH[1], BOTH[0])] {
        let (mut old, _) = Node::login(&server, old, "bob", "n0", &json!({})).await;
        let (mut new, _) = Node::login(&server, new, "bob", "n1", &json!({"v": 2})).await;
        let mut poster = alice(&server).await;
        for size in [0, 9, LARGE] {
            let header = json!({"op": "post", "id": "1", "to": {"bob": 1}, "etc": {"size": size}});
            poster.send(&header, &vec![b'x'; size]).await;
            assert_eq!(poster.reply().await.kind.as_deref(), Some("ok"));
            let (old_header, old_body) = old.hear().await.unwrap();
            let (mut new_header, new_body) = new.hear().await.unwrap();
            let posted = new_header.as_object_mut().unwrap().remove("posted").unwrap();
            assert_eq!(posted.as_str().unwrap().len(), "2026-11-21T08:00:00.000Z".len());
            assert_eq!(old_header, new_header);
            assert!(old_body == new_body && old_body.ends_with(&vec![b'x'; size]));
            old.send(&json!({"op": "ack", "id": old_header["id"], "type": "ok"})).await;
            new.send(&json!({"op": "ack", "id": old_header["id"]})).await;
            old.barrier().await;
            new.barrier().await;
        }
        old.close().await;
        new.close().await;
        poster.close().await;
    }
}

#[tokio::test]
async fn what_is_not_acked_comes_again_after_10_seconds_and_anew_on_another_link() {
    let (_store, server) = people("").await;
    let mut receiver = bob(&server, Framing::WebSocket, 10).await;
    post(&mut alice(&server).await, 0..3).await;
    let start = Instant::now();
    let taken = receiver.take(3).await;
    receiver.ack(&[&taken[0].0, &taken[2].0]).await;
    let (again, elapsed) = (receiver.next().await, start.elapsed());
    assert!((9..15).contains(&elapsed.as_secs()), "{elapsed:?}");
    assert_eq!((&again["id"], &again["redelivered"]), (&taken[1].0, &json!(1)));
    receiver.is_left_alone().await;
    receiver.close().await;
    let mut receiver = bob(&server, Framing::WebSocket, 10).await;
    let anew = receiver.next().await;
    assert_eq!((&anew["id"], anew.get("redelivered")), (&taken[1].0, None));
}

#[tokio::test]
async fn all_of_a_window_that_is_not_acked_comes_again() {
    for framing in BOTH {
        let (_store, server) = people("[limits]\nredelivery_s = 1\n").await;
        let mut bob = bob(&server, framing, 20).await;
        post(&mut alice(&server).await, 0..20).await;
        let taken = bob.take(20).await;
        bob.ack(&[&taken[1].0, &taken[19].0]).await;
        for (number, (id, _)) in taken.iter().enumerate().filter(|(n, _)| *n != 1 && *n != 19) {
            let again = bob.next().await;
            assert_eq!((&again["id"], &again["redelivered"]), (id, &json!(1)), "{number}");
        }
    }
}

#[tokio::test]
async fn the_waits_double_in_version_2_only() {
    let (_store, server) = people("[limits]\nredelivery_s = 1\n").await;
    Client::add_node(&server, "bob", "n1").await;
    let mut new = bob(&server, Framing::Raw, 10).await;
    let (mut old, _) = Node::login(&server, Framing::Raw, "bob", "n1", &json!({})).await;
    post(&mut alice(&server).await, 0..1).await;
    let start = Instant::now();
    for (again, at) in [(0, 0.0), (1, 0.9), (2, 2.9), (3, 6.9)] {
        let header = new.next().await;
        assert_eq!(header.get("redelivered"), (again > 0).then_some(&json!(again)));
        assert!(start.elapsed().as_secs_f64() >= at, "{again} after {:?}", start.elapsed());
    }
    // By then, the old one came more often.
    let mut olds = 0;
    while let Ok(header) = timeout(Duration::from_millis(100), old.next()).await {
        assert_eq!(header["op"], "deliver");
        olds += 1;
    }
    assert!(olds > 4, "{olds}");
}

#[tokio::test]
async fn many_members_are_edited_at_once_or_none_with_one_notice() {
    let (_store, server) = people("").await;
    let asked = json!({"v": 2});
    let (mut alice, _) = Node::login(&server, Framing::WebSocket, "alice", "n0", &asked).await;
    let mut bob = bob(&server, Framing::Raw, 10).await;
    let (mut carol, _) = Node::login(&server, Framing::Raw, "carol", "n0", &json!({})).await;
    let edit = |edit: &str, members: Value| {
        let header = json!({"op": "listEdit", "id": "e", "to": "l", "type": edit});
        let mut header = header.as_object().unwrap().clone();
        header.insert("members".into(), members);
        Value::from(header)
    };
    // One of them is nobody.
    for kind in ["add", "invite"] {
        let name = if kind == "add" { "" } else { "al-" };
        let members = json!([format!("{name}bob"), "nobody", format!("{name}carol")]);
        alice.send(&edit(kind, members)).await;
        let ack = alice.next().await;
        let text = ack["error"].as_str().unwrap();
        assert!(ack["type"] == "error" && text.ends_with("l member nobody not found"), "{ack}");
    }
    alice.send(&json!({"op": "post", "id": "p", "to": {"l": 2}, "noNodes": true})).await;
    assert_eq!(alice.next().await["error"], "list l not found");
    for (kind, members) in [
        ("add", json!(["bob", "carol"])),
        ("remove", json!(["carol", "bob"])),
        ("invite", json!(["al-bob", "al-carol"])),
    ] {
        alice.send(&edit(kind, members.clone())).await;
        let mut notice = Value::Null;
        let mut ack = Value::Null;
        for _ in 0..2 {
            let (header, body) = alice.hear().await.unwrap();
            if header["op"] == "listEdited" {
                alice.ack(&[&header["id"]]).await;
                let etc: Value = serde_json::from_slice(&body).unwrap();
                assert_eq!((&etc["list"], &etc["op"]), (&json!("l"), &json!(kind)));
                assert_eq!(etc["members"], members);
                assert!(etc.get("uid").is_none() && etc.get("alias").is_none(), "{etc}");
                notice = header;
            } else {
                ack = header;
            }
        }
        assert_eq!((&ack["id"], &ack["type"]), (&json!("e"), &json!("ok")), "{ack}");
        assert_eq!((&ack["msgid"], &ack["posted"]), (&notice["id"], &notice["posted"]));
        // Who is invited gets the invitation instead.
        let op = if kind == "invite" { "deliver" } else { "listEdited" };
        let header = bob.next().await;
        assert_eq!(header["op"], op);
        bob.ack(&[&header["id"]]).await;
        let header = carol.next().await;
        assert_eq!(header["op"], op);
        carol.send(&json!({"op": "ack", "id": header["id"], "type": "ok"})).await;
        for client in [&mut alice, &mut bob, &mut carol] {
            client.barrier().await;
        }
    }
}

#[tokio::test]
async fn an_edit_of_no_members_is_refused_and_tells_nobody() {
    let (_store, server) = people("").await;
    let asked = json!({"v": 2});
    let (mut alice, _) = Node::login(&server, Framing::Raw, "alice", "n0", &asked).await;
    let edit = json!({"op": "listEdit", "id": "e", "to": "l", "type": "add", "member": "bob"});
    alice.send(&edit).await;
    for _ in 0..2 {
        alice.next().await;
    }
    for (kind, list) in [("add", "l"), ("remove", "l"), ("nonsense", "l"), ("add", "")] {
        let (mut carol, _) = Node::login(&server, Framing::Raw, "carol", "n0", &asked).await;
        let edit = json!({"op": "listEdit", "id": "e", "to": list, "type": kind, "members": []});
        carol.send(&edit).await;
        let answer = carol.next().await;
        assert!(answer["op"] == "quit" || answer["type"] == "error", "{answer}");
        alice.is_left_alone().await;
        carol.close().await;
    }
}

#[tokio::test]
async fn a_window_is_bounded_in_bytes_too() {
    for online in [false, true] {
        let (_store, server) = people("").await;
        let mut early = None;
        if online {
            early = Some(bob(&server, Framing::WebSocket, 100).await);
        }
        let mut poster = alice(&server).await;
        for number in 0..10 {
            poster.post(&json!({"bob": 1}), &vec![b'0' + number; 400_000]).await;
        }
        let mut bob = match early {
            Some(bob) => bob,
            None => bob(&server, Framing::WebSocket, 100).await,
        };
        let mut taken = bob.take(2).await;
        while let Ok(message) = timeout(Duration::from_millis(500), bob.link.message()).await {
            let message = message.unwrap().unwrap();
            let (header, body) = mqlib::header::split(&message).unwrap();
            let header: Value = serde_json::from_slice(header).unwrap();
            taken.push((header["id"].clone(), body));
        }
        assert!(taken.len() <= 4, "{} at once", taken.len());
        while taken.len() < 10 {
            bob.ack(&ids(&taken)).await;
            taken.extend(bob.take(2.min(10 - taken.len())).await);
        }
        for (number, (_, body)) in taken.iter().enumerate() {
            assert!(body.len() == 400_000 && body[0] == b'0' + number as u8);
        }
    }
}

#[tokio::test]
async fn a_message_for_one_node_goes_to_one_of_several_windows_and_to_another_if_that_one_leaves() {
    let (_store, server) = people("").await;
    Client::add_node(&server, "bob", "n1").await;
    let mut first = bob(&server, Framing::Raw, 5).await;
    let (mut second, _) =
        Node::login(&server, Framing::WebSocket, "bob", "n1", &json!({"v": 2, "window": 5})).await;
    let mut poster = alice(&server).await;
    for number in 0..20 {
        poster.post(&json!({"bob": 0}), &numbered(number)).await;
    }
    let (left, kept) = (first.take(5).await, second.take(5).await);
    first.is_left_alone().await;
    second.ack(&ids(&kept[..4])).await;
    let more = second.take(4).await;
    second.is_left_alone().await;
    first.ack(&[&left[0].0]).await;
    let one_more = first.take(1).await;
    first.barrier().await;
    first.close().await;
    // What is left: 5 that nobody had, and 5 that the first had not acked.
    let mut seen: HashSet<Bytes> = HashSet::new();
    for (_, data) in kept.iter().chain(&more).chain(&left[..1]) {
        assert!(seen.insert(data.clone()), "{data:?} came twice");
    }
    second.ack(&ids(&kept[4..])).await;
    second.ack(&ids(&more)).await;
    let mut back = Vec::new();
    while back.len() < 10 {
        let some = second.take(1).await;
        second.ack(&ids(&some)).await;
        back.extend(some);
    }
    second.is_left_alone().await;
    for (_, data) in &back {
        assert!(seen.insert(data.clone()), "{data:?} came twice");
    }
    assert!(data(&left[1..]).into_iter().chain(data(&one_more)).all(|data| seen.contains(data)));
    assert_eq!(seen.len(), 20);
}

#[tokio::test]
async fn nonsense_is_refused_and_what_is_unknown_ignored() {
    let (_store, server) = people("").await;
    let id = "0".repeat(32);
    let edit = |members: Value| json!({"op": "listEdit", "id": "1", "to": "l", "type": "add", "members": members});
    for framing in BOTH {
        for (header, wanted) in [
            (json!({"op": "ack"}), "ack request missing param id"),
            (json!({"op": "ack", "ids": id}), "ack request missing param ids"),
            (json!({"op": "ack", "ids": null}), "ack request missing param ids"),
            (json!({"op": "ack", "ids": {"0": id}}), "ack request missing param ids"),
            (json!({"op": "ack", "ids": [id, 5]}), "ack request missing param ids"),
            (json!({"op": "ack", "ids": [[id]]}), "ack request missing param ids"),
            (json!({"op": "ack", "ids": [null]}), "ack request missing param ids"),
            (json!({"op": "ack", "id": 5}), "ack request missing param id"),
            (json!({"op": "ack", "ids": [], "type": 5}), "ack request missing param type"),
            (json!({"op": "ack", "ids": [], "type": null}), "ack request missing param type"),
            (edit(json!("bob")), "listEdit request missing param members"),
            (edit(json!(["bob", 5])), "listEdit request missing param members"),
            (edit(json!(null)), "listEdit request missing param members"),
        ] {
            let mut bob = bob(&server, framing, 5).await;
            bob.send(&header).await;
            assert_eq!(bob.quit().await, wanted, "{header}");
        }
        // Deeper than JSON may be nested.
        let deep = format!(r#"{{"op":"ack","ids":{}{}}}"#, "[".repeat(30_000), "]".repeat(30_000));
        let mut client = bob(&server, framing, 5).await;
        client.link.send(message(&deep, b"").into()).await.unwrap();
        assert_eq!(client.quit().await, "invalid JSON");
        drop(client);

        let mut poster = alice(&server).await;
        post(&mut poster, 0..8).await;
        let mut client = bob(&server, framing, 5).await;
        let taken = client.take(5).await;
        let texts: Vec<_> = (0..10_000).map(|number| (number % 100).to_string()).collect();
        client.send(&json!({"op": "ack", "ids": texts})).await;
        for some in (0..10_000).collect::<Vec<_>>().chunks(1_800) {
            let unknown: Vec<_> = some.iter().map(|number| format!("{number:032x}")).collect();
            client.send(&json!({"op": "ack", "ids": unknown})).await;
        }
        let (first, last) = (taken[0].0.as_str().unwrap(), taken[4].0.as_str().unwrap());
        client.send(&json!({"op": "ack", "ids": []})).await;
        client.send(&json!({"op": "ack", "ids": [first], "type": "error"})).await;
        client.send(&json!({"op": "ack", "ids": [first.to_uppercase(), format!("{last} ")]})).await;
        client.is_left_alone().await;
        // One of ours among them.
        client.send(&json!({"op": "ack", "ids": ["", "x", first, "é", first]})).await;
        are_numbered(&client.take(1).await, [5]);
        client.is_left_alone().await;
        client.close().await;
        poster.close().await;
        let mut client = bob(&server, framing, 10).await;
        let rest = client.take(7).await;
        are_numbered(&rest, 1..8);
        client.ack(&ids(&rest)).await;
        client.barrier().await;
        client.close().await;
    }
    assert!(!server.log().contains("panicked"), "{}", server.log());
}
