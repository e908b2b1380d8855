//! `mqtest crash`: SIGKILL at the N-th system call of a server under load.

use super::strace;
use super::tools::need;
use super::trial::{Common, End, MANNER, Trial};
use clap::Args;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a life may take; one whose call does not come is killed then.
const LIFE: Duration = Duration::from_millis(1000);
/// Lives between two whole ones.
const CHECK: u32 = 10;
/// Of the calls that a whole life makes of a kind, the point is one of so many hundredths: lives
/// differ.
const REACHED: f64 = 0.6;
/// How points are spread over a life: each falls into the largest gap between the others.
const GOLDEN: f64 = 0.618_033_988_749_895;

const ABOUT: &str = "\
Kills a server (SIGKILL) at its N-th system call, again and again, under the load of eight clients, \
each time another call and another N: its writes, syncs, opens, links, unlinks. Each life begins with \
the store that the one before left, so that starts are hit, too. Every tenth life is a whole one, in \
which everybody gets what waits for them.

Shown: no acked message is lost, none is delivered damaged, astray, out of order or after its delete \
was durable, no node has more in flight than its window, and no registered user is forgotten. What \
comes twice is counted: it was in flight, or its ack was not durable yet.

Needs strace. With --negative-control writes to the journal are skipped and said to be done, which \
must be found out: the exit code is 1 then.";

/// kill -9 at the N-th system call, N times, under load
#[derive(Debug, Args)]
#[command(long_about = ABOUT)]
pub(crate) struct CrashArgs {
    /// How often the server is killed
    #[arg(long, value_name = "N", default_value_t = 200)]
    points: u32,
    /// Writes to the journal are not done: what is lost must be found out
    #[arg(long)]
    negative_control: bool,
    #[command(flatten)]
    common: Common,
}

/// Runs it; was every promise kept?
pub(crate) async fn run(args: CrashArgs) -> anyhow::Result<bool> {
    need("crash", false, &["strace"])?;
    let mut trial = Trial::new(&args.common, MANNER, None).await?;
    let log = trial.dir.path().join("strace.log");
    trial.doomed(strace::watch(strace::CHANGES, &log), LIFE * 2).await?;
    let calls = strace::most(&log)?;
    let calls: Vec<_> = calls.into_iter().collect();
    let (mut at_start, mut outlived, mut since) = (0, 0, Vec::new());
    let mut hits: BTreeMap<&str, u32> = BTreeMap::new();
    let journal: Vec<_> =
        (0..3).map(|n| trial.store.join(format!("journal/{n}")).display().to_string()).collect();
    let journal: Vec<_> = journal.iter().map(String::as_str).collect();
    for point in 0..args.points {
        let (call, count) = &calls[point as usize % calls.len()];
        let round = f64::from(point / calls.len() as u32) + args.common.seed as f64;
        let nth = 1 + ((round * GOLDEN).fract() * REACHED * *count as f64) as u64;
        let wrapper = if args.negative_control {
            strace::inject("pwrite64", "retval=4096", &journal, "/dev/null".as_ref())
        } else {
            strace::inject(call, &format!("signal=SIGKILL:when={nth}"), &[], "/dev/null".as_ref())
        };
        match trial.doomed(wrapper, LIFE).await? {
            End::AtStart => at_start += 1,
            End::Outlived => outlived += 1,
            End::Serving => {}
        }
        *hits.entry(call).or_default() += 1;
        since.push(format!("{call} {nth}"));
        if (point + 1).is_multiple_of(CHECK) || point + 1 == args.points {
            trial.check(&since.join(", ")).await?;
            since.clear();
            if trial.is_broken() {
                break;
            }
        }
    }
    let mut verdict = trial.close();
    let points: u32 = hits.values().sum();
    verdict.put("points", points);
    verdict.put("killed_at_start", at_start);
    verdict.put("killed_between_calls", outlived);
    verdict.put("by_call", json!(hits));
    verdict.tell("crash", args.common.json)
}
