//! `mqserver status`

use super::table::{count, lines, size};
use super::{Form, print, print_json};
use clap::Args;
use mqserver::api::status::Status;
use mqserver::control::{Client, path};

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    form: Form,
}

pub(super) fn run(args: &StatusArgs) -> anyhow::Result<()> {
    let status: Status = Client::connect(&args.form.store.store)?.get(&path(&["status"]))?;
    if args.form.json {
        return print_json(&status);
    }
    Ok(print(text(&status))?)
}

fn text(status: &Status) -> String {
    let s = status.uptime_s;
    let (hours, minutes, seconds) = (s / 3600, s / 60 % 60, s % 60);
    let (free, total) = (size(status.disk.free), size(status.disk.total));
    let (used, segments) = (status.journal.used, status.journal.segments);
    lines(&[
        ("pid", status.pid.to_string()),
        ("version", status.version.clone()),
        ("uptime", format!("{hours}:{minutes:02}:{seconds:02}")),
        ("links", format!("{}, {} of them logged in", status.links, status.online)),
        ("users", status.users.to_string()),
        ("nodes", status.nodes.to_string()),
        ("lists", status.lists.to_string()),
        ("waiting", count(status.waiting as u64, "message")),
        ("disk", format!("{free} of {total} free")),
        ("journal", format!("{used} of {segments} segments in use")),
    ])
}
