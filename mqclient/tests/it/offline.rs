//! Servers that are not there, or not there yet; deadlines; and the stream of deliveries.

use crate::fake;

use fake::Fake;
use futures_core::Stream;
use mqclient::{Client, Config, Credentials, Error, Message, To};
use serde_json::json;
use std::future::poll_fn;
use std::pin::Pin;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::time::timeout;

fn config(fake: &Fake) -> Config {
    Config::new(fake.url("ws"), "alice", "laptop")
}

#[tokio::test]
async fn a_client_connects_by_a_url_and_credentials_and_its_deliveries_are_a_stream() {
    let fake = Fake::bind().await;
    let credentials = Credentials::new("alice", "laptop");
    let connecting = Client::connect((fake.url("ws"), credentials));
    let (client, mut peer) = tokio::join!(connecting, fake.log_in());
    let mut client = client.unwrap();
    peer.say(r#"{"op":"deliver","id":"m1","from":"bob"}"#, "").await;
    let mut next = async || poll_fn(|cx| Pin::new(&mut client).poll_next(cx)).await;
    next().await.unwrap().unwrap().ack().await.unwrap();
    assert_eq!(peer.hear().await.0, json!({"op": "ack", "ids": ["m1"]}));
    peer.say(r#"{"op":"quit","info":"taken over"}"#, "").await;
    assert!(matches!(next().await, Some(Err(Error::TakenOver))));
    assert!(next().await.is_none());
    assert!(matches!(client.next().await, Err(Error::TakenOver)));
}

#[tokio::test]
async fn an_ack_without_a_link_is_taken_note_of_and_after_the_end_it_is_an_error() {
    let fake = Fake::bind().await;
    let (client, mut peer) = tokio::join!(Client::connect(config(&fake)), fake.log_in());
    let mut client = client.unwrap();
    for id in ["m1", "m2"] {
        peer.say(&json!({"op": "deliver", "id": id, "from": "bob"}).to_string(), "").await;
    }
    let (first, second) = (client.next().await.unwrap(), client.next().await.unwrap());
    drop(peer);
    while client.trouble().is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    first.ack().await.unwrap();
    drop(client);
    assert!(matches!(second.ack().await, Err(Error::Closed)));
}

#[tokio::test]
async fn a_client_may_begin_before_its_server() {
    let fake = Fake::bind().await;
    let url = fake.url("ws");
    let port = url.rsplit_once(':').unwrap().1.parse::<u16>().unwrap();
    drop(fake);
    let mut config = Config::new(url, "alice", "laptop");
    config.begin_offline = true;
    let client = Client::connect(config).await.unwrap();
    let posting = client.outbox().start_post(&To::user("bob"), "early").await.unwrap();
    while client.trouble().is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(matches!(client.trouble(), Some(Error::Connect { .. })));
    let fake = Fake::bind_to(port).await;
    let mut peer = fake.log_in().await;
    let (header, body) = peer.hear().await;
    assert_eq!(body, "early");
    peer.ack(&header).await;
    posting.await.unwrap();
    assert!(client.trouble().is_none());
    assert_eq!((client.stats().reconnects, client.stats().online), (0, true));
}

#[tokio::test]
async fn what_is_refused_for_good_ends_a_client_that_began_offline_too() {
    let fake = Fake::bind().await;
    let mut config = config(&fake);
    config.begin_offline = true;
    let mut client = Client::connect(config).await.unwrap();
    let mut peer = fake.accept().await;
    peer.hear().await;
    peer.say(r#"{"op":"quit","info":"nodeId unknown"}"#, "").await;
    assert!(matches!(client.next().await, Err(Error::NodeUnknown)));
}

#[tokio::test]
async fn a_server_that_hangs_up_is_tried_a_few_times_and_not_without_end() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("mq://{}", listener.local_addr().unwrap());
    let mut config = Config::new(url, "alice", "laptop");
    config.begin_offline = true;
    let client = Client::connect(config).await.unwrap();
    let posting = client.outbox().start_post(&To::user("bob"), "waits").await.unwrap();
    let (mut attempts, until) = (0, Instant::now() + Duration::from_secs(2));
    while let Ok(accepted) =
        timeout(until.saturating_duration_since(Instant::now()), listener.accept()).await
    {
        drop(accepted.unwrap());
        attempts += 1;
    }
    // Pauses of 50 to 100, 100 to 200, 200 to 400, 400 to 800 ms, …
    assert!((3..=7).contains(&attempts), "{attempts}");
    assert_eq!(client.stats().unacked, 1);
    drop(posting);
}

#[tokio::test]
async fn a_post_that_is_not_acked_by_its_deadline_says_whether_it_was_sent() {
    let fake = Fake::bind().await;
    let mut config = config(&fake);
    config.max_unacked = 1;
    let (client, peer) = tokio::join!(Client::connect(config), fake.log_in());
    let (client, mut peer) = (client.unwrap(), peer);
    let post = |text: &'static str, time| {
        let (to, message) = (To::user("bob"), Message::data(text));
        let (outbox, time) = (client.outbox(), Duration::from_millis(time));
        async move { outbox.post(&to, message.within(time)).await }
    };
    // There is room for one; the other waits, and is not sent when there is.
    let (sent, waited) = tokio::join!(post("sent", 300), post("waited", 150));
    assert!(matches!(sent, Err(Error::Deadline { maybe_stored: true })), "{sent:?}");
    assert!(matches!(waited, Err(Error::Deadline { maybe_stored: false })), "{waited:?}");
    assert_eq!(peer.hear().await.1, "sent");
    let (receipt, ()) = tokio::join!(post("next", 10_000), async {
        let (header, body) = peer.hear().await;
        assert_eq!(body, "next");
        peer.ack(&header).await;
    });
    receipt.unwrap();
}
