//! `mqtest simulate`: broker and store in a world of power cuts, full disks and mad clocks.
//!
//! Each seed is a whole life of a server, with several deaths, in virtual time; what must always
//! hold is checked on the way and at the end. A seed that breaks a promise is printed with the
//! command that runs it again. A server that is broken on purpose shows that the checks can fail.

use clap::{Args, ValueEnum};
use mqlib::testing::{Mutation, Report, Violation, simulate};
use serde_json::json;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Violations that are shown; then the run ends.
const SHOWN: usize = 10;
/// Seeds between two lines of progress.
const PROGRESS: u64 = 10_000;

/// Simulate broker and store with power cuts, disk errors and clock jumps, a life for each seed
#[derive(Debug, Args)]
pub(crate) struct SimulateArgs {
    /// How many seeds to run [default: 1000, or 1 with --seed]
    #[arg(long, value_name = "N")]
    seeds: Option<u64>,
    /// The first seed, or the only one: how a failing seed is run again
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Break the server on purpose: the checks must find it
    #[arg(long, value_enum)]
    mutate: Option<Broken>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Broken {
    /// The disk says that it has synced, and has not
    DropSync,
    /// Posters are answered before the commit
    AckBeforeCommit,
    /// What nodes have posted is forgotten
    ForgetPosts,
    /// Posters are not told whom their posts did not reach
    DropSilently,
    /// The queue of a node that is dropped stays
    KeepQueues,
    /// Senders are not told of messages that are removed
    ForgetBounces,
}

/// Runs the seeds. `false` if one broke a promise.
pub(crate) fn run(args: &SimulateArgs) -> anyhow::Result<bool> {
    let first = args.seed.unwrap_or(0);
    let count = args.seeds.unwrap_or(if args.seed.is_some() { 1 } else { 1000 });
    let mutation = match args.mutate {
        None => Mutation::None,
        Some(Broken::DropSync) => Mutation::DropSync,
        Some(Broken::AckBeforeCommit) => Mutation::AckBeforeCommit,
        Some(Broken::ForgetPosts) => Mutation::ForgetPosts,
        Some(Broken::DropSilently) => Mutation::DropSilently,
        Some(Broken::KeepQueues) => Mutation::KeepQueues,
        Some(Broken::ForgetBounces) => Mutation::ForgetBounces,
    };
    if args.mutate.is_some() {
        // A database on a disk that lies may panic; the simulation takes that for a finding.
        std::panic::set_hook(Box::new(|_| {}));
    }
    let start = Instant::now();
    let next = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let results: Mutex<(Report, Vec<(u64, Violation)>)> = Mutex::default();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        break;
                    }
                    if number > 0 && number.is_multiple_of(PROGRESS) && !args.json {
                        eprintln!("{number} seeds in {:.0} s", start.elapsed().as_secs_f64());
                    }
                    let result = simulate(first + number, mutation);
                    let mut results = results.lock().unwrap_or_else(|locked| locked.into_inner());
                    match result {
                        Ok(report) => results.0 += report,
                        Err(violation) => results.1.push((first + number, violation)),
                    }
                    if results.1.len() >= SHOWN {
                        stop.store(true, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let (report, mut violations) =
        results.into_inner().unwrap_or_else(|locked| locked.into_inner());
    violations.sort_unstable_by_key(|(seed, _)| *seed);
    let run = next.into_inner().min(count);
    report_to_user(args, run, &report, &violations, start.elapsed());
    Ok(violations.is_empty())
}

fn report_to_user(
    args: &SimulateArgs,
    run: u64,
    report: &Report,
    violations: &[(u64, Violation)],
    took: Duration,
) {
    if args.json {
        let violations = violations
            .iter()
            .map(|(seed, violation)| json!({"seed": seed, "violation": violation.to_string()}));
        let report = json!({
            "seeds": run,
            "acked": report.acked,
            "delivered": report.delivered,
            "crashes": report.crashes,
            "takeovers": report.takeovers,
            "full": report.full,
            "dropped": report.dropped,
            "deleted": report.deleted,
            "purged": report.purged,
            "bounced": report.bounced,
            "seconds": took.as_secs_f64(),
            "violations": violations.collect::<Vec<_>>(),
        });
        println!("{report}");
        return;
    }
    for (seed, violation) in violations {
        println!("seed {seed}: {violation}");
    }
    if let Some((seed, _)) = violations.first() {
        let mutate = match args.mutate {
            None => "",
            Some(Broken::DropSync) => " --mutate drop-sync",
            Some(Broken::AckBeforeCommit) => " --mutate ack-before-commit",
            Some(Broken::ForgetPosts) => " --mutate forget-posts",
            Some(Broken::DropSilently) => " --mutate drop-silently",
            Some(Broken::KeepQueues) => " --mutate keep-queues",
            Some(Broken::ForgetBounces) => " --mutate forget-bounces",
        };
        println!("to run it again: mqtest simulate --seed {seed}{mutate}");
    }
    println!(
        "{run} seeds: {} posts acked, {} deliveries, {} crashes, {} takeovers, {} nodes dropped, \
         {} users deleted, {} messages purged, {} bounced, {} times full, {} promises broken, \
         {:.0} s",
        report.acked,
        report.delivered,
        report.crashes,
        report.takeovers,
        report.dropped,
        report.deleted,
        report.purged,
        report.bounced,
        report.full,
        violations.len(),
        took.as_secs_f64()
    );
}
