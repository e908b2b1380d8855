//! A set of runs, and the table of them.
//!
//! The runs are command lines, parsed like those that people type: so the commands in the table are
//! the ones that made it.

use super::Workload;
use super::report::{Report, number};
use anyhow::Context;
use clap::{Args, Parser};
use std::path::PathBuf;

/// The set of short runs.
const SHORT: &[&str] = &[
    "online --clients 16 --seconds 4",
    "online --clients 64 --seconds 4",
    "online --clients 256 --seconds 4",
    "online --clients 64 --seconds 4 --framing raw",
    "online --clients 256 --seconds 4 --framing raw",
    "online --clients 64 --seconds 4 --rate 1000",
    "online --clients 64 --seconds 4 --fanout 10",
    "spool --messages 50000 --recipients 250",
    "restart --messages 50000 --recipients 250",
    "idle --clients 500 --framing ws",
    "idle --clients 500 --framing raw",
];
/// The same at the size that the aims are stated for.
const FULL: &[&str] = &[
    "online --clients 16",
    "online --clients 64",
    "online --clients 256",
    "online --clients 64 --framing raw",
    "online --clients 256 --framing raw",
    "online --clients 64 --rate 1000",
    "online --clients 64 --fanout 10",
    "online --clients 1001 --posters 4 --fanout 1000",
    "spool --messages 200000",
    "restart --messages 200000",
    "restart --messages 1000000 --sample 100",
    "idle --clients 2000 --framing ws",
    "idle --clients 2000 --framing raw",
];

/// A column: its title, and the figures in it.
type Column = (&'static str, &'static [&'static str]);

const ONLINE: &[Column] = &[
    ("durable posts/s", &["posts_per_s"]),
    ("÷ limit", &["ratio"]),
    ("deliveries/s", &["deliveries_per_s"]),
    ("post→ack p50 / p99 / max ms", &["ack_p50_ms", "ack_p99_ms", "ack_max_ms"]),
    ("post→receive p50 / p99 / max ms", &["receive_p50_ms", "receive_p99_ms", "receive_max_ms"]),
    ("server CPU s per 100k", &["cpu_s_per_100k"]),
    ("RSS MiB", &["rss_mib"]),
    ("load CPU cores", &["generator_cores"]),
];
const SPOOL: &[Column] = &[
    ("ingest/s", &["ingest_per_s"]),
    ("÷ limit", &["ingest_ratio"]),
    ("drain/s", &["drain_per_s"]),
    ("server CPU s per 100k in / out", &["ingest_cpu_s_per_100k", "drain_cpu_s_per_100k"]),
    ("RSS MiB full / filed", &["rss_full_mib", "rss_filed_mib"]),
    ("files", &["spool_files"]),
    ("spool / store MiB on disk", &["spool_mib", "store_mib"]),
];
const RESTART: &[Column] = &[
    ("waiting", &["messages"]),
    ("listens after s", &["listens_s"]),
    ("first delivery after s", &["first_delivery_s"]),
    ("RSS MiB then", &["rss_restarted_mib"]),
    ("taken afterwards", &["drained"]),
    ("drain/s", &["drain_per_s"]),
];
const IDLE: &[Column] = &[
    ("links", &["links"]),
    ("RSS MiB before / after", &["rss_before_mib", "rss_after_mib"]),
    ("KiB a link, all / second half", &["kib_per_link", "kib_per_further_link"]),
    ("server CPU %", &["cpu_percent"]),
];
const TABLES: &[(&str, &[Column])] =
    &[("online", ONLINE), ("spool", SPOOL), ("restart", RESTART), ("idle", IDLE)];

/// A set of runs of all workloads, some minutes long
#[derive(Debug, Args)]
pub(crate) struct AllArgs {
    /// Print tables in Markdown
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
    /// Print a JSON array
    #[arg(long)]
    pub(crate) json: bool,
    /// Full size: many minutes, and some GB of disk
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

/// Runs the set. `false` if a count did not match.
pub(crate) async fn run(args: AllArgs) -> anyhow::Result<bool> {
    let mut reports = Vec::new();
    for words in args.lines() {
        let command = super::report::command(["bench".to_owned()].into_iter().chain(words.clone()));
        eprintln!("{command}");
        let line = Line::try_parse_from(["bench".to_owned()].into_iter().chain(words))?;
        let report = Box::pin(line.workload.measure(command.clone())).await;
        let report = report.with_context(|| format!("in {command}"))?;
        if !args.json && !args.markdown {
            print!("{report}");
        }
        reports.push(report);
    }
    if args.json {
        println!("{}", serde_json::Value::from_iter(reports.iter().map(Report::json)));
    } else if args.markdown {
        print!("{}", tables(&reports));
    }
    Ok(reports.iter().all(Report::is_sound))
}

/// A table for each workload.
fn tables(reports: &[Report]) -> String {
    let mut out = String::new();
    for (workload, columns) in TABLES {
        let rows: Vec<_> = reports.iter().filter(|r| r.workload() == *workload).collect();
        if rows.is_empty() {
            continue;
        }
        let titles = columns.iter().map(|(title, _)| (*title).to_owned());
        out += &row(std::iter::once("command".to_owned()).chain(titles));
        out += &row(std::iter::once("---").chain(columns.iter().map(|_| "---:")));
        for report in rows {
            let cells = columns.iter().map(|(_, keys)| cell(report, keys));
            out += &row(std::iter::once(format!("`{}`", report.command)).chain(cells));
        }
        out.push('\n');
    }
    let limits: Vec<_> = reports.iter().filter_map(|r| r.get("limit_per_s")).collect();
    let least = limits.iter().copied().fold(f64::INFINITY, f64::min);
    let most = limits.iter().copied().fold(0.0, f64::max);
    out += &format!(
        "Limit: 4 KB durable writes, one at a time, on the same disk just before each run: {} to {}/s.\n",
        number(least),
        number(most)
    );
    for report in reports {
        for fault in report.faults() {
            out += &format!("\n**Broken** in `{}`: {fault}\n", report.command);
        }
    }
    out
}

fn row<T: AsRef<str>>(cells: impl IntoIterator<Item = T>) -> String {
    let mut row = String::from("|");
    for cell in cells {
        row.push(' ');
        row.push_str(cell.as_ref());
        row.push_str(" |");
    }
    row + "\n"
}

fn cell(report: &Report, keys: &[&str]) -> String {
    let text = |key: &&str| report.get(key).map_or_else(|| "–".to_owned(), number);
    keys.iter().map(text).collect::<Vec<_>>().join(" / ")
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

    #[test]
    fn a_table_shows_commands_and_figures() {
        let mut report = Report::new("idle", "mqtest bench idle".into());
        report.put("links", "", 2000.0, "");
        report.put("kib_per_link", "", 12.34, "");
        report.broken_if(2, "lost");
        let table = tables(&[report]);
        let mut lines = table.lines();
        assert!(lines.next().unwrap().starts_with("| command | links | RSS"));
        assert_eq!(lines.next().unwrap(), "| --- | ---: | ---: | ---: | ---: |");
        assert_eq!(lines.next().unwrap(), "| `mqtest bench idle` | 2,000 | – / – | 12.3 / – | – |");
        assert!(table.ends_with("**Broken** in `mqtest bench idle`: 2 lost\n"));
    }
}
