//! `mq`: websocket.MQ from the shell.
//!
//! A command becomes an [`order`], which is carried out over a link of this process's own or, when
//! another process is logged in as the profile's node, by that one ([`connect`], [`relay`]).

mod account;
mod chat;
mod cli;
mod connect;
mod exec;
mod failure;
mod list;
mod listen;
mod node;
mod order;
mod output;
mod pages;
mod post;
mod profile;
mod relay;
mod secret;

use clap::Parser;
use cli::{Cli, Command};
use failure::Failure;
use profile::Home;
use std::process::exit;

fn main() {
    let cli = Cli::parse();
    let code = match run(cli) {
        Ok(()) => 0,
        Err(failure) => {
            output::note(&failure.text);
            failure.code as i32
        }
    };
    // Not waiting for a thread that reads the standard input.
    exit(code)
}

fn run(cli: Cli) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::local(format!("the runtime: {error}")))?;
    let result = runtime.block_on(command(cli));
    runtime.shutdown_background();
    result
}

async fn command(Cli { profile, link, command }: Cli) -> Result<(), Failure> {
    let name = profile.as_deref();
    let command = match command {
        Command::Completions { shell } => return pages::completions(shell),
        Command::Man { out } => return pages::manual(out.as_deref()),
        command => command,
    };
    let home = Home::find()?;
    match command {
        Command::Register(args) => account::register(&home, name, &args).await,
        Command::Login(args) => account::login(&home, name, &args, &link).await,
        Command::Profile(command) => account::profile(&home, command, &link).await,
        Command::Post(args) => post::post(&home.open(name)?, &args, &link).await,
        Command::Ping(args) => post::ping(&home.open(name)?, &args, &link).await,
        Command::Listen(args) => listen::listen(&home.open(name)?, &args, &link).await,
        Command::Chat { user } => chat::chat(&home.open(name)?, &user, &link).await,
        Command::List(command) => list::list(&home.open(name)?, command, &link).await,
        Command::Node(command) => node::node(&home, &home.open(name)?, command, &link).await,
        Command::Status { json } => node::status(&home.open(name)?, json, &link).await,
        Command::Completions { .. } | Command::Man { .. } => Ok(()),
    }
}
