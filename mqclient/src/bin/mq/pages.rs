//! `mq completions` and `mq man`: made from the command line's own description.

use crate::cli::Cli;
use crate::failure::Failure;
use crate::output;
use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;
use std::path::Path;

pub(crate) fn completions(shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "mq", &mut script);
    output::bytes(&script).map(drop)
}

/// Prints the first page, or writes all of them to a directory.
pub(crate) fn manual(out: Option<&Path>) -> Result<(), Failure> {
    match out {
        Some(out) => std::fs::create_dir_all(out)
            .and_then(|()| clap_mangen::generate_to(Cli::command(), out))
            .map_err(|error| Failure::file(out, &error)),
        None => {
            let mut page = Vec::new();
            let rendered = Man::new(Cli::command()).render(&mut page);
            rendered.map_err(|error| Failure::local(error.to_string()))?;
            output::bytes(&page).map(drop)
        }
    }
}
