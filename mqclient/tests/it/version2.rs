//! What version 2 has more, and a server that speaks only version 1, over real sockets.

use crate::fake;

use fake::{Fake, Peer, WELCOME};
use mqclient::{Client, Config, Error, Message, To, Version};
use serde_json::json;

const ORIGINAL: &str = r#"{"op":"info","info":"ok login"}"#;

async fn client(fake: &Fake, scheme: &str, welcome: &str) -> (Client, Peer) {
    let config = Config::new(fake.url(scheme), "alice", "laptop");
    let (client, peer) = tokio::join!(Client::connect(config), fake.log_in_with(welcome));
    (client.unwrap(), peer)
}

async fn deliver(peer: &mut Peer, id: &str) {
    let header = json!({"op": "deliver", "id": id, "from": "bob", "posted": "p"});
    peer.say(&header.to_string(), "").await;
}

#[tokio::test]
async fn many_deliveries_are_there_at_once_and_their_acks_go_as_one() {
    for scheme in ["ws", "mq"] {
        let fake = Fake::bind().await;
        let (mut client, mut peer) = client(&fake, scheme, WELCOME).await;
        let mut deliveries = Vec::new();
        for id in ["m1", "m2", "m3"] {
            deliver(&mut peer, id).await;
        }
        for _ in 0..3 {
            deliveries.push(client.next().await.unwrap());
        }
        assert_eq!(deliveries[0].posted.as_deref(), Some("p"));
        for delivery in deliveries.into_iter().rev() {
            delivery.ack();
        }
        assert_eq!(peer.hear().await.0, json!({"op": "ack", "ids": ["m3", "m2", "m1"]}));
    }
}

#[tokio::test]
async fn what_the_application_had_when_the_link_was_lost_does_not_come_twice() {
    let fake = Fake::bind().await;
    let (mut client, mut peer) = client(&fake, "ws", WELCOME).await;
    for id in ["held", "acked", "dropped"] {
        deliver(&mut peer, id).await;
    }
    let held = client.next().await.unwrap();
    client.next().await.unwrap().ack();
    drop(client.next().await.unwrap());
    peer.hear().await;
    drop(peer);
    let mut peer = fake.log_in().await;
    for id in ["held", "acked", "dropped", "new"] {
        deliver(&mut peer, id).await;
    }
    assert_eq!(peer.hear().await.0["ids"], json!(["acked"]));
    held.ack();
    assert_eq!(peer.hear().await.0["ids"], json!(["held"]));
    for id in ["dropped", "new"] {
        assert_eq!(client.next().await.unwrap().id, id);
    }
}

#[tokio::test]
async fn the_client_knows_what_the_server_said_at_the_latest_login() {
    let fake = Fake::bind().await;
    let welcome = WELCOME.replace(r#""queued":0"#, r#""queued":7"#);
    let (client, peer) = client(&fake, "ws", &welcome).await;
    let login = client.login();
    assert_eq!((login.version, login.window, login.queued), (Version::V2, 100, Some(7)));
    assert_eq!(login.server.as_deref(), Some("fake 1"));
    assert_eq!((login.node, login.max_message), (Some(0), Some(16 << 20)));
    drop(peer);
    let _peer = fake.log_in_with(ORIGINAL).await;
    while client.stats().reconnects == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let login = client.login();
    assert_eq!((login.version, login.window, login.server), (Version::V1, 1, None));
}

#[tokio::test]
async fn a_server_of_version_1_delivers_one_at_a_time_and_gets_its_kind_of_acks() {
    for scheme in ["ws", "mq"] {
        let fake = Fake::bind().await;
        let (mut client, mut peer) = client(&fake, scheme, ORIGINAL).await;
        for id in ["m1", "m2"] {
            peer.say(&json!({"op": "deliver", "id": id, "from": "bob"}).to_string(), "").await;
            let delivery = client.next().await.unwrap();
            assert_eq!((delivery.posted.as_ref(), delivery.redelivered), (None, 0));
            delivery.ack();
            assert_eq!(peer.hear().await.0, json!({"op": "ack", "id": id, "type": "ok"}));
        }
        let several = client.list_add("friends", &["bob", "carol"]).await;
        assert!(matches!(several, Err(Error::Argument(_))));
    }
}

#[tokio::test]
async fn a_post_that_is_too_large_names_the_limit_and_the_next_one_goes() {
    let fake = Fake::bind().await;
    let (client, mut peer) = client(&fake, "ws", &WELCOME.replace("16777216", "1000")).await;
    let to = To::user("bob");
    let large = client.post(&to, Message::data(vec![b'x'; 1000])).await;
    assert_eq!(large.unwrap_err().to_string(), "the message is larger than 1000 bytes");
    let (receipt, ()) = tokio::join!(client.post(&to, "small"), async {
        let (header, body) = peer.hear().await;
        assert_eq!(body, "small");
        let ack =
            json!({"op": "ack", "id": header["id"], "type": "ok", "msgid": "m", "posted": "p"});
        peer.say(&ack.to_string(), "").await;
    });
    let receipt = receipt.unwrap();
    assert_eq!((receipt.msgid.as_deref(), receipt.posted.as_deref()), (Some("m"), Some("p")));
    assert_eq!(client.stats().reconnects, 0);
}

#[tokio::test]
async fn a_list_is_edited_by_several_members_at_once() {
    let fake = Fake::bind().await;
    let (client, mut peer) = client(&fake, "ws", WELCOME).await;
    assert!(matches!(client.list_add("l", &[""; 0]).await, Err(Error::Argument(_))));
    let (one, many) = ("bob".to_owned(), vec!["bob".to_owned(), "carol".to_owned()]);
    let (edits, ()) = tokio::join!(
        async {
            [
                client.list_add("l", &one).await,
                client.list_invite("l", &["b", "c"], "come").await,
                client.list_remove("l", many.as_slice()).await,
            ]
        },
        async {
            for (edit, member, members) in [
                ("add", json!("bob"), json!(null)),
                ("invite", json!(null), json!(["b", "c"])),
                ("remove", json!(null), json!(["bob", "carol"])),
            ] {
                let (header, _) = peer.hear().await;
                assert_eq!((&header["type"], &header["to"]), (&json!(edit), &json!("l")));
                assert_eq!((&header["member"], &header["members"]), (&member, &members));
                peer.ack(&header).await;
            }
        }
    );
    assert!(edits.into_iter().all(|edit| edit.is_ok()));
}

#[tokio::test]
async fn a_status_is_what_the_server_tells_and_a_node_is_dropped_by_its_offset() {
    let fake = Fake::bind().await;
    let (client, mut peer) = client(&fake, "ws", WELCOME).await;
    let serve = async {
        let (asked, _) = peer.hear().await;
        assert_eq!(asked["op"], "status");
        let etc = r#"{"nodes":[{"offset":7,"online":false,"queued":2,"bytes":9}],"lists":["l"]}"#;
        let header = json!({"op": "status", "id": asked["id"], "etc": etc.len()});
        peer.say(&header.to_string(), etc).await;
        let (dropped, _) = peer.hear().await;
        assert_eq!((&dropped["op"], &dropped["node"]), (&json!("dropNode"), &json!(7)));
        peer.ack(&dropped).await;
    };
    let ask = async {
        let status = client.status().await.unwrap();
        assert_eq!((status.nodes[0].offset, status.nodes[0].queued), (7, 2));
        assert_eq!((status.aliases.len(), status.lists), (0, vec!["l".to_owned()]));
        client.drop_node(7).await.unwrap();
    };
    tokio::join!(serve, ask);
}

#[tokio::test]
async fn a_server_too_old_for_a_request_refuses_that_alone() {
    let fake = Fake::bind().await;
    let (client, mut peer) = client(&fake, "ws", WELCOME).await;
    let (outbox, to) = (client.outbox(), To::user("bob"));
    let (status, post) = (outbox.status(), outbox.post(&to, "x"));
    let serve = async {
        peer.hear().await;
        peer.say(r#"{"op":"quit","info":"invalid request op"}"#, "").await;
        drop(peer);
        let mut peer = fake.log_in().await;
        let (post, _) = peer.hear().await;
        assert_eq!(post["op"], "post");
        peer.ack(&post).await;
    };
    let (status, posted, ()) = tokio::join!(status, post, serve);
    assert!(matches!(status, Err(Error::Rejected(_))), "{status:?}");
    posted.unwrap();
}
