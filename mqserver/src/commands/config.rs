//! `mqserver config`: what the configuration says, and what is wrong with it.

use super::print;
use super::run::RunArgs;
use clap::{Args, Subcommand};
use mqserver::config::report::Report;
use std::process::ExitCode;

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Say what is wrong, or OK and which settings have not their defaults
    ///
    /// A server that runs keeps its settings while there is something wrong, and one that starts
    /// refuses to. Exit code: 0 all is well, 1 something is wrong.
    Check(ConfigArgs),
    /// Print all settings, each with where it was made
    Show(ConfigArgs),
}

#[derive(Debug, Args)]
pub(super) struct ConfigArgs {
    #[command(flatten)]
    run: RunArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: ConfigCommand) -> anyhow::Result<ExitCode> {
    let (ConfigArgs { run, json }, all) = match command {
        ConfigCommand::Check(args) => (args, false),
        ConfigCommand::Show(args) => (args, true),
    };
    let report = Report::of(&run.source(), all);
    match json {
        true => super::print_json(&report)?,
        false => print(report.text())?,
    }
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
