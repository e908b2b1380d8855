//! `mqserver lists`

use super::source::Source;
use super::table::table;
use super::{Form, print, print_json};
use clap::Args;
use mqserver::api::lists::ListRow;

#[derive(Debug, Args)]
pub(super) struct ListsArgs {
    #[command(flatten)]
    form: Form,
    /// Show who is in this one
    name: Option<String>,
}

pub(super) fn run(args: &ListsArgs) -> anyhow::Result<()> {
    let mut source = Source::of(&args.form.store)?;
    if let Some(name) = &args.name {
        let list = source.list(name)?;
        if args.form.json {
            return print_json(&list);
        }
        let members = list.members.into_iter().map(|name| [name, "member".to_owned()]);
        let invited = list.invited.into_iter().map(|name| [name, "invited".to_owned()]);
        let rows: Vec<_> = members.chain(invited).collect();
        return Ok(print(table(["USER", "IS"], &rows))?);
    }
    let lists = source.lists()?;
    if args.form.json {
        return print_json(&serde_json::json!({ "lists": lists }));
    }
    if lists.is_empty() {
        return Ok(print("There are no lists.\n")?);
    }
    let row = |list: &ListRow| [list.name.clone(), list.members.to_string()];
    let rows: Vec<_> = lists.iter().map(row).collect();
    Ok(print(table(["LIST", "MEMBERS"], &rows))?)
}
