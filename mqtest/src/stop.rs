//! Stops a server under load, again and again, and looks whether it does so in good order.
//!
//! Each round the clients post, others hold connections in every awkward state, and at a random
//! moment the server is told to stop. It has to be gone in time with exit code 0; and in the end all
//! that was ever acked arrives, and nothing in halves.

use crate::ring::Ring;
use crate::spawn::{Options, Server};
use anyhow::Context;
use clap::Args;
use mqclient::{Client, Config, Message, To};
use mqlib::testing::history::Counts;
use rand::RngExt;
use serde::Serialize;
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};
use wsstream::Link;

/// The user, and the node, that never reads.
const STALLED: &str = "stalled";

/// What the server promises.
const IN_TIME: Duration = Duration::from_secs(10);
/// How long what the server said last may be on its way to us.
const LAST_WORD: Duration = Duration::from_millis(200);

/// Stop a server of our own under load, gracefully, again and again
#[derive(Debug, Args)]
pub(crate) struct StopArgs {
    /// How often
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How many clients post to each other
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(2..=1000))]
    clients: u32,
    /// Kill the server (SIGKILL) in place of stopping it: every round must fail
    #[arg(long)]
    mutate: bool,
    /// The server's program [default: the mqserver beside this program]
    #[arg(long, value_name = "PATH")]
    server_bin: Option<PathBuf>,
    /// Print the outcome as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Default, Serialize)]
struct Outcome {
    ok: bool,
    rounds: u32,
    slowest_s: f64,
    /// Stops that took longer than 10 s, or did not end with exit code 0.
    bad_stops: u32,
    #[serde(flatten)]
    counts: Counts,
    examples: Vec<String>,
}

/// Stops it, and prints what came of it; says whether every promise was kept.
///
/// # Errors
/// The test could not be made.
pub(crate) async fn run(args: StopArgs) -> anyhow::Result<bool> {
    let options = Options { bin: args.server_bin.clone(), ..Options::default() };
    let mut server = Server::spawn(options).await?;
    let outcome = rounds(&mut server, &args).await.with_context(|| server.log_tail())?;
    if args.json {
        println!("{}", serde_json::to_string(&outcome)?);
    } else {
        let Outcome { ok, rounds, slowest_s, bad_stops, counts, examples } = &outcome;
        examples.iter().for_each(|example| println!("  {example}"));
        println!(
            "{}: {rounds} stops, the slowest in {slowest_s:.1} s, {bad_stops} bad; {} posts, {} acked, \
             {} left without an answer; {} delivered, {} lost, {} promises broken",
            if *ok { "ok" } else { "FAILED" },
            counts.posts,
            counts.acked,
            counts.abandoned,
            counts.deliveries,
            counts.lost,
            counts.broken()
        );
    }
    Ok(outcome.ok)
}

async fn rounds(server: &mut Server, args: &StopArgs) -> anyhow::Result<Outcome> {
    let url = |server: &Server| mqclient::Server::from(format!("ws://{}", server.addr()));
    let mut ring = Ring::register(&url(server), args.clients).await?;
    burden(&url(server)).await?;
    let mut outcome = Outcome { rounds: args.rounds, ..Outcome::default() };
    for round in 0..args.rounds {
        let turning = ring.turn(&url(server), true).await?;
        let awkward = Awkward::connect(server).await?;
        sleep(Duration::from_millis(rand::rng().random_range(50..1000))).await;
        let start = Instant::now();
        let good = match args.mutate {
            false => server.stop().await.is_ok_and(|status| status.success()),
            true => server.kill().is_err(),
        };
        let took = start.elapsed();
        outcome.slowest_s = outcome.slowest_s.max(took.as_secs_f64());
        if !good || took > IN_TIME {
            outcome.bad_stops += 1;
            outcome.examples.push(format!("round {round}: {took:.1?}, {}", server.log_tail()));
            outcome.examples.truncate(5);
        }
        sleep(LAST_WORD).await;
        ring.end(turning).await?;
        drop(awkward);
        server.restart().await?;
    }
    let turning = ring.turn(&url(server), false).await?;
    // What does not arrive is lost, and the books say so.
    ring.pause(&turning).await;
    ring.end(turning).await?;
    let (counts, violations) = ring.close();
    outcome.examples.extend(violations.iter().map(ToString::to_string));
    outcome.ok = outcome.bad_stops == 0 && counts.are_clean();
    outcome.counts = counts;
    Ok(outcome)
}

/// Connections that do not make a stop easier.
struct Awkward {
    _all: [TcpStream; 3],
    _stalled: Link<TcpStream>,
}

impl Awkward {
    async fn connect(server: &Server) -> anyhow::Result<Self> {
        let silent = TcpStream::connect(server.addr()).await?;
        let mut half = TcpStream::connect(server.addr()).await?;
        half.write_all(b"GET /mq HTTP/1.1\r\n").await?;
        // The rest of the frame never comes.
        let mut begun = TcpStream::connect(server.addr()).await?;
        begun.write_all(&[0x85, 0x7e, 0x40, 0x00, b'5']).await?;
        // It logs in, and never reads what is more than a socket takes.
        let tcp = TcpStream::connect(server.addr()).await?;
        let mut stalled = Link::connect_raw(tcp, &wsstream::Limits::default()).await?;
        let login = format!(r#"{{"op":"login","userId":"{STALLED}","nodeId":"{STALLED}"}}"#);
        let message = format!("{:<4x}{login}", login.len());
        stalled.send(message.into()).await?;
        Ok(Self { _all: [silent, half, begun], _stalled: stalled })
    }
}

/// Gives the one who never reads something to read.
async fn burden(server: &mqclient::Server) -> anyhow::Result<()> {
    Client::register(server.clone(), STALLED, STALLED, &[]).await?;
    let feeder = "feeder";
    Client::register(server.clone(), feeder, feeder, &[]).await?;
    let client = Client::connect(Config::new(server.clone(), feeder, feeder)).await?;
    let large = Message::data(vec![0; 15 << 20]);
    client.post(&To::user(STALLED), large).await?;
    client.close().await;
    Ok(())
}
