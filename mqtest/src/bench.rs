//! The benchmark: how fast a server of our own is, beside the raw limit of its disk.
//!
//! Every run starts a `mqserver` on a store and port of its own (`rig`), with users that it registers
//! (`people`) or that were in the store before (`population`), and logs their links in (`dial`). A
//! `client` is one link (`wire`) and the task that owns it: it acks what is delivered, and a `poster`
//! in it posts messages from a `template`, where only ids, names and a `stamp` change. What comes
//! back is told apart by its first bytes (`seen`) and counted in the `tally`, all on one thread, so
//! that the load costs little; what it does cost is reported. Every count must match in the end: a
//! fast server that loses messages is no result.
//!
//! The workloads are `online` and `list`, where a `crowd` posts to each other; `spool` and `restart`,
//! which begin with a `fill`; `depth`, of a `queue` and of the `directory`; `idle`, of links or of
//! nodes that are `offline`; and `limit`. Each gives a `report`. `all` runs a set of them, whose
//! `table`s make a `page`.

mod ack;
mod all;
mod arrivals;
pub(crate) mod client;
mod clock;
pub(crate) mod common;
pub(crate) mod crowd;
mod depth;
pub(crate) mod dial;
mod directory;
mod drain;
mod enlist;
pub(crate) mod fill;
mod footprint;
pub(crate) mod gang;
mod idle;
pub(crate) mod ingest;
mod limit;
mod list;
mod machine;
pub(crate) mod meter;
mod offline;
mod online;
pub(crate) mod origin;
mod outbox;
pub(crate) mod pace;
mod page;
pub(crate) mod people;
pub(crate) mod population;
pub(crate) mod poster;
pub(crate) mod process;
pub(crate) mod progress;
mod queue;
pub(crate) mod report;
mod restart;
pub(crate) mod rig;
mod rows;
mod seen;
mod spool;
pub(crate) mod stamp;
mod table;
pub(crate) mod tally;
pub(crate) mod template;
pub(crate) mod watch;
pub(crate) mod wire;
pub(crate) mod world;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use report::Report;
use tokio::task::{LocalSet, spawn_blocking};

const EXAMPLES: &str = "\
Examples:
  mqtest bench online --clients 256 --seconds 10    posts between users that are all online
  mqtest bench online --rate 1000                   the latency of an unhurried server
  mqtest bench online --protocol 1 --framing raw    as the original's clients speak
  mqtest bench list --members 1000                  a list whose members are all online
  mqtest bench spool --messages 200000              posts for users that are offline, who then come
  mqtest bench restart --store /mnt/journaled       kill -9 with full queues, on another disk
  mqtest bench depth                                whether a deep queue or many users cost more
  mqtest bench idle --offline-nodes 1000000         the memory of users that are offline
  mqtest bench all --full --markdown                all of BENCHMARKS.md

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
    List(list::ListArgs),
    Spool(spool::SpoolArgs),
    Restart(restart::RestartArgs),
    Depth(depth::DepthArgs),
    Idle(idle::IdleArgs),
    Limit(limit::LimitArgs),
    All(all::AllArgs),
}

/// Runs a workload and prints its figures. `false` if a count does not match.
///
/// # Errors
/// There was no run, or it broke off.
pub(crate) async fn run(args: BenchArgs) -> anyhow::Result<bool> {
    on_one_thread(|| measure_and_print(args.workload)).await
}

/// Runs a load on a runtime of one thread, where nothing is locked and no work is stolen.
pub(crate) async fn on_one_thread<F>(
    load: impl FnOnce() -> F + Send + 'static,
) -> anyhow::Result<bool>
where
    F: Future<Output = anyhow::Result<bool>>,
{
    let run = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.context("cannot make a runtime for the load")?;
        LocalSet::new().block_on(&runtime, interruptible(load()))
    };
    spawn_blocking(run).await.context("the load broke down")?
}

/// A ctrl-C must not leave a server and its store behind.
async fn interruptible(load: impl Future<Output = anyhow::Result<bool>>) -> anyhow::Result<bool> {
    tokio::select! {
        interrupt = tokio::signal::ctrl_c() => {
            interrupt.context("cannot wait for ctrl-C")?;
            bail!("interrupted")
        }
        result = load => result,
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
            Self::List(args) => args.common.json,
            Self::Spool(args) => args.fill.common.json,
            Self::Restart(args) => args.fill.common.json,
            Self::Depth(args) => args.common.json,
            Self::Idle(args) => args.common.json,
            Self::Limit(args) => args.json,
            Self::All(args) => args.json,
        }
    }

    /// Runs one workload.
    async fn measure(self, command: String) -> anyhow::Result<Report> {
        match self {
            Self::Online(args) => online::measure(args, command).await,
            Self::List(args) => list::measure(args, command).await,
            Self::Spool(args) => spool::measure(args, command).await,
            Self::Restart(args) => restart::measure(args, command).await,
            Self::Depth(args) => depth::measure(args, command).await,
            Self::Idle(args) => idle::measure(args, command).await,
            Self::Limit(args) => limit::measure(&args, command),
            Self::All(_) => bail!("a set of runs is no run"),
        }
    }
}
