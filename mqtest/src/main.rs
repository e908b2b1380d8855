//! `mqtest` tests a websocket.MQ server from outside: under load, word by word, and by crashing it.
//!
//! It exits with 0 only if all is well, with 1 if the server broke a promise, and with 2 if the test
//! could not be made.

mod bench;
mod bitrot;
mod credentials;
mod faults;
mod hostile;
mod load;
mod names;
mod ring;
mod simulate;
mod spawn;
mod stop;
mod tls;
mod tls_reload;
mod vectors;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

const ABOUT: &str = "\
Tests a websocket.MQ server from outside.

Without a command it makes load: users register, make lists, connect with several nodes each, post \
messages of 3 bytes to 9 KB and now and then one of 1 MiB, ping aliases, add nodes, ack after random \
delays, disconnect and come back, until ctrl-C. A history compares what the server acked with what \
arrived; in the end everybody waits for what is still on its way, and a summary is printed.";

const EXAMPLES: &str = "\
Examples:
  mqtest                                    load on the server at 127.0.0.1:8008, until ctrl-C
  mqtest --spawn --seconds 60               a minute of load on a server of its own
  mqtest --spawn --seconds 60 --kill-every 5
                                            … which is killed (kill -9) every 5 s
  mqtest --clients 50 --ack-delay 0 --raw   more load, with the original's framing
  mqtest vectors mqtest/vectors             the original's conversations, word by word
  mqtest simulate --seeds 5000              5,000 lives of a server, with their deaths
  mqtest bitrot --every 500                 a bit flipped in every 500th byte of a store
  mqtest crash --points 200                 kill -9 at the N-th system call, 200 times
  mqtest powercut --fs xfs                  power cuts on a file system of its own
  mqtest credentials                        what strangers learn from, and spoil by, wrong names
  mqtest names --count 1000000              names that would leave the spool, or collide in it
  mqtest stop --rounds 50                   50 graceful stops under load
  mqtest tls-reload --reloads 1000          1,000 new certificates under load
  mqtest stalled                            1,000 readers that read no more
  mqtest flood                              strangers who take all they can
  mqtest bombs                              messages that announce too much
  mqtest bench online --clients 64          how fast a server of its own is

Exit code: 0 all is well, 1 a promise was broken, 2 the test could not be made.";

#[derive(Debug, Parser)]
#[command(version, about = "Tests a websocket.MQ server from outside", long_about = ABOUT)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    load: load::LoadArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    Bench(bench::BenchArgs),
    Crash(faults::crash::CrashArgs),
    Powercut(faults::powercut::PowercutArgs),
    SyncFailure(faults::sync_failure::SyncFailureArgs),
    FullDisk(faults::full_disk::FullDiskArgs),
    Clocks(faults::clocks::ClocksArgs),
    Reposts(faults::reposts::RepostsArgs),
    Credentials(credentials::CredentialsArgs),
    Names(names::NamesArgs),
    Vectors(vectors::VectorsArgs),
    Simulate(simulate::SimulateArgs),
    Bitrot(bitrot::BitrotArgs),
    Stop(stop::StopArgs),
    TlsReload(tls_reload::TlsReloadArgs),
    Stalled(hostile::stalled::StalledArgs),
    Flood(hostile::flood::FloodArgs),
    Bombs(hostile::bombs::BombsArgs),
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command {
        None => load::run(cli.load).await,
        Some(Command::Bench(args)) => bench::run(args).await,
        Some(Command::Crash(args)) => faults::crash::run(args).await,
        Some(Command::Powercut(args)) => faults::powercut::run(args).await,
        Some(Command::SyncFailure(args)) => faults::sync_failure::run(args).await,
        Some(Command::FullDisk(args)) => faults::full_disk::run(args).await,
        Some(Command::Clocks(args)) => faults::clocks::run(args).await,
        Some(Command::Reposts(args)) => faults::reposts::run(args).await,
        Some(Command::Credentials(args)) => credentials::run(args).await,
        Some(Command::Names(args)) => Ok(names::run(&args)),
        Some(Command::Vectors(args)) => vectors::run(args).await,
        Some(Command::Simulate(args)) => simulate::run(&args),
        Some(Command::Bitrot(args)) => bitrot::run(&args),
        Some(Command::Stop(args)) => stop::run(args).await,
        Some(Command::TlsReload(args)) => tls_reload::run(args).await,
        Some(Command::Flood(args)) => hostile::run(hostile::Attack::Flood(args)).await,
        Some(Command::Bombs(args)) => hostile::run(hostile::Attack::Bombs(args)).await,
        Some(Command::Stalled(args)) => hostile::run(hostile::Attack::Stalled(args)).await,
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("mqtest: {error:#}");
            ExitCode::from(2)
        }
    }
}
