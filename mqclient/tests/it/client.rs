//! The client against a server whose every word is the test's, over real sockets.

use crate::fake;

use fake::Fake;
use mqclient::{Client, Config, Error, Kind, Message, To};

async fn client(fake: &Fake, scheme: &str) -> (Client, fake::Peer) {
    let config = Config::new(fake.url(scheme), "alice", "laptop");
    let (client, peer) = tokio::join!(Client::connect(config), fake.log_in());
    (client.unwrap(), peer)
}

#[tokio::test]
async fn a_post_resolves_with_the_servers_ack_and_what_did_not_work() {
    for scheme in ["ws", "mq"] {
        let fake = Fake::bind().await;
        let (client, mut peer) = client(&fake, scheme).await;
        let message = Message::new("etc", "data").unwrap();
        let to = To::user("bob").and_list("l");
        let (receipt, ()) = tokio::join!(client.post(&to, message), async {
            let (header, body) = peer.hear().await;
            assert_eq!(header["to"], serde_json::json!({"bob": 1, "l": 2}));
            assert_eq!((&header["etc"], &body[..]), (&5.into(), &b"\"etc\"data"[..]));
            let id = &header["id"];
            let error = r"list l not found\nuserId unknown";
            peer.say(&format!(r#"{{"op":"ack","id":{id},"type":"ok","error":"{error}"}}"#), "")
                .await;
        });
        assert_eq!(receipt.unwrap().warnings, ["list l not found", "userId unknown"]);
    }
}

#[tokio::test]
async fn posts_survive_a_lost_link_in_their_order() {
    for scheme in ["ws", "mq"] {
        let fake = Fake::bind().await;
        let (client, mut peer) = client(&fake, scheme).await;
        let outbox = client.outbox();
        let mut postings = Vec::new();
        for text in ["a", "b", "c"] {
            postings.push(outbox.start_post(&To::user("bob"), text).await.unwrap());
        }
        let (first, _) = peer.hear().await;
        peer.ack(&first).await;
        peer.hear().await;
        drop(peer);
        let mut peer = fake.log_in().await;
        for (text, posting) in ["b", "c"].into_iter().zip(postings.split_off(1)) {
            let (header, body) = peer.hear().await;
            assert_eq!(body, text);
            peer.ack(&header).await;
            posting.await.unwrap();
        }
        postings.remove(0).await.unwrap();
        assert_eq!(client.stats().reconnects, 1);
    }
}

#[tokio::test]
async fn a_delivery_is_acked_and_the_next_one_follows() {
    let fake = Fake::bind().await;
    let (mut client, mut peer) = client(&fake, "ws").await;
    peer.say(r#"{"op":"deliver","id":"m1","from":"bob","etc":2}"#, "{}hello").await;
    let delivery = client.next().await.unwrap();
    assert_eq!((delivery.from.as_str(), delivery.kind), ("bob", Kind::Deliver));
    assert_eq!(&delivery.data[..], b"hello");
    assert_eq!(delivery.etc_as().unwrap(), Some(serde_json::json!({})));
    delivery.ack();
    let (ack, _) = peer.hear().await;
    assert_eq!(ack, serde_json::json!({"op": "ack", "ids": ["m1"]}));
    peer.say(r#"{"op":"listEdited","id":"m2","from":"bob","etc":2}"#, "{}").await;
    assert_eq!(client.next().await.unwrap().kind, Kind::ListEdited);
}

#[tokio::test]
async fn a_login_refused_is_told_at_once() {
    for (text, expected) in [
        ("userId unknown", Error::UserUnknown),
        ("nodeId unknown", Error::NodeUnknown),
        ("node already active", Error::NodeActive),
    ] {
        let fake = Fake::bind().await;
        let config = Config::new(fake.url("mq"), "alice", "laptop");
        let (refused, ()) = tokio::join!(Client::connect(config), async {
            let mut peer = fake.accept().await;
            peer.hear().await;
            peer.say(&format!(r#"{{"op":"quit","info":"{text}"}}"#), "").await;
            peer.close().await;
        });
        assert_eq!(refused.unwrap_err().to_string(), expected.to_string());
    }
}

#[tokio::test]
async fn a_refusal_later_on_ends_the_client_with_its_reason() {
    let fake = Fake::bind().await;
    let (mut client, mut peer) = client(&fake, "ws").await;
    let posting = client.outbox().start_post(&To::user("bob"), "a").await.unwrap();
    peer.hear().await;
    peer.say(r#"{"op":"quit","info":"user deleted"}"#, "").await;
    assert!(matches!(client.next().await, Err(Error::Refused(text)) if text == "user deleted"));
    assert!(matches!(posting.await, Err(Error::Refused(_))));
    assert!(matches!(client.post(&To::user("bob"), "b").await, Err(Error::Closed)));
}

#[tokio::test]
async fn closing_sends_what_was_handed_over_and_acks_first() {
    for scheme in ["ws", "mq"] {
        let fake = Fake::bind().await;
        let (mut client, mut peer) = client(&fake, scheme).await;
        peer.say(r#"{"op":"deliver","id":"m1","from":"bob"}"#, "").await;
        client.next().await.unwrap().ack();
        let posting = client.outbox().start_post(&To::user("bob"), "a").await.unwrap();
        let ((), ()) = tokio::join!(client.close(), async {
            let mut heard = Vec::new();
            while let Some((header, _)) = peer.try_hear().await {
                heard.push(header["op"].as_str().unwrap().to_owned());
            }
            assert_eq!(heard, ["ack", "post"]);
            peer.close().await;
        });
        assert!(matches!(posting.await, Err(Error::Closed)));
    }
}

#[tokio::test]
async fn dropping_the_client_closes_the_link_even_while_a_delivery_lives() {
    let fake = Fake::bind().await;
    let (mut client, mut peer) = client(&fake, "ws").await;
    peer.say(r#"{"op":"deliver","id":"m1","from":"bob"}"#, "").await;
    let delivery = client.next().await.unwrap();
    drop(client);
    assert!(peer.try_hear().await.is_none());
    delivery.ack();
}

#[tokio::test]
async fn a_client_that_cannot_send_still_reads() {
    // The server takes nothing until the client has read more than any buffer holds; a client that
    // waits for its own write first would wait for ever.
    let fake = Fake::bind().await;
    let (mut client, mut peer) = client(&fake, "mq").await;
    let outbox = client.outbox();
    let large = vec![b'x'; 8 << 20];
    let posting = outbox.start_post(&To::user("bob"), Message::data(large.clone())).await.unwrap();
    let text = String::from_utf8(large).unwrap();
    for id in ["m1", "m2"] {
        peer.say(&format!(r#"{{"op":"deliver","id":"{id}","from":"bob"}}"#), &text).await;
        client.next().await.unwrap().ack();
    }
    let (header, body) = peer.hear().await;
    assert_eq!(body.len(), 8 << 20);
    peer.ack(&header).await;
    posting.await.unwrap();
}

#[tokio::test]
async fn at_the_limit_a_further_post_waits_for_an_ack() {
    let fake = Fake::bind().await;
    let mut config = Config::new(fake.url("ws"), "alice", "laptop");
    config.max_unacked = 2;
    let (client, mut peer) = tokio::join!(Client::connect(config), fake.log_in());
    let outbox = client.as_ref().unwrap().outbox();
    let mut postings = Vec::new();
    for text in ["a", "b", "c"] {
        postings.push(outbox.start_post(&To::user("bob"), text).await.unwrap());
    }
    let (first, _) = peer.hear().await;
    peer.hear().await;
    let waiting = tokio::time::timeout(std::time::Duration::from_millis(50), peer.try_hear()).await;
    assert!(waiting.is_err());
    peer.ack(&first).await;
    assert_eq!(peer.hear().await.1, "c");
}

#[tokio::test]
async fn users_and_nodes_are_created_by_strangers() {
    let fake = Fake::bind().await;
    let url = fake.url("ws");
    let (registered, ()) =
        tokio::join!(Client::register(&url, "alice", "laptop", &["al", "taken"]), async {
            let mut peer = fake.accept().await;
            assert_eq!(peer.hear().await.0["aliases"], "al taken");
            peer.say(r#"{"op":"registered","etc":4}"#, r#""al""#).await;
            peer.close().await;
        });
    assert_eq!(registered.unwrap().aliases, ["al"]);

    let (refused, ()) = tokio::join!(Client::register(&url, "alice", "laptop", &[]), async {
        let mut peer = fake.accept().await;
        peer.hear().await;
        peer.say(r#"{"op":"registered","etc":4,"error":"user exists"}"#, r#""al""#).await;
        peer.close().await;
    });
    assert!(matches!(refused, Err(Error::UserExists)));

    let (offset, ()) = tokio::join!(Client::add_node(&url, "alice", "phone", "laptop"), async {
        let mut peer = fake.accept().await;
        assert_eq!(peer.hear().await.0["prevNode"], "laptop");
        peer.say(r#"{"op":"added","offset":1}"#, "").await;
        peer.close().await;
    });
    assert_eq!(offset.unwrap(), 1);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_an_error_that_names_it() {
    let fake = Fake::bind().await;
    let url = fake.url("mq");
    drop(fake);
    let refused = Client::connect(Config::new(&url, "alice", "laptop")).await.unwrap_err();
    assert!(refused.to_string().contains(url.trim_start_matches("mq://")), "{refused}");
}
