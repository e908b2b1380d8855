//! The tables of a set of runs: one for each workload, a run a line.

use super::report::{Report, number};
use serde_json::json;

/// What became of a run.
#[derive(Debug)]
pub(crate) struct Outcome {
    command: String,
    workload: String,
    result: anyhow::Result<Report>,
}

impl Outcome {
    /// The outcome of a command. Its workload is what is known of it if it failed.
    pub(crate) fn new(command: String, workload: &str, result: anyhow::Result<Report>) -> Self {
        let known = result.as_ref().ok().map(Report::workload);
        Self { command, workload: known.unwrap_or(workload).to_owned(), result }
    }

    /// The report, if there was a run.
    pub(crate) fn report(&self) -> Option<&Report> {
        self.result.as_ref().ok()
    }

    /// Whether there was a run, and all counts matched.
    pub(crate) fn is_sound(&self) -> bool {
        self.report().is_some_and(Report::is_sound)
    }

    /// As JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        match &self.result {
            Ok(report) => report.json(),
            Err(error) => json!({
                "workload": self.workload, "command": self.command, "failed": format!("{error:#}"),
            }),
        }
    }

    /// Why there was no run, without the server's log.
    fn failure(&self) -> Option<String> {
        let causes = self.result.as_ref().err()?.chain().map(ToString::to_string);
        let causes = Vec::from_iter(causes.filter(|cause| !cause.contains('\n')));
        Some(if causes.is_empty() { "see its log".into() } else { causes.join(": ") })
    }
}

/// A column.
#[derive(Debug)]
pub(crate) struct Column {
    title: &'static str,
    /// The figures in it.
    keys: &'static [&'static str],
    meaning: &'static str,
}

/// A table.
#[derive(Debug)]
pub(crate) struct Table {
    workload: &'static str,
    heading: &'static str,
    columns: &'static [Column],
}

const fn column(
    title: &'static str,
    keys: &'static [&'static str],
    meaning: &'static str,
) -> Column {
    Column { title, keys, meaning }
}

const POSTS: Column = column(
    "posts/s",
    &["posts_per_s"],
    "posts acked to their posters, each durable by then, in a second",
);
const LIMIT: Column =
    column("limit/s", &["limit_per_s"], "durable writes of 4 KB in a second, before the run");
const RATIO: Column = column("÷ limit", &["ratio"], "posts/s, divided by the limit");
const DELIVERIES: Column = column(
    "deliveries/s",
    &["deliveries_per_s"],
    "messages that reached a client, which acked them, in a second",
);
const TO_ACK: Column = column(
    "post→ack p50 / p99 / max ms",
    &["ack_p50_ms", "ack_p99_ms", "ack_max_ms"],
    "from a post, or with a fixed rate from when it was due, to its ack",
);
const TO_RECEIVE: Column = column(
    "post→receive p50 / p99 / max ms",
    &["receive_p50_ms", "receive_p99_ms", "receive_max_ms"],
    "from the same to its delivery",
);
const RSS: Column = column("RSS MiB", &["rss_mib"], "memory of the server after the measurement");
const LOAD: Column = column(
    "load CPU cores",
    &["generator_cores"],
    "what the load itself used of the machine's cores",
);
const DRAIN: Column =
    column("drain/s", &["drain_per_s"], "deliveries in a second, logins included");

/// All tables, in the order of the page.
pub(crate) const TABLES: &[Table] = &[
    Table {
        workload: "online",
        heading: "Users that are online post to each other",
        columns: &[
            POSTS,
            LIMIT,
            RATIO,
            DELIVERIES,
            TO_ACK,
            TO_RECEIVE,
            column(
                "server CPU s per 100k",
                &["cpu_s_per_100k"],
                "CPU of the server for 100,000 posts, delivered and acked",
            ),
            RSS,
            LOAD,
        ],
    },
    Table {
        workload: "list",
        heading: "A list whose members are all online",
        columns: &[
            DELIVERIES,
            POSTS,
            LIMIT,
            RATIO,
            TO_ACK,
            TO_RECEIVE,
            column(
                "server CPU s per 100k deliveries",
                &["cpu_s_per_100k_deliveries"],
                "CPU of the server for 100,000 deliveries",
            ),
            RSS,
            LOAD,
        ],
    },
    Table {
        workload: "spool",
        heading: "Users that are offline, who then come",
        columns: &[
            column("posts/s", &["ingest_per_s"], "durable posts in a second, nobody online"),
            LIMIT,
            column("÷ limit", &["ingest_ratio"], "posts/s, divided by the limit"),
            DRAIN,
            column(
                "server CPU s per 100k in / out",
                &["ingest_cpu_s_per_100k", "drain_cpu_s_per_100k"],
                "CPU of the server for 100,000 posts, and for 100,000 deliveries",
            ),
            column(
                "RSS MiB full / filed",
                &["rss_full_mib", "rss_filed_mib"],
                "memory of the server after the last post, and when all are files",
            ),
            column("files", &["spool_files"], "files in the spool when all are filed"),
            column(
                "spool / store MiB on disk",
                &["spool_mib", "store_mib"],
                "what they take on disk, and what the whole store takes",
            ),
        ],
    },
    Table {
        workload: "restart",
        heading: "kill -9 with full queues",
        columns: &[
            LIMIT,
            column("waiting", &["messages"], "messages that waited when the server was killed"),
            column("listens after s", &["listens_s"], "from the start until it took connections"),
            column(
                "first delivery after s",
                &["first_delivery_s"],
                "from the start until a message reached a client, its login included",
            ),
            column("RSS MiB then", &["rss_restarted_mib"], "memory of the server after that"),
            column("taken afterwards", &["drained"], "messages delivered and acked in the end"),
            DRAIN,
        ],
    },
    Table {
        workload: "idle",
        heading: "Links that do nothing",
        columns: &[
            column("links", &["links"], "clients that are logged in"),
            column(
                "RSS MiB before / after",
                &["rss_before_mib", "rss_after_mib"],
                "memory of the server without and with them",
            ),
            column(
                "KiB a link, all / second half",
                &["kib_per_link", "kib_per_further_link"],
                "the difference for each link, and for each of the second half",
            ),
            column("server CPU %", &["cpu_percent"], "of a core, while nothing happens"),
        ],
    },
    Table {
        workload: "offline",
        heading: "Users that are offline",
        columns: &[
            column("users", &["offline_nodes"], "users with a node each and nothing waiting"),
            column(
                "RSS MiB with 1,000 users / all",
                &["rss_few_mib", "rss_mib"],
                "memory of a server on a store with 1,000 users, and on one with all",
            ),
            column("bytes a node", &["bytes_per_node"], "the difference for each user"),
            column(
                "listens after s",
                &["listens_few_s", "listens_s"],
                "from the start until it took connections, with 1,000 users and with all",
            ),
        ],
    },
    Table { workload: "depth", heading: "As a queue and the directory grow", columns: &[LIMIT] },
];

impl Table {
    /// The table with the runs that belong in it, and what its columns mean; empty if there is none.
    pub(crate) fn markdown(&self, outcomes: &[Outcome]) -> String {
        let outcomes = outcomes.iter().filter(|outcome| outcome.workload == self.workload);
        let outcomes = Vec::from_iter(outcomes);
        if outcomes.is_empty() {
            return String::new();
        }
        let titles = self.columns.iter().map(|column| column.title);
        let mut out = format!("\n## {}\n", self.heading);
        out += &row(std::iter::once("command").chain(titles));
        out += &row(std::iter::once("---").chain(self.columns.iter().map(|_| "---:")));
        for outcome in &outcomes {
            out += &self.line(outcome);
        }
        out.push('\n');
        for Column { title, meaning, .. } in self.columns {
            out += &meaning_of(title, meaning);
        }
        for rows in outcomes.iter().filter_map(|outcome| outcome.report()).flat_map(Report::rows) {
            out.push('\n');
            out += &rows.markdown();
        }
        out
    }

    fn line(&self, outcome: &Outcome) -> String {
        let command = format!("`{}`", outcome.command);
        let cells = self.columns.iter().map(|column| match &outcome.result {
            Ok(report) => cell(report, column.keys),
            Err(_) => "–".to_owned(),
        });
        let failure = outcome.failure().map(|why| format!("**failed**: {why}"));
        let skip = usize::from(failure.is_some());
        row(std::iter::once(command).chain(failure).chain(cells.skip(skip)))
    }
}

/// A line of a table.
pub(crate) fn row<T: AsRef<str>>(cells: impl IntoIterator<Item = T>) -> String {
    let mut row = String::from("|");
    for cell in cells {
        row.push(' ');
        row.push_str(&cell.as_ref().replace('|', "\\|"));
        row.push_str(" |");
    }
    row + "\n"
}

/// What a column means, below its table.
pub(crate) fn meaning_of(title: &str, meaning: &str) -> String {
    format!("- *{title}*: {meaning}\n")
}

fn cell(report: &Report, keys: &[&str]) -> String {
    let text = |key: &&str| report.get(key).map_or_else(|| "–".to_owned(), number);
    keys.iter().map(text).collect::<Vec<_>>().join(" / ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::anyhow;

    fn table(workload: &str) -> &'static Table {
        TABLES.iter().find(|table| table.workload == workload).unwrap()
    }

    #[test]
    fn a_table_shows_commands_and_figures() {
        let mut report = Report::new("idle", "mqtest bench idle".into());
        report.put("links", "", 2000.0, "");
        report.put("kib_per_link", "", 12.34, "");
        let outcome = Outcome::new("mqtest bench idle".into(), "idle", Ok(report));
        let text = table("idle").markdown(&[outcome]);
        let mut lines = text.lines().skip(1);
        assert_eq!(lines.next().unwrap(), "## Links that do nothing");
        assert!(lines.next().unwrap().starts_with("| command | links | RSS"));
        assert_eq!(lines.next().unwrap(), "| --- | ---: | ---: | ---: | ---: |");
        assert_eq!(lines.next().unwrap(), "| `mqtest bench idle` | 2,000 | – / – | 12.3 / – | – |");
        assert_eq!(lines.filter(|line| line.starts_with("- *")).count(), 4);
    }

    #[test]
    fn a_run_that_failed_has_a_line_that_says_why() {
        let error = anyhow!("no disk a|b").context("client 5").context("its log:\nstarted\n");
        let outcome = Outcome::new("c".into(), "idle", Err(error));
        assert!(!outcome.is_sound());
        assert_eq!(outcome.json()["failed"], "its log:\nstarted\n: client 5: no disk a|b");
        let text = table("idle").markdown(&[outcome]);
        let line = "| `c` | **failed**: client 5: no disk a\\|b | – | – | – |\n";
        assert!(text.contains(line), "{text}");
    }

    #[test]
    fn every_workload_has_its_own_table() {
        let mut seen = std::collections::HashSet::new();
        for table in TABLES {
            assert!(seen.insert(table.workload));
            assert!(table.columns.iter().all(|column| !column.keys.is_empty()));
        }
        assert!(table("online").markdown(&[]).is_empty());
    }
}
