//! Programs of the system that a trial needs, and the rights.

use anyhow::{Context, bail, ensure};
use std::path::Path;
use std::process::Command;

/// Refuses a trial that cannot be made here.
pub(crate) fn need(trial: &str, root: bool, tools: &[&str]) -> anyhow::Result<()> {
    if root && !rustix::process::geteuid().is_root() {
        bail!("{trial}: skipped: it mounts file systems, which only root may");
    }
    for tool in tools {
        let found = std::env::var_os("PATH")
            .is_some_and(|paths| std::env::split_paths(&paths).any(|dir| dir.join(tool).is_file()));
        ensure!(found, "{trial}: skipped: there is no {tool} on this machine");
    }
    Ok(())
}

/// Runs a program to its end.
pub(crate) fn run(program: &str, args: &[&str]) -> anyhow::Result<()> {
    let ran = Command::new(program).args(args).output();
    let ran = ran.with_context(|| format!("cannot run {program}"))?;
    let said = String::from_utf8_lossy(&ran.stderr);
    ensure!(ran.status.success(), "{program} {}: {}: {}", args.join(" "), ran.status, said.trim());
    Ok(())
}

/// A path as an argument.
pub(crate) fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().with_context(|| format!("{} is no text", path.display()))
}
