//! The benchmark: how fast a server of our own is, beside the raw limit of its disk.
//!
//! Every run starts a `mqserver` on a store and port of its own, registers the users it needs
//! (`people`), and logs their links in (`dial`). A `client` is one link and the task that owns it:
//! it acks what is delivered, and a `poster` in it posts messages from a `template`, where only ids,
//! names and a `stamp` change. What comes back is told apart by its first bytes (`seen`) and counted
//! in the `tally`, all on one thread, so that the load costs little; what it does cost is reported.
//! Every count must match in the end: a fast server that loses messages is no result.
//!
//! The workloads are `online`, `spool` and `restart` (both begin with a `fill`), `idle` and `limit`;
//! `all` runs a set of them. Each gives a `report`.

mod all;
mod arrivals;
mod client;
mod clock;
mod common;
mod dial;
mod drain;
mod fill;
mod footprint;
mod gang;
mod idle;
mod limit;
mod online;
mod pace;
mod people;
mod poster;
mod process;
mod progress;
mod report;
mod restart;
mod rig;
mod seen;
mod spool;
mod stamp;
mod tally;
mod template;
mod watch;
mod world;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use report::Report;
use tokio::task::{LocalSet, spawn_blocking};

const EXAMPLES: &str = "\
Examples:
  mqtest bench online --clients 256 --seconds 10    posts between users that are all online
  mqtest bench online --rate 1000                   the latency of an unhurried server
  mqtest bench online --fanout 10 --framing raw     ten recipients a post, the original's framing
  mqtest bench spool --messages 200000              posts for users that are offline, who then come
  mqtest bench restart --store /mnt/journaled       kill -9 with full queues, on another disk
  mqtest bench all --markdown                       the table for BENCHMARKS.md

Exit code: 0 the counts match, 1 something was lost, repeated or refused, 2 there was no run.";

/// Measure the speed of a server of our own, beside the raw limit of its disk
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    workload: Workload,
}

#[derive(Debug, Subcommand)]
enum Workload {
    Online(online::OnlineArgs),
    Spool(spool::SpoolArgs),
    Restart(restart::RestartArgs),
    Idle(idle::IdleArgs),
    Limit(limit::LimitArgs),
    All(all::AllArgs),
}

/// Runs a workload and prints its figures. `false` if a count does not match.
///
/// # Errors
/// There was no run, or it broke off.
pub(crate) async fn run(args: BenchArgs) -> anyhow::Result<bool> {
    // The load has a runtime of one thread, where nothing is locked and no work is stolen.
    let run = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.context("cannot make a runtime for the load")?;
        LocalSet::new().block_on(&runtime, interruptible(args))
    };
    spawn_blocking(run).await.context("the load broke down")?
}

/// A ctrl-C must not leave a server and its store behind.
async fn interruptible(args: BenchArgs) -> anyhow::Result<bool> {
    tokio::select! {
        interrupt = tokio::signal::ctrl_c() => {
            interrupt.context("cannot wait for ctrl-C")?;
            bail!("interrupted")
        }
        result = measure_and_print(args.workload) => result,
    }
}

async fn measure_and_print(workload: Workload) -> anyhow::Result<bool> {
    if let Workload::All(args) = workload {
        return all::run(args).await;
    }
    let json = workload.wants_json();
    let command = report::command(std::env::args().skip(1));
    let report = workload.measure(command).await?;
    if json {
        println!("{}", report.json());
    } else {
        print!("{report}");
    }
    Ok(report.is_sound())
}

impl Workload {
    fn wants_json(&self) -> bool {
        match self {
            Self::Online(args) => args.common.json,
            Self::Spool(args) => args.fill.common.json,
            Self::Restart(args) => args.fill.common.json,
            Self::Idle(args) => args.common.json,
            Self::Limit(args) => args.json,
            Self::All(args) => args.json,
        }
    }

    /// Runs one workload.
    async fn measure(self, command: String) -> anyhow::Result<Report> {
        match self {
            Self::Online(args) => online::measure(args, command).await,
            Self::Spool(args) => spool::measure(args, command).await,
            Self::Restart(args) => restart::measure(args, command).await,
            Self::Idle(args) => idle::measure(args, command).await,
            Self::Limit(args) => limit::measure(&args, command),
            Self::All(_) => bail!("a set of runs is no run"),
        }
    }
}
