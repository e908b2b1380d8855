//! A set of runs.
//!
//! The runs are command lines, parsed like those that people type: so the commands in the tables are
//! the ones that made them.

use super::Workload;
use super::machine::Machine;
use super::page::page;
use super::report;
use super::table::Outcome;
use clap::{Args, Parser};
use mqlib::now;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

/// The set of short runs.
const SHORT: &[&str] = &[
    "online --clients 16 --seconds 4",
    "online --clients 64 --seconds 4",
    "online --clients 256 --seconds 4",
    "online --clients 64 --seconds 4 --framing raw",
    "online --clients 256 --seconds 4 --framing raw",
    "online --clients 256 --seconds 4 --protocol 1 --framing raw --in-flight 16",
    "online --clients 64 --seconds 4 --rate 1000",
    "online --clients 64 --seconds 4 --fanout 10",
    "list --members 200 --seconds 4",
    "spool --messages 50000 --recipients 250",
    "restart --messages 50000 --recipients 250",
    "idle --clients 1000 --framing ws",
    "idle --clients 1000 --framing raw",
    "idle --offline-nodes 100000",
    "depth --depths 1000,10000 --users 1000,100000",
];
/// The same at the size that the aims are stated for.
const FULL: &[&str] = &[
    "online --clients 16",
    "online --clients 64",
    "online --clients 256",
    "online --clients 16 --framing raw",
    "online --clients 64 --framing raw",
    "online --clients 256 --framing raw",
    "online --clients 256 --protocol 1 --framing raw --in-flight 16",
    "online --clients 64 --rate 1000",
    "online --clients 64 --fanout 10",
    "list --members 1000",
    "spool --messages 200000",
    "restart --messages 200000",
    "restart --messages 1000000 --sample 100",
    "idle --clients 2000 --framing ws",
    "idle --clients 2000 --framing raw",
    "idle --offline-nodes 1000000",
    "depth",
];

const EXAMPLES: &str = "\
Examples:
  mqtest bench all                                     some minutes, and 1 GB of disk
  mqtest bench all --full --markdown > BENCHMARKS.md   the page in the repository
  mqtest bench all --full --json --store /mnt/other    for a program, on another disk

A run that fails does not end the others.";

/// A set of runs of all workloads, some minutes long
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct AllArgs {
    /// Print the whole of a page in Markdown
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
    /// Print a JSON array
    #[arg(long)]
    pub(crate) json: bool,
    /// Full size: half an hour, and 5 GB of disk
    #[arg(long)]
    full: bool,
    /// The server's program [default: the mqserver beside this program]
    #[arg(long, value_name = "PATH")]
    server_bin: Option<PathBuf>,
    /// Where the servers' stores are made [default: the system's temporary directory]
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
}

/// One line of the set.
#[derive(Debug, Parser)]
struct Line {
    #[command(subcommand)]
    workload: Workload,
}

impl AllArgs {
    /// The runs, each as the words behind `mqtest bench`.
    fn lines(&self) -> Vec<Vec<String>> {
        let set = if self.full { FULL } else { SHORT };
        let options = [
            ("--server-bin", self.server_bin.as_ref().map(|path| path.display().to_string())),
            ("--store", self.store.as_ref().map(|path| path.display().to_string())),
        ];
        let line = |line: &&str| {
            let mut words: Vec<_> = line.split(' ').map(str::to_owned).collect();
            for (option, value) in &options {
                words.extend(value.iter().flat_map(|value| [(*option).to_owned(), value.clone()]));
            }
            words
        };
        set.iter().map(line).collect()
    }
}

/// Runs the set. `false` if a run failed, or a count did not match.
pub(crate) async fn run(args: AllArgs) -> anyhow::Result<bool> {
    let machine = Machine::look(args.store.as_deref())?;
    let date = today();
    let mut outcomes = Vec::new();
    for words in args.lines() {
        let outcome = run_line(words).await;
        if !args.json
            && !args.markdown
            && let Some(report) = outcome.report()
        {
            print!("{report}");
        }
        outcomes.push(outcome);
    }
    if args.json {
        println!("{}", serde_json::Value::from_iter(outcomes.iter().map(Outcome::json)));
    } else if args.markdown {
        let command = report::command(std::env::args().skip(1));
        print!("{}", page(&command, &date, &machine, &outcomes));
    }
    Ok(outcomes.iter().all(Outcome::is_sound))
}

/// Makes one run; how it fails is for the table to say, too.
async fn run_line(words: Vec<String>) -> Outcome {
    let workload = words.first().cloned().unwrap_or_default();
    let words = || ["bench".to_owned()].into_iter().chain(words.iter().cloned());
    let command = report::command(words());
    eprintln!("{command}");
    let result = match Line::try_parse_from(words()) {
        Ok(line) => Box::pin(line.workload.measure(command.clone())).await,
        Err(error) => Err(error.into()),
    };
    if let Err(error) = &result {
        eprintln!("mqtest: in {command}: {error:#}");
    }
    Outcome::new(command, &workload, result)
}

fn today() -> String {
    let millis = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let date = now::date(millis as u64);
    date.split('T').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(full: bool) -> AllArgs {
        let store = Some("/a b".into());
        AllArgs { markdown: true, json: false, full, server_bin: None, store }
    }

    #[test]
    fn every_line_of_the_sets_is_a_command() {
        for full in [false, true] {
            for words in args(full).lines() {
                assert_eq!(words[words.len() - 2..], ["--store", "/a b"]);
                let line = Line::try_parse_from(["bench".to_owned()].into_iter().chain(words));
                assert!(line.is_ok(), "{line:?}");
            }
        }
    }

    #[tokio::test]
    async fn a_run_that_fails_has_an_outcome() {
        let words = "limit --store /no/such/directory".split(' ').map(str::to_owned).collect();
        let outcome = run_line(words).await;
        assert!(!outcome.is_sound());
        assert_eq!(outcome.json()["command"], "mqtest bench limit --store /no/such/directory");
        assert!(outcome.json()["failed"].is_string());
    }

    #[test]
    fn a_day_is_a_date_without_a_time() {
        let today = today();
        assert_eq!((today.len(), &today[4..5]), (10, "-"));
    }
}
