//! `mqserver check`

use super::{StoreArgs, USAGE};
use clap::Args;
use mqserver::check::{self, Options};
use std::process::ExitCode;

pub(super) const CODES: &str = "\
Exit code: 0 all is well, 1 something is wrong, or was and is mended, 2 it could not be checked.";

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    store: StoreArgs,
    /// Mend what can be mended: nothing is deleted, what is damaged goes to quarantine/
    #[arg(long)]
    repair: bool,
    /// Print a line of JSON for each finding, and one with the counts
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &CheckArgs) -> ExitCode {
    let CheckArgs { store, repair, json } = args;
    let options = Options { repair: *repair, json: *json };
    match check::run(&store.store, options, &mut std::io::stdout().lock()) {
        Ok(counts) if counts.is_well() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("mqserver: {error}");
            ExitCode::from(USAGE)
        }
    }
}
