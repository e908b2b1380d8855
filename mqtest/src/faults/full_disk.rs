//! `mqtest full-disk`: the disk fills up at some step, and has room again.

use super::crowd::register;
use super::member::{Manner, Stage};
use super::tools::need;
use super::trial::{Common, MANNER, Trial, until};
use super::volume::{Fs, Volume, keep_mounts_private};
use anyhow::Context;
use clap::Args;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rustix::fs::{FallocateFlags, fallocate, statvfs};
use std::fs::File;
use std::path::Path;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// The disk, in MiB.
const SIZE: u64 = 32;
/// How long it may take until a full disk is noticed: first the journal's backlog must be filed.
const NOTICE: Duration = Duration::from_secs(20);
/// How soon posts are taken again once there is room.
const RESUME: Duration = Duration::from_secs(5);
/// Users whose registration is tried on a full disk have numbers from here.
const STRANGERS: u32 = 5_000_000;

const ABOUT: &str = "\
Fills the disk of a server under load (32 MB of ext4 on a loop device) with a file, up to a random \
rest, again and again.

Shown: posts are refused with `storage failure: disk full`, and what was refused is never delivered; \
deliveries and acks go on; the server neither ends nor loses what it acked; a registration on the full \
disk is refused or kept; posts are taken again within 5 s of there being room.

Needs root (a mount namespace of its own), unshare and mkfs.ext4. With --negative-control no room is made \
before the posts are awaited; that they do not come must be found out: the exit code is 1 then.";

/// The disk is full at any step, and has room again
#[derive(Debug, Args)]
#[command(long_about = ABOUT)]
pub(crate) struct FullDiskArgs {
    /// How often the disk fills up
    #[arg(long, value_name = "N", default_value_t = 10)]
    points: u32,
    /// No room is made: that posts are not taken again must be found out
    #[arg(long)]
    negative_control: bool,
    #[command(flatten)]
    common: Common,
}

/// Runs it; was every promise kept?
pub(crate) async fn run(args: FullDiskArgs) -> anyhow::Result<bool> {
    need("full-disk", true, &["unshare", "mount", "umount", "mkfs.ext4"])?;
    keep_mounts_private()?;
    let volume = Volume::new(Fs::Ext4, SIZE)?;
    let manner = Manner { diligence: 30, ..MANNER };
    let mut trial = Trial::new(&args.common, manner, Some(volume.place())).await?;
    let ballast = volume.place().join("ballast");
    let mut random = StdRng::seed_from_u64(args.common.seed);
    let (mut full, mut slowest, mut strangers) = (0, Duration::ZERO, 0u32);
    for point in 0..args.points {
        let mut server = trial.server(Vec::new(), Vec::new()).await?;
        let busy = trial.load(&server);
        sleep(Duration::from_millis(random.random_range(200..600))).await;
        let refused = trial.crowd.counts().refused;
        fill(&ballast, volume.place(), random.random_range(0..200) << 10)?;
        let noticed = until(NOTICE, || trial.crowd.counts().refused > refused).await;
        full += u32::from(noticed);
        let stranger = register(server.addr(), STRANGERS + point).await;
        // What waits for those who were away is delivered and acked although nothing new is taken.
        let before = trial.crowd.counts().deliveries;
        let late = trial.crowd.begin(server.addr(), Stage::Drain);
        let delivered = until(RESUME, || trial.crowd.counts().deliveries > before).await;
        trial.crowd.end(late).await?;
        if !args.negative_control {
            std::fs::remove_file(&ballast).context("cannot make room")?;
        }
        let (start, acked) = (Instant::now(), trial.crowd.counts().acked);
        let resumed = until(RESUME, || trial.crowd.counts().acked > acked).await;
        slowest = slowest.max(start.elapsed());
        if args.negative_control {
            std::fs::remove_file(&ballast).context("cannot make room")?;
        }
        let what = format!("point {point}");
        if noticed && !delivered {
            trial.broken.push(format!("{what}: nothing was delivered on the full disk"));
        }
        if let Some(status) = server.exited()? {
            trial.broken.push(format!("{what}: the server ended: {status}: {}", server.log_tail()));
        } else if !resumed {
            trial.broken.push(format!("{what}: no post is taken {RESUME:?} after there is room"));
        }
        if stranger.is_ok() && server.exited()?.is_none() {
            strangers += 1;
            if register(server.addr(), STRANGERS + point).await.is_ok() {
                trial.broken.push(format!("{what}: a user that registered is forgotten"));
            }
        }
        trial.crowd.end(busy).await?;
        server.kill()?;
        trial.check(&what).await?;
        if trial.is_broken() {
            break;
        }
    }
    let mut verdict = trial.close();
    if full == 0 {
        verdict.broken.push("the disk never got full".into());
    }
    verdict.put("points", args.points);
    verdict.put("full", full);
    verdict.put("registered_on_a_full_disk", strangers);
    verdict.put("slowest_resumption_ms", slowest.as_millis() as u64);
    verdict.tell("full-disk", args.common.json)
}

/// Leaves so many bytes free.
fn fill(ballast: &Path, place: &Path, rest: u64) -> anyhow::Result<()> {
    let file = File::create(ballast)?;
    let stat = statvfs(place)?;
    let free = stat.f_bavail * stat.f_frsize;
    if free > rest {
        // The server writes, too: what is not there any more is no error.
        let mut size = free - rest;
        while size > 4096 && fallocate(&file, FallocateFlags::empty(), 0, size).is_err() {
            size -= size / 16;
        }
    }
    Ok(())
}
