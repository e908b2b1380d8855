//! The raw limit of a disk: durable writes of 4 KB, one after the other, into a file that exists.
//!
//! It is what a server without any work to do could commit, if it committed a message at a time; how
//! far a server is beyond it shows how well it commits many at once.

use super::report::Report;
use anyhow::Context;
use clap::Args;
use hdrhistogram::Histogram;
use mqlib::disk::{AlignedBuf, BLOCK, O_DSYNC};
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The size of the file, in bytes; it is written round and round.
const SIZE: u64 = 32 << 20;
/// The longest write told apart from a longer one, in µs.
const LONGEST: u64 = 60_000_000;
/// The magic numbers of statfs(2) of file systems that one meets.
const KINDS: [(u64, &str); 8] = [
    (0xef53, "ext4"),
    (0x0102_1994, "tmpfs"),
    (0x8584_58f6, "ramfs"),
    (0x5846_5342, "xfs"),
    (0x9123_683e, "btrfs"),
    (0x794c_7630, "overlay"),
    (0x2fc1_2fc1, "zfs"),
    (0x6969, "nfs"),
];

const EXAMPLES: &str = "\
Examples:
  mqtest bench limit                       of the disk with temporary files
  mqtest bench limit --store /mnt/other    of another disk
  mqtest bench limit --seconds 10 --json";

/// The raw limit of the disk: 4 KB writes, each durable, one at a time
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct LimitArgs {
    /// How long it writes
    #[arg(long, value_name = "S", default_value_t = 2.0, value_parser = super::report::seconds)]
    seconds: f64,
    /// On which disk [default: that of the system's temporary directory]
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// Print the figures as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What a disk can do.
#[derive(Debug)]
pub(crate) struct Limit {
    /// Durable writes in a second.
    pub(crate) writes_per_s: f64,
    /// How long a write took, in µs.
    times: Histogram<u64>,
    /// Whether they went past the page cache.
    direct: bool,
    file_system: String,
}

pub(crate) fn measure(args: &LimitArgs, command: String) -> anyhow::Result<Report> {
    let dir = scratch(args.store.as_deref())?;
    let limit = Limit::measure(dir.path(), Duration::from_secs_f64(args.seconds))?;
    let mut report = Report::new("limit", command);
    limit.tell(&mut report);
    report.put_latency("write", "a write", &limit.times);
    Ok(report)
}

/// A directory that goes away, on the disk in question.
pub(crate) fn scratch(place: Option<&Path>) -> anyhow::Result<tempfile::TempDir> {
    let place = place.map_or_else(std::env::temp_dir, Path::to_owned);
    let dir = tempfile::Builder::new().prefix("mqbench-").tempdir_in(&place);
    dir.with_context(|| format!("cannot make a directory in {}", place.display()))
}

impl Limit {
    /// Writes for a while in a file of its own, which it removes.
    pub(crate) fn measure(dir: &Path, long: Duration) -> anyhow::Result<Self> {
        let path = dir.join("limit");
        let measured = Self::write(&path, long);
        let removed = fs::remove_file(&path);
        let (times, seconds, direct) =
            measured.with_context(|| format!("cannot write {}", path.display()))?;
        removed.with_context(|| format!("cannot remove {}", path.display()))?;
        let writes_per_s = times.len() as f64 / seconds;
        Ok(Self { writes_per_s, times, direct, file_system: file_system(dir)? })
    }

    fn write(path: &Path, long: Duration) -> anyhow::Result<(Histogram<u64>, f64, bool)> {
        let mut file = File::create_new(path)?;
        for _ in 0..SIZE >> 20 {
            file.write_all(&[0; 1 << 20])?;
        }
        file.sync_all()?;
        drop(file);
        let open = |flags: OFlags| {
            File::options().write(true).custom_flags(flags.bits() as i32).open(path)
        };
        let (file, direct) = match open(O_DSYNC | OFlags::DIRECT) {
            Ok(file) => (file, true),
            // tmpfs and some network file systems know no direct I/O.
            Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => {
                (open(O_DSYNC)?, false)
            }
            Err(error) => return Err(error.into()),
        };
        let mut times = Histogram::new_with_bounds(1, LONGEST, 3).context("no histogram")?;
        let mut block = AlignedBuf::new();
        block.resize(BLOCK);
        let mut at = 0;
        let start = Instant::now();
        let mut now = start;
        while now - start < long {
            block.as_mut_slice().fill(times.len() as u8 | 1);
            file.write_all_at(block.as_slice(), at)?;
            at = (at + BLOCK as u64) % SIZE;
            let before = std::mem::replace(&mut now, Instant::now());
            times.saturating_record((now - before).as_micros() as u64);
        }
        Ok((times, (now - start).as_secs_f64(), direct))
    }

    /// Puts it into a report.
    pub(crate) fn tell(&self, report: &mut Report) {
        let label = format!("raw limit of the disk ({})", self.file_system);
        report.put("limit_per_s", &label, self.writes_per_s, "writes/s");
        // A disk that is disturbed now and then has the same median; one in another mode has not.
        let median = self.times.value_at_quantile(0.5) as f64 / 1000.0;
        report.put("limit_p50_ms", "a write at that limit, p50", median, "ms");
        if !self.direct {
            report.note("the file system knows no direct I/O: the limit is one of O_DSYNC alone");
        }
        if matches!(self.file_system.as_str(), "tmpfs" | "ramfs") {
            report.note(&format!(
                "the store is on {}, which is RAM and no disk: nothing here says how fast durable \
                 messages are; choose a disk with --store",
                self.file_system
            ));
        }
    }
}

/// The kind of file system of a directory.
pub(crate) fn file_system(dir: &Path) -> anyhow::Result<String> {
    let found = rustix::fs::statfs(dir).context("cannot ask for the file system")?;
    let magic = found.f_type as u64;
    let known = KINDS.iter().find(|(known, _)| *known == magic);
    Ok(known.map_or_else(|| format!("a file system of type {magic:#x}"), |&(_, name)| name.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_has_a_limit_and_nothing_is_left_behind() {
        let dir = tempfile::tempdir().unwrap();
        let limit = Limit::measure(dir.path(), Duration::from_millis(1)).unwrap();
        assert!(limit.writes_per_s > 0.0);
        assert!(!limit.file_system.is_empty());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
