//! Questions before something is destroyed.

use super::Usage;
use anyhow::bail;
use std::io::{IsTerminal, Write};

/// Nobody is asked while a connection to the server is open, which would not wait for an answer.
///
/// Returns if the operator wants it: says so on the terminal, or has said `--yes`.
pub(super) fn confirm(what: &str, yes: bool) -> anyhow::Result<()> {
    if yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        let text = format!("{what}? There is no terminal to ask on: --yes says so");
        return Err(Usage(text).into());
    }
    let mut out = std::io::stderr().lock();
    write!(out, "{what}? [y/N] ")?;
    out.flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => bail!("nothing was changed"),
    }
}
