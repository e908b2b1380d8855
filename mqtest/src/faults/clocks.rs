//! `mqtest clocks`: the wall clock jumps by years while a server runs.

use super::member::Stage;
use super::tools::need;
use super::trial::{Common, MANNER, Trial};
use anyhow::{Context, bail};
use clap::Args;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::sleep;

/// Where libfaketime is, below a library directory.
const PLACES: [&str; 4] = [
    "/usr/lib/x86_64-linux-gnu/faketime",
    "/usr/lib/aarch64-linux-gnu/faketime",
    "/usr/lib64/faketime",
    "/usr/lib/faketime",
];
const DAY: u64 = 24 * 3600 * 1000;
/// Where the clock goes, in turn.
const OFFSETS: [&str; 6] = ["+365d", "-365d", "+0", "-365d", "+365d", "-1d"];
/// How long it stays: a redelivery, after 10 s, has several jumps before it.
const STAY: Duration = Duration::from_millis(1500);
/// Jumps in one life of the server.
const LIFE: u32 = 10;

const ABOUT: &str = "\
Moves the wall clock of a server under load by a year forth and back (libfaketime; the monotonic \
clock is left alone), and starts the server again in between.

Shown: ids increase for every node, nothing is sent again early (and it is sent again: timers keep \
going), and what `mqtest crash` shows besides.

Needs libfaketime (package faketime). With --negative-control the monotonic clock jumps, too, so that \
timers fire early, which must be found out: the exit code is 1 then.";

/// The clock jumps by a year, forth and back
#[derive(Debug, Args)]
#[command(long_about = ABOUT)]
pub(crate) struct ClocksArgs {
    /// How often the clock jumps
    #[arg(long, value_name = "N", default_value_t = 10)]
    jumps: u32,
    /// The monotonic clock jumps, too: timers that fire early must be found out
    #[arg(long)]
    negative_control: bool,
    #[command(flatten)]
    common: Common,
}

/// Runs it; was every promise kept?
pub(crate) async fn run(args: ClocksArgs) -> anyhow::Result<bool> {
    need("clocks", false, &[])?;
    let libraries = PLACES.map(|place| Path::new(place).join("libfaketimeMT.so.1"));
    let library = libraries.iter().find(|library| library.is_file());
    let library = library.context("clocks: skipped: there is no libfaketime on this machine")?;
    let mut trial = Trial::new(&args.common, MANNER, None).await?;
    let clock = trial.dir.path().join("clock");
    let env = [
        ("LD_PRELOAD", library.display().to_string()),
        ("FAKETIME_TIMESTAMP_FILE", clock.display().to_string()),
        ("FAKETIME_NO_CACHE", "1".into()),
    ];
    let steady = [("DONT_FAKE_MONOTONIC", "1".into())];
    let env = env.into_iter().chain(steady.into_iter().filter(|_| !args.negative_control));
    let env: Vec<_> = env.map(|(name, value)| (name.to_owned(), value)).collect();
    let mut left = args.jumps;
    // A clock that only goes back is the start's to the server: the control begins in the past.
    let mut jump = usize::from(args.negative_control);
    while left > 0 && !trial.is_broken() {
        std::fs::write(&clock, OFFSETS[jump % OFFSETS.len()])?;
        let mut server = trial.server(Vec::new(), env.clone()).await?;
        let busy = trial.load(&server);
        for _ in 0..LIFE.min(left) {
            sleep(STAY).await;
            jump += 1;
            left -= 1;
            std::fs::write(&clock, OFFSETS[jump % OFFSETS.len()])?;
        }
        busy.set(Stage::Drain);
        sleep(STAY / 3).await;
        trial.crowd.end(busy).await?;
        server.kill()?;
        trial.check(&format!("{jump} jumps")).await?;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as u64;
    let ahead = trial.crowd.latest().saturating_sub(now) / DAY;
    let again = trial.crowd.again();
    let mut verdict = trial.close();
    // Beside jumping timers, nothing may be acked any more before the clock is a year ahead.
    if ahead < 300 && verdict.is_kept() {
        bail!("the server did not see the jumps: its latest id is {ahead} days ahead");
    }
    if again == 0 && args.jumps >= LIFE {
        verdict.broken.push("nothing was sent again in all that time".into());
    }
    verdict.put("jumps", args.jumps);
    verdict.put("sent_again_in_time", again);
    verdict.put("latest_id_days_ahead", ahead);
    verdict.tell("clocks", args.common.json)
}
