//! `USER,NODE`, and `mqserver node drop`

use super::confirm::confirm;
use super::table::count;
use super::{Form, say, server};
use anyhow::bail;
use clap::{Args, Subcommand};
use mqserver::api::Done;
use mqserver::api::users::User;
use mqserver::control::path;
use std::str::FromStr;

/// A node as it is written: `alice,0`. Names may have commas, so the last one counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NodeName {
    pub(super) user: String,
    pub(super) offset: u8,
}

impl FromStr for NodeName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let split = text.rsplit_once(',').and_then(|(user, number)| {
            Some(Self { user: user.to_owned(), offset: number.parse().ok()? })
        });
        split
            .ok_or_else(|| "a node is a user's name, a comma and a number, like alice,0".to_owned())
    }
}

impl std::fmt::Display for NodeName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{},{}", self.user, self.offset)
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum NodeCommand {
    /// Take a node away from its user, with what waits for it; needs a running server
    ///
    /// Its link ends. What its user's other nodes have they keep; what waits for the last one is bounced
    /// to its senders.
    Drop(DropArgs),
}

#[derive(Debug, Args)]
pub(super) struct DropArgs {
    #[command(flatten)]
    form: Form,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// The node, like alice,0
    #[arg(value_name = "USER,NODE")]
    node: NodeName,
}

pub(super) fn run(NodeCommand::Drop(args): &NodeCommand) -> anyhow::Result<()> {
    let (store, node) = (&args.form.store, &args.node);
    let user: User = server(store)?.get(&path(&["users", &node.user]))?;
    let Some(known) = user.nodes.iter().find(|known| known.offset == node.offset) else {
        bail!("there is no node {node}");
    };
    let waiting = count(known.queued, "message");
    confirm(&format!("Drop node {node}, with {waiting}"), args.yes)?;
    let offset = node.offset.to_string();
    let done: Done = server(store)?.delete(&path(&["users", &node.user, "nodes", &offset]))?;
    say(&args.form, &done, &format!("Node {node} is dropped."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_commas_the_last_one_counts() {
        let node: NodeName = "a,b,12".parse().unwrap();
        assert_eq!((node.user.as_str(), node.offset), ("a,b", 12));
        for wrong in ["alice", "alice,", "alice,x", "alice,256", "alice,-1"] {
            assert!(wrong.parse::<NodeName>().is_err(), "{wrong}");
        }
    }
}
