//! What a process uses, as the kernel counts it in `/proc`.

use anyhow::Context;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use std::fs::read_to_string;

/// A process to look at.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Process {
    /// This one.
    Own,
    /// The one with this id.
    Id(u32),
}

impl Process {
    /// The seconds that it has computed, in user space and in the kernel.
    pub(crate) fn cpu_seconds(self) -> anyhow::Result<f64> {
        let text = self.read("stat")?;
        let ticks = ticks(&text).with_context(|| format!("{self:?}: cannot read {text:?}"))?;
        Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
    }

    /// The memory that it has in RAM now, in KiB.
    pub(crate) fn rss_kib(self) -> anyhow::Result<f64> {
        let text = self.read("status")?;
        let kib = kib(&text, "VmRSS:").with_context(|| format!("{self:?} has no memory"))?;
        Ok(kib as f64)
    }

    /// The most memory that it ever had in RAM, in KiB.
    pub(crate) fn peak_kib(self) -> anyhow::Result<f64> {
        let text = self.read("status")?;
        let kib = kib(&text, "VmHWM:").with_context(|| format!("{self:?} has no memory"))?;
        Ok(kib as f64)
    }

    /// How many files it has open.
    pub(crate) fn open_files(self) -> anyhow::Result<usize> {
        let path = self.path("fd");
        let entries = std::fs::read_dir(&path).with_context(|| format!("cannot read {path}"))?;
        Ok(entries.count())
    }

    /// Lets it open no more than so many files.
    pub(crate) fn limit_files(self, most: u64) -> anyhow::Result<()> {
        let pid = match self {
            Self::Own => None,
            Self::Id(id) => i32::try_from(id).ok().and_then(Pid::from_raw),
        };
        let limit = Rlimit { current: Some(most), maximum: Some(most) };
        prlimit(pid, Resource::Nofile, limit).context("cannot limit the files of a process")?;
        Ok(())
    }

    fn path(self, file: &str) -> String {
        match self {
            Self::Own => format!("/proc/self/{file}"),
            Self::Id(id) => format!("/proc/{id}/{file}"),
        }
    }

    fn read(self, file: &str) -> anyhow::Result<String> {
        let path = self.path(file);
        read_to_string(&path).with_context(|| format!("cannot read {path}"))
    }
}

/// utime + stime of a `stat` line (proc(5)); the name in it may contain anything.
fn ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let utime: u64 = fields.next()?.parse().ok()?;
    let stime: u64 = fields.next()?.parse().ok()?;
    Some(utime + stime)
}

fn kib(status: &str, field: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_are_found_behind_any_name() {
        let stat = "42 (a) b (c)) S 1 42 42 0 -1 4194304 500 0 0 0 250 30 7 8 20 0 3 0 99 1 2";
        assert_eq!(ticks(stat), Some(280));
        assert_eq!(ticks("42 (a"), None);
    }

    #[test]
    fn memory_is_found() {
        assert_eq!(kib("Name:\tx\nVmHWM:\t  99 kB\nVmRSS:\t   1234 kB\n", "VmRSS:"), Some(1234));
        assert_eq!(kib("Name:\tx\n", "VmRSS:"), None);
    }

    #[test]
    fn this_process_uses_something() {
        assert!(Process::Own.rss_kib().unwrap() > 0.0);
        assert!(Process::Own.cpu_seconds().unwrap() >= 0.0);
    }
}
