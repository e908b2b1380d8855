//! `mqtest powercut`: the power goes while a server writes.

use super::strace;
use super::tools::need;
use super::trial::{Common, End, MANNER, Trial, wait};
use super::volume::{Fs, Volume, keep_mounts_private};
use clap::Args;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::time::Duration;

/// The image's size: XFS takes no less. MiB.
const SIZE: u64 = 320;
/// The longest life before a cut at a random instant, and of one that waits for its write.
const LIFE: Duration = Duration::from_millis(600);
/// Lives between two whole ones.
const CHECK: u32 = 5;
/// The calls by which data reaches a disk, and how many of each a thread makes in a life, about.
const WRITES: [(&str, u64); 5] =
    [("pwrite64", 60), ("pwritev", 12), ("fdatasync", 4), ("syncfs", 1), ("linkat", 10)];

const ABOUT: &str = "\
Cuts the power of a file system (an image on a loop device, FS_IOC_SHUTDOWN without flushing the log; \
the server is stopped just before) under a server under load, every other time at a random instant \
and at its N-th write, sync or link, mounts it again and starts the server again on what is left. Every fifth life is a whole one, in \
which everybody gets what waits for them.

Shown: nothing that was acked is lost, and what `mqtest crash` shows besides.

Needs root (a mount namespace of its own), unshare, strace, xfs_io, mkfs. With --negative-control the \
server's fsync, fdatasync and syncfs are skipped and said to be done (by strace; eatmydata does not \
reach them, for the server makes system calls without the C library), which must be found out: the \
exit code is 1 then.";

/// Power cuts under a server under load, on ext4 or XFS
#[derive(Debug, Args)]
#[command(long_about = ABOUT)]
pub(crate) struct PowercutArgs {
    /// How often the power goes
    #[arg(long, value_name = "N", default_value_t = 40)]
    points: u32,
    /// On which file system
    #[arg(long, value_enum, default_value = "ext4")]
    fs: Fs,
    /// Syncs are not done: what is lost must be found out
    #[arg(long)]
    negative_control: bool,
    #[command(flatten)]
    common: Common,
}

/// Runs it; was every promise kept?
pub(crate) async fn run(args: PowercutArgs) -> anyhow::Result<bool> {
    let mkfs = if args.fs == Fs::Xfs { "mkfs.xfs" } else { "mkfs.ext4" };
    need("powercut", true, &["unshare", "strace", "xfs_io", "mount", "umount", mkfs])?;
    keep_mounts_private()?;
    let mut volume = Volume::new(args.fs, SIZE)?;
    let mut trial = Trial::new(&args.common, MANNER, Some(volume.place())).await?;
    volume.remount()?;
    let mut random = StdRng::seed_from_u64(args.common.seed);
    let (mut instants, mut at_start, mut at_calls, mut since) = (0, 0, 0, Vec::new());
    let mut points = 0;
    let lie = strace::inject("fsync,fdatasync,syncfs", "retval=0", &[], "/dev/null".as_ref());
    for point in 0..args.points {
        points += 1;
        if point % 2 == 0 || args.negative_control {
            let after = LIFE.mul_f64(random.random());
            let wrapper = if args.negative_control { lie.clone() } else { Vec::new() };
            let mut server = match trial.server(wrapper, Vec::new()).await {
                Ok(server) => server,
                Err(error) => {
                    trial.broken.push(format!("the server does not start: {error:#}"));
                    break;
                }
            };
            let busy = trial.load(&server);
            wait(&mut server, after).await?;
            // The processor stops with the disk. Else XFS lets one fdatasync in a hundred succeed that
            // runs while it is shut down, and what it said to have written is lost.
            server.freeze()?;
            volume.cut_power()?;
            server.kill()?;
            trial.crowd.end(busy).await?;
            instants += 1;
            since.push(format!("after {after:?}"));
        } else {
            let (call, count) = WRITES[(point / 2) as usize % WRITES.len()];
            let nth = random.random_range(1..=count);
            let kill = format!("signal=SIGKILL:when={nth}");
            let wrapper = strace::inject(call, &kill, &[], "/dev/null".as_ref());
            // What is not synced lives on in the page cache of a process that was killed.
            match trial.doomed(wrapper, LIFE * 2).await? {
                End::AtStart => at_start += 1,
                End::Serving => at_calls += 1,
                End::Outlived => instants += 1,
            }
            volume.cut_power()?;
            since.push(format!("{call} {nth}"));
        }
        volume.remount()?;
        if (point + 1).is_multiple_of(CHECK) || point + 1 == args.points || args.negative_control {
            trial.check(&since.join(", ")).await?;
            since.clear();
            if trial.is_broken() {
                break;
            }
        }
    }
    let mut verdict = trial.close();
    verdict.put("points", points);
    verdict.put("at_an_instant", instants);
    verdict.put("at_a_call", at_calls);
    verdict.put("at_a_call_of_the_start", at_start);
    verdict.tell("powercut", args.common.json)
}
