//! How fast one client is: posts to somebody who is away, who then takes and acks them all; then posts
//! to itself, acked both ways. Prints the three rates, a second each, as a JSON array.
//!
//! `mqclient/js/bench` runs it beside the JavaScript client and others. The server is to be a fresh one.

use bytes::Bytes;
use mqclient::{Client, Config, Error, Message, Outbox, To};
use std::process::ExitCode;
use std::time::Instant;

/// How many posts and deliveries may be on their way.
const IN_FLIGHT: u32 = 1000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let numbers = words.get(1).zip(words.get(2)).map(|(posts, size)| (posts.parse(), size.parse()));
    let (Some(server), Some((Ok(posts), Ok(size)))) = (words.first(), numbers) else {
        eprintln!("usage: throughput SERVER POSTS BYTES");
        return ExitCode::from(2);
    };
    match measure(server, posts, size).await {
        Ok(rates) => {
            println!("{rates:?}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("throughput: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(server: &str, posts: u32, size: usize) -> Result<[u64; 3], Error> {
    let body = Bytes::from("x".repeat(size));
    for user in ["poster", "receiver"] {
        Client::register(server, user, user, &[]).await?;
    }
    let mut poster = log_in(server, "poster").await?;
    let start = Instant::now();
    post_all(poster.outbox(), "receiver", &body, posts).await?;
    let posted = per_second(posts, start);

    let mut receiver = log_in(server, "receiver").await?;
    let delivered = take_all(&mut receiver, posts).await?;
    receiver.close().await;

    let (start, outbox) = (Instant::now(), poster.outbox());
    let posting = tokio::spawn(async move { post_all(outbox, "poster", &body, posts).await });
    take_all(&mut poster, posts).await?;
    posting.await.map_err(|_| Error::Closed)??;
    let both = per_second(posts, start);
    poster.close().await;
    Ok([posted, delivered, both])
}

async fn log_in(server: &str, user: &str) -> Result<Client, Error> {
    let mut config = Config::new(server, user, user);
    (config.window, config.max_unacked) = (IN_FLIGHT as usize, IN_FLIGHT as usize);
    Client::connect(config).await
}

/// Posts, with so many under way.
async fn post_all(outbox: Outbox, to: &str, body: &Bytes, posts: u32) -> Result<(), Error> {
    let mut postings = Vec::new();
    for _ in 0..posts {
        // Waits while as many as may be are on their way.
        postings.push(outbox.start_post(&To::user(to), Message::data(body.clone())).await?);
    }
    for posting in postings {
        posting.await?;
    }
    Ok(())
}

/// Takes and acks so many; how many a second from the first to the last.
async fn take_all(client: &mut Client, count: u32) -> Result<u64, Error> {
    client.next().await?.ack();
    let start = Instant::now();
    for _ in 1..count {
        client.next().await?.ack();
    }
    Ok(per_second(count, start))
}

fn per_second(count: u32, start: Instant) -> u64 {
    (f64::from(count) / start.elapsed().as_secs_f64()) as u64
}
