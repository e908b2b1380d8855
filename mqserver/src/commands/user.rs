//! `mqserver user show`, and what changes a user

use super::source::Source;
use super::table::{lines, seen, size, table};
use super::{Form, print, print_json};
use clap::{Args, Subcommand};
use mqserver::api::users::User;

#[derive(Debug, Subcommand)]
pub(super) enum UserCommand {
    /// Show a user: its nodes and what waits for them, its aliases, its lists; on a stopped store, too
    Show(NameArgs),
}

#[derive(Debug, Args)]
pub(super) struct NameArgs {
    #[command(flatten)]
    form: Form,
    /// The user's name
    name: String,
}

pub(super) fn run(command: &UserCommand) -> anyhow::Result<()> {
    match command {
        UserCommand::Show(args) => show(args),
    }
}

fn show(args: &NameArgs) -> anyhow::Result<()> {
    let user = Source::of(&args.form.store)?.user(&args.name)?;
    if args.form.json {
        return print_json(&user);
    }
    Ok(print(text(&user))?)
}

fn text(user: &User) -> String {
    let or_none = |names: &[String]| match names {
        [] => "none".to_owned(),
        names => names.join(" "),
    };
    let mut facts = vec![
        ("user", user.name.clone()),
        ("aliases", or_none(&user.aliases)),
        ("lists", or_none(&user.lists)),
    ];
    if user.disabled {
        facts.push(("disabled", "yes: it may not log in".to_owned()));
    }
    let rows: Vec<_> = user
        .nodes
        .iter()
        .map(|node| {
            [
                format!("{},{}", user.name, node.offset),
                node.queued.to_string(),
                size(node.bytes),
                seen(node.online, node.last_seen.as_ref()),
            ]
        })
        .collect();
    lines(&facts) + "\n" + &table(["NODE", "WAITING", "SIZE", "LAST SEEN"], &rows)
}
