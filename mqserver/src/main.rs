//! `mqserver`: the daemon, and the commands that speak to it.

mod commands;

use clap::Parser;
use mqserver::recent::Recent;
use std::process::ExitCode;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// A message is a dozen small allocations that threads hand to each other, and each hash one of
/// 19 MiB that has to be given back to the system: jemalloc is good at both.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let cli = commands::Cli::parse();
    let recent = Recent::default();
    let said = tracing_subscriber::EnvFilter::builder()
        .with_default_directive(tracing::Level::INFO.into())
        .from_env_lossy();
    let out = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
    tracing_subscriber::registry()
        .with(out.with_filter(said))
        .with(recent.clone().with_filter(LevelFilter::INFO))
        .init();
    cli.run(recent)
}
