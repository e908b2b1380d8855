//! `mqserver`: the daemon, and the commands that speak to it.

mod commands;

use clap::Parser;
use std::process::ExitCode;

/// A message is a dozen small allocations that threads hand to each other, and each hash one of
/// 19 MiB that has to be given back to the system: jemalloc is good at both.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    commands::Cli::parse().run()
}
