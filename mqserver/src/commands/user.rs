//! `mqserver user show`, and what changes a user

use super::confirm::confirm;
use super::source::Source;
use super::table::{count, lines, seen, size, table};
use super::{Form, print, print_json, say, server};
use clap::{Args, Subcommand};
use mqserver::api::Done;
use mqserver::api::users::User;
use mqserver::control::path;

#[derive(Debug, Subcommand)]
pub(super) enum UserCommand {
    /// Show a user: its nodes and what waits for them, its aliases, its lists; on a stopped store, too
    Show(NameArgs),
    /// Delete a user, with its nodes and what waits for them; needs a running server
    ///
    /// Its links end, it leaves its lists, and its name and aliases are free; who registers the name
    /// next inherits nothing. What none of its nodes has got is bounced to its senders.
    Delete(DeleteArgs),
    /// Let a user log in no more; what is posted to it waits; needs a running server
    Disable(ChangeArgs),
    /// Let a user that is disabled log in again; needs a running server
    Enable(ChangeArgs),
}

#[derive(Debug, Args)]
pub(super) struct ChangeArgs {
    #[command(flatten)]
    form: Form,
    /// The user's name
    name: String,
}

#[derive(Debug, Args)]
pub(super) struct DeleteArgs {
    #[command(flatten)]
    form: Form,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// The user's name
    name: String,
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
        UserCommand::Delete(args) => delete(args),
        UserCommand::Disable(args) => change(args, "disable"),
        UserCommand::Enable(args) => change(args, "enable"),
    }
}

fn delete(args: &DeleteArgs) -> anyhow::Result<()> {
    let (store, name) = (&args.form.store, &args.name);
    let user: User = server(store)?.get(&path(&["users", name]))?;
    let waiting = user.nodes.iter().map(|node| node.queued).max().unwrap_or(0);
    let (nodes, waiting) = (count(user.nodes.len() as u64, "node"), count(waiting, "message"));
    confirm(&format!("Delete user {name}, with {nodes} and {waiting}"), args.yes)?;
    let done: Done = server(store)?.delete(&path(&["users", name]))?;
    say(&args.form, &done, &format!("User {name} is deleted."))
}

fn change(args: &ChangeArgs, how: &str) -> anyhow::Result<()> {
    let name = &args.name;
    let done: Done =
        server(&args.form.store)?.post(&path(&["users", name, how]), &serde_json::json!({}))?;
    say(&args.form, &done, &format!("User {name} is {how}d."))
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
