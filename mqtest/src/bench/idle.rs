//! What a link costs that does nothing.

use super::common::Common;
use super::fill::LOGINS;
use super::gang::gang;
use super::offline;
use super::people;
use super::report::{Report, percent};
use super::rig::Rig;
use clap::Args;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long the server is left alone before its memory is read.
const SETTLE: Duration = Duration::from_secs(1);

const EXAMPLES: &str = "\
Examples:
  mqtest bench idle                          2,000 WebSockets that are logged in
  mqtest bench idle --clients 100 --framing raw
  mqtest bench idle --tls --clients 15000 --max-kib 20
                                             fails if one of them costs more
  mqtest bench idle --offline-nodes 1000000  no links, but many users that are offline

With --offline-nodes the directory is written before the server starts, and its memory is compared
with that of a server with 1,000 users.";

/// Links that are logged in and do nothing: the server's memory for each
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct IdleArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    /// How many links there are, of a user each
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(2..=1_000_000))]
    clients: u32,
    /// How long they do nothing, while the server's CPU is watched
    #[arg(long, value_name = "S", default_value_t = 3.0, value_parser = super::report::seconds)]
    seconds: f64,
    /// A link must not cost more of the server's memory than this, in KiB
    #[arg(long, value_name = "KIB")]
    max_kib: Option<f64>,
    /// Instead of links, so many users that are offline, with a node each and nothing waiting
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..10_000_000), conflicts_with_all = ["clients", "seconds", "max_kib"])]
    offline_nodes: u32,
}

pub(crate) async fn measure(args: IdleArgs, command: String) -> anyhow::Result<Report> {
    if args.offline_nodes > 0 {
        return offline::measure(&args.common, args.offline_nodes, command).await;
    }
    let mut rig = Rig::start(&args.common, args.clients).await?;
    let outcome = measure_at(&rig, &args, command).await;
    rig.explain(outcome)
}

async fn measure_at(rig: &Rig, args: &IdleArgs, command: String) -> anyhow::Result<Report> {
    let mut report = Report::new("idle", command);
    people::register(rig.addr(), args.clients).await?;
    let before = rss(rig).await?;
    let half = args.clients / 2;
    let first = gang(half, LOGINS, |user| rig.log_in(user)).await?;
    let middle = rss(rig).await?;
    let second = gang(args.clients - half, LOGINS, |user| rig.log_in(half + user)).await?;
    let after = rss(rig).await?;

    let cpu = rig.process().cpu_seconds()?;
    let start = Instant::now();
    sleep(Duration::from_secs_f64(args.seconds)).await;
    let busy = percent(rig.process().cpu_seconds()? - cpu, start.elapsed().as_secs_f64());

    let links = (first.len() + second.len()) as f64;
    report.put("links", "links, each of a user of its own", links, "");
    report.put("rss_before_mib", "server memory (RSS), users registered", before / 1024.0, "MiB");
    report.put("rss_after_mib", "server memory (RSS), all logged in", after / 1024.0, "MiB");
    report.put("kib_per_link", "a link", (after - before) / links, "KiB");
    let slope = (after - middle) / second.len() as f64;
    report.put("kib_per_further_link", "a link of the second half", slope, "KiB");
    report.bound("kib_per_link", args.max_kib);
    report.put("cpu_percent", "server CPU while nothing happens", busy, "% of a core");
    report.note("user-space memory: what the kernel keeps for a socket is not in it");
    report.note("the second half tells better: the first grows into memory that registering used");
    Ok(report)
}

/// The server's memory once it has settled, in KiB.
async fn rss(rig: &Rig) -> anyhow::Result<f64> {
    sleep(SETTLE).await;
    rig.process().rss_kib()
}
