//! The commands, one noun a file. What they print for a person is made here; what they know comes from
//! [`mqserver::api`], over the control socket, or from a store that is stopped.

mod admin_token;
mod backup;
mod cert;
mod check;
mod config;
mod confirm;
mod invite;
mod lists;
mod node;
mod nodes;
mod queue;
mod restore;
mod run;
mod source;
mod status;
mod stop;
mod table;
mod user;
mod users;

use clap::{Args, CommandFactory, Parser, Subcommand};
use mqserver::config::STORE;
use mqserver::control::{Client, ClientError};
use mqserver::logging::{self, LogConfig};
use mqserver::pages;
use serde::Serialize;
use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// The exit code of a command that was not used as it is to be.
const USAGE: u8 = 2;

const CODES: &str = "\
Exit code: 0 done, 1 it failed or was refused, 2 wrong usage.
A command that needs a running server says so; the others work on a stopped store, too.";

/// websocket.MQ: email for programs. Keeps each message on disk for every node of every recipient
/// until that node acks it.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true, after_help = CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: run::RunArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server (what mqserver does without a command)
    Run(run::RunArgs),
    /// Stop the server that runs on a store, and wait until it is gone
    Stop(StoreArgs),
    /// Tell how the server is that runs on a store
    Status(status::StatusArgs),
    /// List users, by name; on a stopped store, too
    Users(users::UsersArgs),
    /// Show one user, or change what it may do
    #[command(subcommand)]
    User(user::UserCommand),
    /// List nodes, or those that have not been online for long; on a stopped store, too
    Nodes(nodes::NodesArgs),
    /// Take a node away
    #[command(subcommand)]
    Node(node::NodeCommand),
    /// Look into a node's queue, or empty it
    #[command(subcommand)]
    Queue(queue::QueueCommand),
    /// List the lists, or who is in one; on a stopped store, too
    Lists(lists::ListsArgs),
    /// Make invitations to register, on a store whose server runs
    ///
    /// Each is a token that lets one user register: `"invite":"<token>"` in the register. They are
    /// needed where the configuration says `registration = "invite"`. One that is printed is durable,
    /// and cannot be shown again: the server keeps only a hash of it.
    Invite(invite::InviteArgs),
    /// Print the token that opens the admin page, made if there is none
    ///
    /// It works whether a server runs on the store or not. Who has the token may do all that the page
    /// can, so it is a secret. Scripts give it to `/api/v1` in `Authorization: Bearer <token>`.
    AdminToken(admin_token::AdminTokenArgs),
    /// Write all of a store whose server runs to one file, from which `restore` makes it again
    ///
    /// The server goes on meanwhile. In the file is every message that was acked to its poster before
    /// the command began, unless its recipients acked it before the end; the users, lists and
    /// invitations; the configuration and the certificate. It is a tar, its owner's only (0600), and
    /// as secret as the store: messages, and hashes of node names. It gets its name when it is whole
    /// and synced.
    Backup(backup::BackupArgs),
    /// Make a store of a file that `backup` wrote
    ///
    /// The directory must not exist, or be empty. All of the file is verified; if it is damaged or cut
    /// short, there is no store afterwards either. What was delivered after the backup was taken is
    /// delivered again.
    Restore(restore::RestoreArgs),
    /// Look at every file of a store on which no server runs, and say what is wrong
    #[command(after_help = check::CODES)]
    Check(check::CheckArgs),
    /// Make a certificate that signs itself, for trying out TLS
    Cert(cert::CertArgs),
    /// Tell what the configuration says, and what is wrong with it
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Print what makes a shell complete mqserver's words
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write one for each command
    Man {
        /// Where to write them
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct StoreArgs {
    /// The store's directory
    #[arg(long, value_name = "DIR", env = STORE, default_value = "mqstore")]
    store: PathBuf,
}

/// How something is printed.
#[derive(Debug, Args)]
struct Form {
    #[command(flatten)]
    store: StoreArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Wrong usage that only a command sees.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

impl Cli {
    /// Does what it says.
    pub(crate) fn run(self) -> ExitCode {
        let command = match self.command {
            None => return run::run(self.run),
            Some(Command::Run(args)) => return run::run(args),
            Some(command) => command,
        };
        logging::start(LogConfig::default(), None);
        let done = match command {
            Command::Run(args) => return run::run(args),
            Command::Stop(args) => stop::run(&args),
            Command::Status(args) => status::run(&args),
            Command::Users(args) => users::run(&args),
            Command::User(command) => user::run(&command),
            Command::Nodes(args) => nodes::run(&args),
            Command::Node(command) => node::run(&command),
            Command::Queue(command) => queue::run(&command),
            Command::Lists(args) => lists::run(&args),
            Command::Invite(args) => invite::run(&args),
            Command::AdminToken(args) => admin_token::run(&args),
            Command::Backup(args) => backup::run(&args),
            Command::Restore(args) => restore::run(&args),
            Command::Check(args) => return check::run(&args),
            Command::Cert(args) => cert::run(args),
            Command::Config(command) => match config::run(command) {
                Ok(code) => return code,
                Err(error) => Err(error),
            },
            Command::Completions { shell } => {
                pages::completions(Self::command(), shell, &mut io::stdout()).map_err(Into::into)
            }
            Command::Man { out } => {
                pages::manual(Self::command(), out.as_deref(), &mut io::stdout())
                    .map_err(Into::into)
            }
        };
        match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("mqserver: {error:#}");
                match error.is::<Usage>() {
                    true => ExitCode::from(USAGE),
                    false => ExitCode::FAILURE,
                }
            }
        }
    }
}

/// The server that runs on a store; if there is none, how to start it.
fn server(args: &StoreArgs) -> anyhow::Result<Client> {
    Client::connect(&args.store).map_err(|error| match error {
        ClientError::NotRunning(store) => anyhow::anyhow!(
            "no server runs on {0}; this needs one: mqserver --store {0}",
            store.display()
        ),
        error => error.into(),
    })
}

/// Prints to the standard output. Whoever reads it may have seen enough.
fn print(text: impl AsRef<[u8]>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_ref()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Tells what was done.
fn say(form: &Form, done: &impl Serialize, sentence: &str) -> anyhow::Result<()> {
    if form.json {
        return print_json(done);
    }
    Ok(print(format!("{sentence}\n"))?)
}

/// Prints a line of JSON.
fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    Ok(print(serde_json::to_string(value)? + "\n")?)
}
