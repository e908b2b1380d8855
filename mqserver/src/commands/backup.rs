//! `mqserver backup`

use super::table::{count, size};
use super::{StoreArgs, print_json, server};
use anyhow::{Context, bail};
use clap::Args;
use mqserver::backup::{self, Manifest};
use mqserver::control::path;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
pub(super) struct BackupArgs {
    #[command(flatten)]
    store: StoreArgs,
    /// Print what is in it as JSON
    #[arg(long)]
    json: bool,
    /// Replace the file if it is there
    #[arg(long)]
    force: bool,
    /// The file, or - for the standard output
    file: PathBuf,
}

pub(super) fn run(args: &BackupArgs) -> anyhow::Result<()> {
    let mut server = server(&args.store)?;
    let mut take = |out: &mut dyn Write| {
        server.stream("POST", &path(&["backup"]), &mut |piece| out.write_all(piece))?;
        anyhow::Ok(())
    };
    if args.file.as_os_str() == "-" {
        let mut out = io::stdout().lock();
        if out.is_terminal() {
            bail!("a backup is nothing for a terminal: mqserver backup - > FILE");
        }
        take(&mut out)?;
        return Ok(out.flush()?);
    }
    if args.file.exists() && !args.force {
        bail!("{} exists; --force replaces it", args.file.display());
    }
    let mut part = args.file.clone().into_os_string();
    part.push(".part");
    let part = PathBuf::from(part);
    let manifest = write(&part, &mut take).and_then(|manifest| {
        fs::rename(&part, &args.file)?;
        let parent = args.file.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
        Ok(manifest)
    });
    if manifest.is_err() {
        // What stays has not the name of a backup.
        let _ = fs::remove_file(&part);
    }
    let manifest = manifest.with_context(|| format!("no backup: {}", args.file.display()))?;
    if manifest.damaged > 0 {
        let damaged = count(manifest.damaged, "damaged file or post");
        eprintln!("mqserver: {damaged} could not be taken along; mqserver check tells more");
    }
    if args.json {
        return print_json(&manifest);
    }
    println!("{}: {}", args.file.display(), summary(&manifest));
    Ok(())
}

/// Writes the file, syncs it, and reads it again: what is there is a whole backup.
fn write(
    part: &Path,
    take: &mut dyn FnMut(&mut dyn Write) -> anyhow::Result<()>,
) -> anyhow::Result<Manifest> {
    // One that was killed may have left it.
    match fs::remove_file(part) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let mut file =
        OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(part)?;
    take(&mut file)?;
    file.sync_all()?;
    Ok(backup::read(BufReader::new(File::open(part)?), &mut |_, _| Ok(()))?)
}

/// What is in a backup, for a person.
pub(super) fn summary(manifest: &Manifest) -> String {
    format!(
        "{}, {}, {}, {}, {}",
        count(manifest.users, "user"),
        count(manifest.nodes, "node"),
        count(manifest.lists, "list"),
        count(manifest.messages, "waiting message"),
        size(manifest.bytes)
    )
}
