//! `mqserver`: the daemon, and the commands that speak to it.

use anyhow::{Context, bail};
use clap::{Args, CommandFactory, Parser, Subcommand};
use mqlib::directory::Registration;
use mqserver::config::report::Report;
use mqserver::config::{CommandLine, STORE, Source};
use mqserver::control::{self, Invitations, Question};
use mqserver::lock::{self, Stopped};
use mqserver::server::Server;
use mqserver::status::Status;
use mqserver::{cert, check, pages, supervisor};
use serde::de::DeserializeOwned;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// A message is a dozen small allocations that threads hand to each other, and each hash one of
/// 19 MiB that has to be given back to the system: jemalloc is good at both.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// How long `mqserver stop` waits.
const PATIENCE: Duration = Duration::from_secs(30);

/// websocket.MQ: email for programs. Keeps each message on disk for every node of every recipient
/// until that node acks it.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server (what mqserver does without a command)
    Run(RunArgs),
    /// Stop the server that runs on a store, and wait until it is gone
    Stop(StoreArgs),
    /// Make invitations to register, on a store whose server runs
    ///
    /// Each is a token that lets one user register: `"invite":"<token>"` in the register. They are
    /// needed where the configuration says `registration = "invite"`. One that is printed is durable,
    /// and cannot be shown again: the server keeps only a hash of it.
    Invite {
        #[command(flatten)]
        store: StoreArgs,
        /// How many
        #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
        count: u16,
        /// For how long they are good: 90s, 2h, 7d
        #[arg(long, value_name = "TIME", default_value = "7d")]
        expires: humantime::Duration,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Tell how the server is that runs on a store
    Status {
        #[command(flatten)]
        store: StoreArgs,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Look at every file of a store on which no server runs, and say what is wrong
    #[command(after_help = CHECK_CODES)]
    Check {
        #[command(flatten)]
        store: StoreArgs,
        /// Mend what can be mended: nothing is deleted, what is damaged goes to quarantine/
        #[arg(long)]
        repair: bool,
        /// Print a line of JSON for each finding, and one with the counts
        #[arg(long)]
        json: bool,
    },
    /// Tell what the configuration says, and what is wrong with it
    #[command(subcommand)]
    Config(ConfigCommand),
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
    /// Make a certificate that signs itself, for trying out TLS
    Cert(CertArgs),
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Say what is wrong, or OK and which settings have not their defaults
    ///
    /// A server that runs keeps its settings while there is something wrong, and one that starts
    /// refuses to. Exit code: 0 all is well, 1 something is wrong.
    Check(ConfigArgs),
    /// Print all settings, each with where it was made
    Show(ConfigArgs),
}

#[derive(Debug, Args)]
struct ConfigArgs {
    #[command(flatten)]
    run: RunArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

const CHECK_CODES: &str = "\
Exit code: 0 all is well, 1 something is wrong, or was and is mended, 2 it could not be checked.";

#[derive(Debug, Args)]
struct StoreArgs {
    /// The store's directory
    #[arg(long, value_name = "DIR", env = STORE, default_value = "mqstore")]
    store: PathBuf,
}

#[derive(Debug, Args)]
struct CertArgs {
    #[command(flatten)]
    store: StoreArgs,
    /// What clients call this server: a host's name or an IP address; may be repeated
    #[arg(long = "name", value_name = "NAME", default_values = ["localhost", "127.0.0.1", "::1"])]
    names: Vec<String>,
    /// Replace the one that is there
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Args)]
struct RunArgs {
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    settings: CommandLine,
}

impl RunArgs {
    fn source(self) -> Source {
        Source::new(self.store.store, self.settings)
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::builder()
                .with_default_directive(tracing::Level::INFO.into())
                .from_env_lossy(),
        )
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .init();
    let result = match cli.command {
        None => run(cli.run),
        Some(Command::Run(args)) => run(args),
        Some(Command::Stop(args)) => stop(&args),
        Some(Command::Invite { store, count, expires, json }) => {
            invite(&store, count.into(), *expires, json)
        }
        Some(Command::Status { store, json }) => status(&store, json),
        Some(Command::Check { store, repair, json }) => {
            return check(&store, check::Options { repair, json });
        }
        Some(Command::Config(ConfigCommand::Check(args))) => return config(args, false),
        Some(Command::Config(ConfigCommand::Show(args))) => return config(args, true),
        Some(Command::Completions { shell }) => {
            pages::completions(Cli::command(), shell, &mut std::io::stdout()).map_err(Into::into)
        }
        Some(Command::Man { out }) => {
            pages::manual(Cli::command(), out.as_deref(), &mut std::io::stdout())
                .map_err(Into::into)
        }
        Some(Command::Cert(args)) => make_certificate(args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mqserver: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: RunArgs) -> anyhow::Result<()> {
    let config = args.source().read()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the runtime does not start")?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let server = Server::start(config).await?;
        let mut out = std::io::stdout().lock();
        for address in server.addresses() {
            writeln!(out, "listening on {address}")?;
        }
        for address in server.tls_addresses() {
            writeln!(out, "listening with TLS on {address}")?;
        }
        if let Some(address) = server.admin_address() {
            writeln!(out, "admin on {address}")?;
        }
        out.flush()?;
        drop(out);
        supervisor::ready();
        let stop = async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            supervisor::stopping();
            tracing::info!("stopping");
        };
        Ok(server.run(stop).await?)
    })
}

fn stop(args: &StoreArgs) -> anyhow::Result<()> {
    let store = &args.store;
    let stopped = lock::stop(store, PATIENCE);
    match stopped.with_context(|| format!("cannot stop the server on {}", store.display()))? {
        Stopped::Gone => Ok(()),
        Stopped::NotRunning => {
            println!("no .pid file found");
            Ok(())
        }
        Stopped::StillRunning(pid) => bail!("process {pid} has not stopped in {PATIENCE:?}"),
    }
}

fn check(args: &StoreArgs, options: check::Options) -> ExitCode {
    match check::run(&args.store, options, &mut std::io::stdout().lock()) {
        Ok(counts) if counts.is_well() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("mqserver: {error}");
            ExitCode::from(2)
        }
    }
}

fn config(ConfigArgs { run, json }: ConfigArgs, all: bool) -> ExitCode {
    let report = Report::of(&run.source(), all);
    match serde_json::to_string(&report) {
        Ok(text) if json => println!("{text}"),
        _ => print!("{}", report.text()),
    }
    if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn make_certificate(CertArgs { store, names, force }: CertArgs) -> anyhow::Result<()> {
    let store = store.store;
    let made = cert::make(&store, names.clone(), force)?;
    println!(
        "Made {} and its key {},\nfor {}, valid for {} days. It signs itself: clients have to be given \
         it as a root.\nSHA-256 fingerprint: {}\n\nAdd to {}, above all [sections]:\n\n    \
         listen_tls = [\"0.0.0.0:8443\"]\n\nor run mqserver with --listen-tls 0.0.0.0:8443.",
        made.certificate.display(),
        made.key.display(),
        names.join(", "),
        cert::DAYS,
        made.fingerprint,
        store.join(mqserver::config::FILE).display()
    );
    Ok(())
}

/// Asks the server that runs on a store.
fn ask<T: DeserializeOwned>(args: &StoreArgs, question: Question) -> anyhow::Result<T> {
    let store = &args.store;
    if lock::running(store)?.is_none() {
        bail!("no server runs on {}", store.display());
    }
    control::ask(store, question)
        .with_context(|| format!("the server on {} does not answer", store.display()))
}

fn invite(args: &StoreArgs, count: usize, expires: Duration, json: bool) -> anyhow::Result<()> {
    let made: Invitations = ask(args, Question::Invite(count, expires.as_secs()))?;
    if json {
        println!("{}", serde_json::to_string(&made)?);
    } else {
        made.invites.iter().for_each(|token| println!("{token}"));
    }
    match made.registration {
        Registration::Invite => {}
        Registration::Open => eprintln!("registration is open: nobody needs them now"),
        Registration::Closed => eprintln!("registration is closed: nobody can use them now"),
    }
    Ok(())
}

fn status(args: &StoreArgs, json: bool) -> anyhow::Result<()> {
    let status: Status = ask(args, Question::Status)?;
    if json {
        println!("{}", serde_json::to_string(&status)?);
    } else {
        print!("{}", status.text());
    }
    Ok(())
}
