//! The server is killed with full queues, and starts again.

use super::drain::drain;
use super::fill::{FillArgs, fill};
use super::report::Report;
use super::rig::Rig;
use super::seen::{self, Seen};
use anyhow::{Context, bail};
use clap::Args;
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// How long the first delivery may take.
const PATIENCE: Duration = Duration::from_secs(60);

const EXAMPLES: &str = "\
Examples:
  mqtest bench restart                                  200,000 messages, all of them taken
  mqtest bench restart --messages 1000000 --sample 100  a million, for 100 of 1,000 users
  mqtest bench restart --messages 1000000 --sample 100 --within 1 --rss-mib 256
                                                        … which must be quick, and take little memory
  mqtest bench restart --settled                        all are files when the server is killed";

/// kill -9 with full queues: how soon it delivers again, and whether all is there
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RestartArgs {
    #[command(flatten)]
    pub(crate) fill: FillArgs,
    /// How many recipients take their messages in the end [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    sample: Option<u32>,
    /// The first delivery must come so soon after the start, in seconds
    #[arg(long, value_name = "S")]
    within: Option<f64>,
    /// The server's memory (RSS) must stay within this after the restart, in MiB
    #[arg(long, value_name = "MIB")]
    rss_mib: Option<f64>,
    /// Wait until the messages are filed before the server is killed
    #[arg(long)]
    settled: bool,
}

pub(crate) async fn measure(args: RestartArgs, command: String) -> anyhow::Result<Report> {
    let mut rig = Rig::start(&args.fill.common, args.fill.clients).await?;
    let outcome = measure_at(&mut rig, &args, command).await;
    rig.explain(outcome)
}

async fn measure_at(rig: &mut Rig, args: &RestartArgs, command: String) -> anyhow::Result<Report> {
    let mut report = Report::new("restart", command);
    let world = fill(rig, &args.fill, &mut report).await?;
    if args.settled && rig.settle().await?.is_none() {
        report.note("the server was still busy with the messages a minute later");
    }
    rig.server.kill()?;
    let start = Instant::now();
    rig.server.restart().await?;
    report.put("listens_s", "from the start until it listens", seconds(start), "s");
    let login = Instant::now();
    let mut session = rig.log_in(0).await?;
    report.put("login_s", "first login, its name hashed anew", seconds(login), "s");
    let message = timeout(PATIENCE, session.wire.message()).await;
    let message = message.context("nothing is delivered after the restart")??;
    report.put("first_delivery_s", "from the start until the first delivery", seconds(start), "s");
    let Seen::Delivered(..) = seen::look(&message)? else { bail!("the first delivery is none") };
    // It is not acked, so it comes again with the rest.
    session.wire.close().await;
    let rss = rig.process().rss_kib()? / 1024.0;
    report.put("rss_restarted_mib", "server memory (RSS) after that", rss, "MiB");

    let sample = args.sample.unwrap_or(u32::MAX).min(args.fill.recipients);
    report.bound("first_delivery_s", args.within);
    report.bound("rss_restarted_mib", args.rss_mib);
    drain(rig, &args.fill, sample, &world, &mut report).await?;
    if sample < args.fill.recipients {
        report.note(&format!("{sample} of {} recipients were looked at", args.fill.recipients));
    }
    Ok(report)
}

fn seconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64()
}
