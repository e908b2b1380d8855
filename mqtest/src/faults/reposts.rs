//! `mqtest reposts`: connections and servers end between a commit and its ack.

use super::member::{Manner, Stage};
use super::trial::{Common, MANNER, Trial, until};
use clap::Args;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::time::Duration;
use tokio::time::sleep;

/// The longest time between the first acks and a cut, in ms.
const LIFE: u64 = 30;
/// A cut waits for so many acks, but not longer than this.
const POSTS: u64 = 20;
const ALL_IN: Duration = Duration::from_secs(2);
/// Cuts between two whole lives.
const CHECK: u32 = 40;

const ABOUT: &str = "\
Cuts all connections of eight clients that post, and every other time kills the server (SIGKILL), so \
that posts are committed whose acks nobody gets. The clients come back and post them again, under the \
same ids, as version 2 allows.

Shown: every such post is stored once, and acked as before (the program counts those acks, which have \
`dup`); and what `mqtest crash` shows besides.";

/// Posts are repeated after cuts between commit and ack, and stored once
#[derive(Debug, Args)]
#[command(long_about = ABOUT)]
pub(crate) struct RepostsArgs {
    /// How often connections are cut
    #[arg(long, value_name = "N", default_value_t = 100)]
    cuts: u32,
    #[command(flatten)]
    common: Common,
}

/// Runs it; was every promise kept?
pub(crate) async fn run(args: RepostsArgs) -> anyhow::Result<bool> {
    let manner = Manner { repost: true, absent: 0, ..MANNER };
    let mut trial = Trial::new(&args.common, manner, None).await?;
    let mut random = StdRng::seed_from_u64(args.common.seed);
    let mut server = trial.server(Vec::new(), Vec::new()).await?;
    let mut hits = 0;
    for cut in 1..=args.cuts {
        let known = trial.crowd.known();
        let busy = trial.load(&server);
        let acked = trial.crowd.counts().acked;
        until(ALL_IN, || trial.crowd.counts().acked > acked + POSTS).await;
        sleep(Duration::from_millis(random.random_range(0..LIFE))).await;
        busy.set(Stage::Cut);
        if cut % 2 == 0 {
            sleep(Duration::from_millis(random.random_range(1..30))).await;
            server.kill()?;
            trial.crowd.end(busy).await?;
            server.restart().await?;
        } else {
            trial.crowd.end(busy).await?;
        }
        hits += u32::from(trial.crowd.known() > known);
        if cut.is_multiple_of(CHECK) || cut == args.cuts {
            server.stop().await?;
            trial.check(&format!("cut {cut}")).await?;
            server.restart().await?;
            if trial.is_broken() {
                break;
            }
        }
    }
    let known = trial.crowd.known();
    server.kill()?;
    let mut verdict = trial.close();
    if known == 0 {
        verdict.broken.push("no cut fell between a commit and its ack".into());
    }
    verdict.put("cuts", args.cuts);
    verdict.put("cuts_between_commit_and_ack", hits);
    verdict.put("reposts_known", known);
    verdict.tell("reposts", args.common.json)
}
