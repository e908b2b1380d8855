//! The page that a set of runs makes: all of BENCHMARKS.md.

use super::machine::Machine;
use super::report::{Report, number};
use super::table::{Outcome, TABLES};

/// What the page says of itself.
const INTRO: &str = "\
Every run starts a server of its own on an empty store, with its settings as they are, and ends with
all counts compared: what was posted, acked, delivered and acked again. The load runs on the same
machine and shares its cores. A post is acked when it is durable: written to the disk, past its
cache. *Limit* is what the same disk did just before the run, in durable writes of 4 KB, one at a
time.
";

/// The page of these runs, made by a command on a day.
pub(crate) fn page(command: &str, date: &str, machine: &Machine, outcomes: &[Outcome]) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let mut out = format!("# Benchmarks\nOf version {version}, on {date}, by `{command}`.\n\n");
    out += &format!("Machine: {machine}.\n\n{INTRO}");
    out += &limits(outcomes);
    for table in TABLES {
        out += &table.markdown(outcomes);
    }
    out += &asides("Notes", outcomes, Report::notes);
    out += &asides("Broken promises", outcomes, Report::faults);
    out
}

/// Between which values the limit was.
fn limits(outcomes: &[Outcome]) -> String {
    let reports = outcomes.iter().filter_map(Outcome::report);
    let limits = reports.filter_map(|report| report.get("limit_per_s"));
    let (least, most) = limits
        .fold((f64::INFINITY, 0_f64), |(least, most), limit| (least.min(limit), most.max(limit)));
    match most > 0.0 {
        true => format!("In these runs it was {} to {}/s.\n", number(least), number(most)),
        false => String::new(),
    }
}

/// What was said besides the figures, each with the commands it was said of.
fn asides(title: &str, outcomes: &[Outcome], of: impl Fn(&Report) -> &[String]) -> String {
    let mut said: Vec<(&str, Vec<String>)> = Vec::new();
    for report in outcomes.iter().filter_map(Outcome::report) {
        for text in of(report) {
            let command = format!("`{}`", report.command);
            match said.iter_mut().find(|(known, _)| known == text) {
                Some((_, commands)) => commands.push(command),
                None => said.push((text, vec![command])),
            }
        }
    }
    let lines = said.iter().map(|(text, commands)| format!("- {text}: {}\n", commands.join(", ")));
    let lines = String::from_iter(lines);
    if lines.is_empty() { lines } else { format!("\n## {title}\n{lines}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_says_what_was_run_where_and_what_came_of_it() {
        let mut report = Report::new("online", "mqtest bench online".into());
        report.put("posts_per_s", "", 100_000.0, "/s");
        report.put("limit_per_s", "", 9000.0, "/s");
        report.note("the disk is slow");
        report.broken_if(2, "lost");
        let mut other = Report::new("spool", "mqtest bench spool".into());
        other.note("the disk is slow");
        let outcomes = [
            Outcome::new("mqtest bench online".into(), "online", Ok(report)),
            Outcome::new("mqtest bench spool".into(), "spool", Ok(other)),
            Outcome::new("mqtest bench list".into(), "list", Err(anyhow::anyhow!("no server"))),
        ];
        let machine = Machine::look(None).unwrap();
        let page = page("mqtest bench all --markdown", "2026-11-21", &machine, &outcomes);
        for part in [
            "# Benchmarks\n",
            "on 2026-11-21, by `mqtest bench all --markdown`",
            &machine.to_string(),
            "it was 9,000 to 9,000/s",
            "| `mqtest bench online` | 100,000 | 9,000 |",
            "- *posts/s*: ",
            "| `mqtest bench list` | **failed**: no server |",
            "## Notes\n- the disk is slow: `mqtest bench online`, `mqtest bench spool`\n",
            "## Broken promises\n- 2 lost: `mqtest bench online`\n",
        ] {
            assert!(page.contains(part), "{part}\n{page}");
        }
        assert!(!page.contains("idle"), "no table without runs");
    }
}
