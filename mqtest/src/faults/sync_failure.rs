//! `mqtest sync-failure`: a write or sync of the server fails once.

use super::strace;
use super::tools::need;
use super::trial::{Common, MANNER, Trial, wait};
use anyhow::Context;
use clap::Args;
use serde_json::json;
use std::time::Duration;

/// How long a server may take until the failure, and then until its end.
const LIFE: Duration = Duration::from_secs(5);
/// What fails: the call, of the journal's files only or of any, and the largest N.
const FAILURES: [(&str, bool, u32); 4] =
    [("pwrite64", true, 40), ("fdatasync", false, 4), ("fsync", false, 2), ("syncfs", false, 2)];

const ABOUT: &str = "\
Makes one system call of a server under load fail with EIO: the N-th write to the journal (which is \
durable by itself, O_DSYNC), fdatasync, fsync or syncfs.

Shown: the server exits with an error and acks nothing more, it never syncs the same file again, and a \
start afterwards finds all that was acked.

Needs strace. With --negative-control the failing call says that it has done its work, as a server sees \
it that ignores the error; it must be found out that this one works on: the exit code is 1 then.";

/// A sync fails once: the server ends, and a start recovers
#[derive(Debug, Args)]
#[command(long_about = ABOUT)]
pub(crate) struct SyncFailureArgs {
    /// How often a sync fails, in turns of the four kinds
    #[arg(long, value_name = "N", default_value_t = 16)]
    points: u32,
    /// The call fails, and says that it has not: that the server works on must be found out
    #[arg(long)]
    negative_control: bool,
    #[command(flatten)]
    common: Common,
}

/// Runs it; was every promise kept?
pub(crate) async fn run(args: SyncFailureArgs) -> anyhow::Result<bool> {
    need("sync-failure", false, &["strace"])?;
    let mut trial = Trial::new(&args.common, MANNER, None).await?;
    let log = trial.dir.path().join("strace.log");
    let journal: Vec<_> =
        (0..3).map(|n| trial.store.join(format!("journal/{n}")).display().to_string()).collect();
    let journal: Vec<_> = journal.iter().map(String::as_str).collect();
    let mut hits = std::collections::BTreeMap::<&str, u32>::new();
    let mut at_start = 0;
    for point in 0..args.points {
        let (call, of_journal, most) = FAILURES[point as usize % FAILURES.len()];
        let nth = 1 + (point / FAILURES.len() as u32 * 7) % most;
        let files = if of_journal { journal.as_slice() } else { &[] };
        let fault = match (args.negative_control, of_journal) {
            (false, _) => "error=EIO",
            (true, true) => "retval=4096",
            (true, false) => "retval=0",
        };
        let wrapper = strace::inject(call, &format!("{fault}:when={nth}"), files, &log);
        let what = format!("{call} {nth}");
        match trial.server(wrapper, Vec::new()).await {
            Err(error) if format!("{error:#}").contains("exit status") => at_start += 1,
            Err(error) => return Err(error),
            Ok(mut server) => {
                let busy = trial.load(&server);
                let ended = wait(&mut server, LIFE).await?;
                let said = server.log_tail();
                server.kill()?;
                trial.crowd.end(busy).await?;
                let failed = injected(&log)?.is_some();
                match ended {
                    Some(status) if status.code().is_some_and(|code| code != 0) => {}
                    Some(status) => {
                        trial.broken.push(format!("{what}: it ended with {status}: {said}"))
                    }
                    None if failed => trial.broken.push(format!("{what}: it works on: {said}")),
                    None => {}
                }
            }
        }
        if let Some(failed) = injected(&log)? {
            *hits.entry(call).or_default() += 1;
            if let Some(again) = failed {
                trial.broken.push(format!("{what}: it tried again: {again}"));
            }
        }
        trial.check(&what).await?;
        if trial.is_broken() {
            break;
        }
    }
    let mut verdict = trial.close();
    if hits.len() < FAILURES.len() && verdict.broken.is_empty() && args.points >= 16 {
        verdict.broken.push(format!("not every kind of sync could be made to fail: {hits:?}"));
    }
    verdict.put("points", args.points);
    verdict.put("failed_at_start", at_start);
    verdict.put("failures", json!(hits));
    verdict.tell("sync-failure", args.common.json)
}

/// Was a call made to fail, and if so, what was then called on the same file?
fn injected(log: &std::path::Path) -> anyhow::Result<Option<Option<String>>> {
    let text = std::fs::read(log).context("strace has noted nothing")?;
    let text = String::from_utf8_lossy(&text).into_owned();
    Ok(after_failure(&text))
}

fn after_failure(log: &str) -> Option<Option<String>> {
    let mut lines = log.lines().skip_while(|line| !line.contains("(INJECTED)"));
    let file = file_of(lines.next()?)?.to_owned();
    let again = lines.find(|line| file_of(line) == Some(&file) && !line.contains("resumed>"));
    Some(again.map(str::to_owned))
}

/// The file of a call, as `-y` shows it.
fn file_of(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once('(')?;
    let (_, rest) = rest.split_once('<')?;
    rest.split_once('>').map(|(file, _)| file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_try_is_found() {
        let ok = "7 fdatasync(3</d>) = 0\n";
        let failed = "8 fdatasync(3</d>) = -1 EIO (Input/output error) (INJECTED)\n";
        let other = "8 fdatasync(4</e>) = 0\n";
        assert_eq!(after_failure(ok), None);
        assert_eq!(after_failure(&[ok, failed, other].concat()), Some(None));
        let again = after_failure(&[ok, failed, other, ok].concat());
        assert_eq!(again.flatten().as_deref(), Some("7 fdatasync(3</d>) = 0"));
    }
}
