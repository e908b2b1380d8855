//! `mqserver completions` and `mqserver man`: made from the command line's own description.

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;
use std::io::{self, Write};
use std::path::Path;

/// Prints what makes a shell complete the command's words.
///
/// # Errors
/// It cannot be printed.
pub fn completions(mut command: Command, shell: Shell, out: &mut dyn Write) -> io::Result<()> {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    out.write_all(&script)
}

/// Prints the first page of the manual, or writes all of them to a directory.
///
/// # Errors
/// It cannot be printed, or written.
pub fn manual(command: Command, to: Option<&Path>, out: &mut dyn Write) -> io::Result<()> {
    match to {
        Some(to) => {
            std::fs::create_dir_all(to)?;
            clap_mangen::generate_to(command, to)
        }
        None => {
            let mut page = Vec::new();
            Man::new(command).render(&mut page)?;
            out.write_all(&page)
        }
    }
}
