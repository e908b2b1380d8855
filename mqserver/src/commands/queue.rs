//! `mqserver queue ls|show`, and what empties one

use super::confirm::confirm;
use super::node::NodeName;
use super::source::Source;
use super::table::{ago, count, shown, size, table};
use super::{Form, print, print_json, say, server};
use anyhow::bail;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use mqlib::id::MessageId;
use mqserver::api::queues::{MessageRow, Purged};
use mqserver::api::users::User;
use mqserver::control::{path, with};
use std::io::IsTerminal;

#[derive(Debug, Subcommand)]
pub(super) enum QueueCommand {
    /// List what waits for a node, the oldest first; on a stopped store, too
    Ls(LsArgs),
    /// Show a message that waits for a node; on a stopped store, too
    Show(ShowArgs),
    /// Remove what waits for a node, as if it had acked it; needs a running server
    Purge(PurgeArgs),
}

#[derive(Debug, Args)]
pub(super) struct PurgeArgs {
    #[command(flatten)]
    form: Form,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Tell the senders that their messages were not delivered
    #[arg(long)]
    bounce: bool,
    /// Only up to this message; the default is all that waits now
    #[arg(long, value_name = "ID")]
    up_to: Option<MessageId>,
    /// The node, like alice,0
    #[arg(value_name = "USER,NODE")]
    node: NodeName,
}

#[derive(Debug, Args)]
pub(super) struct LsArgs {
    #[command(flatten)]
    form: Form,
    /// The node, like alice,0
    #[arg(value_name = "USER,NODE")]
    node: NodeName,
}

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    #[command(flatten)]
    form: Form,
    /// The node, like alice,0
    #[arg(value_name = "USER,NODE")]
    node: NodeName,
    /// The message's id, as `ls` tells it
    id: MessageId,
    /// Print the bytes of its data only, and all of them
    #[arg(long, conflicts_with = "json")]
    raw: bool,
}

pub(super) fn run(command: &QueueCommand) -> anyhow::Result<()> {
    match command {
        QueueCommand::Ls(args) => ls(args),
        QueueCommand::Show(args) => show(args),
        QueueCommand::Purge(args) => purge(args),
    }
}

fn purge(args: &PurgeArgs) -> anyhow::Result<()> {
    let (store, node) = (&args.form.store, &args.node);
    let user: User = server(store)?.get(&path(&["users", &node.user]))?;
    let Some(known) = user.nodes.iter().find(|known| known.offset == node.offset) else {
        bail!("there is no node {node}");
    };
    let what = match args.up_to {
        Some(id) => format!("what waits up to {id}"),
        None => count(known.queued, "message"),
    };
    confirm(&format!("Remove {what} from the queue of {node}"), args.yes)?;
    let up_to = args.up_to.map(|id| id.to_string());
    let mut query: Vec<_> = up_to.iter().map(|id| ("upTo", id.as_str())).collect();
    query.extend(args.bounce.then_some(("bounce", "1")));
    let queue = path(&["users", &node.user, "nodes", &node.offset.to_string(), "queue"]);
    let purged: Purged = server(store)?.delete(&with(queue, &query))?;
    let removed = count(purged.purged, "message");
    say(&args.form, &purged, &format!("{removed} removed from the queue of {node}."))
}

fn ls(args: &LsArgs) -> anyhow::Result<()> {
    let node = &args.node;
    let messages = Source::of(&args.form.store)?.queue(&node.user, node.offset)?;
    if args.form.json {
        return print_json(&serde_json::json!({ "messages": messages }));
    }
    if messages.is_empty() {
        return Ok(print(format!("Nothing waits for {node}.\n"))?);
    }
    let row = |message: &MessageRow| {
        let what = match (message.op.as_deref(), message.single) {
            (None, _) => "damaged".to_owned(),
            (Some(op), false) => op.to_owned(),
            (Some(op), true) => format!("{op}, for one node"),
        };
        let from = message.from.clone().unwrap_or_default();
        [message.id.clone(), ago(&message.posted), size(message.size), from, what]
    };
    let rows: Vec<_> = messages.iter().map(row).collect();
    Ok(print(table(["MESSAGE", "POSTED", "SIZE", "FROM", "WHAT"], &rows))?)
}

fn show(args: &ShowArgs) -> anyhow::Result<()> {
    let node = &args.node;
    let mut source = Source::of(&args.form.store)?;
    if args.raw {
        return Ok(print(source.data(&node.user, node.offset, args.id)?)?);
    }
    let message = source.message(&node.user, node.offset, args.id)?;
    if args.form.json {
        return print_json(&message);
    }
    let mut text = serde_json::to_string_pretty(&message.header)? + "\n";
    if let Some(etc) = &message.etc {
        text += &format!("etc: {etc}\n");
    }
    text += &format!("data: {}", size(message.size as u64));
    text += if message.cut { ", of which this is the beginning\n\n" } else { "\n\n" };
    match &message.text {
        Some(data) if std::io::stdout().is_terminal() => text += &shown(data),
        Some(data) => text += data,
        None => {
            let bytes = STANDARD.decode(&message.body)?;
            text += &format!("(no text; --raw prints its {} bytes)", bytes.len());
        }
    }
    Ok(print(text + "\n")?)
}
