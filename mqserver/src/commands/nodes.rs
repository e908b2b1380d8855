//! `mqserver nodes`

use super::source::Source;
use super::table::{seen, table};
use super::{Form, print, print_json};
use clap::Args;
use mqserver::api::nodes::NodeRow;

#[derive(Debug, Args)]
pub(super) struct NodesArgs {
    #[command(flatten)]
    form: Form,
    /// Only those that have not been online for so long, or of which that is not known: 30d, 12h
    #[arg(long, value_name = "TIME")]
    inactive: Option<humantime::Duration>,
}

pub(super) fn run(args: &NodesArgs) -> anyhow::Result<()> {
    let nodes = Source::of(&args.form.store)?.nodes(args.inactive.as_deref().copied())?;
    if args.form.json {
        return print_json(&serde_json::json!({ "nodes": nodes }));
    }
    if nodes.is_empty() {
        let text = match &args.inactive {
            Some(time) => format!("All nodes have been online within {time}.\n"),
            None => "There are no nodes.\n".to_owned(),
        };
        return Ok(print(text)?);
    }
    let row = |node: &NodeRow| {
        let seen = seen(node.online, node.last_seen.as_ref());
        [format!("{},{}", node.user, node.offset), seen]
    };
    let rows: Vec<_> = nodes.iter().map(row).collect();
    Ok(print(table(["NODE", "LAST SEEN"], &rows))?)
}
