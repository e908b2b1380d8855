//! `mqserver restore`

use super::backup::summary;
use super::{StoreArgs, print_json};
use anyhow::Context;
use clap::Args;
use mqserver::backup;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(super) struct RestoreArgs {
    #[command(flatten)]
    store: StoreArgs,
    /// Print what is in it as JSON
    #[arg(long)]
    json: bool,
    /// The file, or - for the standard input
    file: PathBuf,
}

pub(super) fn run(args: &RestoreArgs) -> anyhow::Result<()> {
    let store = &args.store.store;
    let manifest = if args.file.as_os_str() == "-" {
        backup::restore(io::stdin().lock(), store)?
    } else {
        let name = || args.file.display().to_string();
        let file = File::open(&args.file).with_context(name)?;
        backup::restore(BufReader::new(file), store).with_context(name)?
    };
    if args.json {
        return print_json(&manifest);
    }
    println!("{}: {}, as of {}", store.display(), summary(&manifest), manifest.taken);
    Ok(())
}
