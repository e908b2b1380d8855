//! `mqserver users`

use super::source::Source;
use super::table::{seen, table};
use super::{Form, print, print_json};
use clap::Args;
use mqserver::api::users::UserRow;

#[derive(Debug, Args)]
pub(super) struct UsersArgs {
    #[command(flatten)]
    form: Form,
    /// Only those that have this in their name, or in an alias
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
}

pub(super) fn run(args: &UsersArgs) -> anyhow::Result<()> {
    let search = args.search.as_deref().unwrap_or_default();
    let users = Source::of(&args.form.store)?.users(search)?;
    if args.form.json {
        return print_json(&serde_json::json!({ "users": users }));
    }
    if users.is_empty() {
        let text = match &args.search {
            Some(search) => format!("No user has {search:?} in a name.\n"),
            None => "There are no users.\n".to_owned(),
        };
        return Ok(print(text)?);
    }
    let row = |user: &UserRow| {
        let seen = seen(user.online > 0, user.last_seen.as_ref());
        let seen = if user.disabled { format!("{seen}, disabled") } else { seen };
        [user.name.clone(), user.nodes.to_string(), seen, user.aliases.join(" ")]
    };
    let rows: Vec<_> = users.iter().map(row).collect();
    Ok(print(table(["USER", "NODES", "LAST SEEN", "ALIASES"], &rows))?)
}
