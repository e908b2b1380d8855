//! strace before a server: it counts system calls, and makes one of them fail, lie or kill.
//!
//! The tracer is a grandchild (`-D`), so that the process that was started is the server. It counts
//! each thread's calls by themselves.

use anyhow::Context;
use std::collections::BTreeMap;
use std::path::Path;

/// The system calls by which a server changes its disk, and the ways to say so.
pub(crate) const CHANGES: &str = "pwrite64,pwritev,write,fdatasync,fsync,syncfs,openat2,openat,linkat,unlinkat,mkdirat,renameat,fallocate,ftruncate";

/// The command line of a strace that does this to these calls (of these files only, if any).
pub(crate) fn inject(calls: &str, fault: &str, files: &[&str], log: &Path) -> Vec<String> {
    let mut words = begin(calls, log);
    words.extend(["-e".into(), format!("inject={calls}:{fault}")]);
    words.extend(files.iter().flat_map(|file| ["-P".to_owned(), (*file).to_owned()]));
    words
}

/// The command line of a strace that notes calls.
pub(crate) fn watch(calls: &str, log: &Path) -> Vec<String> {
    begin(calls, log)
}

fn begin(calls: &str, log: &Path) -> Vec<String> {
    let log = log.display().to_string();
    let trace = format!("trace={calls}");
    ["strace", "-D", "-f", "-qq", "-y", "-o", &log, "-e", &trace].map(str::to_owned).into()
}

/// How often each call was made, by the thread that made it most, in what was noted.
pub(crate) fn most(log: &Path) -> anyhow::Result<BTreeMap<String, u64>> {
    let text = std::fs::read(log).context("strace has noted nothing")?;
    let mut by_thread: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    let text = String::from_utf8_lossy(&text);
    for line in text.lines() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        if let Some((call, _)) = rest.trim_start().split_once('(')
            && call.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        {
            *by_thread.entry((thread, call)).or_default() += 1;
        }
    }
    let mut most = BTreeMap::new();
    for ((_, call), count) in by_thread {
        let known: &mut u64 = most.entry(call.to_owned()).or_default();
        *known = count.max(*known);
    }
    Ok(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_by_the_thread_that_makes_most() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let log = "7 pwrite64(3</j>, \"\"..., 4096, 0) = 4096\n8 pwrite64(4, 0) = 1\n\
                   7 pwrite64(3, 1 <unfinished ...>\n7 <... pwrite64 resumed>) = 1\n9 syncfs(5) = 0\n";
        std::fs::write(file.path(), log).unwrap();
        let most = most(file.path()).unwrap();
        assert_eq!(
            most.into_iter().collect::<Vec<_>>(),
            [("pwrite64".into(), 2), ("syncfs".into(), 1)]
        );
    }
}
