//! `mqserver admin-token`: what opens the admin page.

use super::{Form, print, print_json};
use clap::Args;
use mqserver::admin::token;

#[derive(Debug, Args)]
pub(super) struct AdminTokenArgs {
    #[command(flatten)]
    form: Form,
    /// Replace it: the old one opens nothing any more, and all sessions end
    #[arg(long)]
    new: bool,
}

pub(super) fn run(args: &AdminTokenArgs) -> anyhow::Result<()> {
    let store = &args.form.store.store;
    let token = if args.new { token::replace(store) } else { token::show(store) }?;
    match args.form.json {
        true => print_json(&serde_json::json!({ "token": token.reveal() })),
        false => Ok(print(format!("{}\n", token.reveal()))?),
    }
}
