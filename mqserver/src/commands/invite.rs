//! `mqserver invite`

use super::{Form, print, print_json, server};
use clap::Args;
use mqlib::directory::Registration;
use mqserver::api::invitations::{Invitations, Wanted};
use mqserver::control::path;

#[derive(Debug, Args)]
pub(super) struct InviteArgs {
    #[command(flatten)]
    form: Form,
    /// How many
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    count: u16,
    /// For how long they are good: 90s, 2h, 7d
    #[arg(long, value_name = "TIME", default_value = "7d")]
    expires: humantime::Duration,
}

pub(super) fn run(args: &InviteArgs) -> anyhow::Result<()> {
    let wanted = Wanted { count: args.count.into(), expires_s: args.expires.as_secs() };
    let made: Invitations = server(&args.form.store)?.post(&path(&["invitations"]), &wanted)?;
    if args.form.json {
        print_json(&made)?;
    } else {
        print(made.invites.iter().map(|token| format!("{token}\n")).collect::<String>())?;
    }
    match made.registration {
        Registration::Invite => {}
        Registration::Open => eprintln!("registration is open: nobody needs them now"),
        Registration::Closed => eprintln!("registration is closed: nobody can use them now"),
    }
    Ok(())
}
