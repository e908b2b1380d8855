//! `mqserver run`, and `mqserver` alone: the daemon.

use super::StoreArgs;
use anyhow::Context;
use clap::Args;
use mqserver::config::{Admin, Config};
use mqserver::logging::{self, LogFormat};
use mqserver::recent::Recent;
use mqserver::server::Server;
use mqserver::supervisor;
use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::LevelFilter;

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    store: StoreArgs,
    /// Where clients connect; may be repeated [default: 127.0.0.1:8008]
    #[arg(long, value_name = "ADDR")]
    listen: Vec<SocketAddr>,
    /// Where clients connect that speak TLS; may be repeated [default: nowhere]
    #[arg(long, value_name = "ADDR")]
    listen_tls: Vec<SocketAddr>,
    /// Where the admin page is, or off [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR|off")]
    admin: Option<Admin>,
    /// Serve beyond this machine even without TLS, or with open registration
    #[arg(long)]
    insecure: bool,
}

/// Serves, with the log that the configuration asks for.
pub(super) fn run(args: RunArgs) -> ExitCode {
    let config = match configure(args) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("mqserver: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    let (log, recent) = (config.log, Recent::default());
    logging::start(log, Some(recent.clone().with_filter(LevelFilter::INFO).boxed()));
    match (serve(config, recent), log.format) {
        (Ok(()), _) => return ExitCode::SUCCESS,
        (Err(error), LogFormat::Text) => eprintln!("mqserver: {error:#}"),
        (Err(error), LogFormat::Json) => {
            tracing::error!(error = format!("{error:#}"), "the server ends");
        }
    }
    ExitCode::FAILURE
}

fn configure(args: RunArgs) -> anyhow::Result<Config> {
    let mut config = Config::read(&args.store.store)?;
    if !args.listen.is_empty() {
        config.listen = args.listen;
    }
    if !args.listen_tls.is_empty() {
        config.listen_tls = args.listen_tls;
    }
    match args.admin {
        Some(Admin::Off) => config.admin = None,
        Some(Admin::At(address)) => config.admin = Some(address),
        None => {}
    }
    config.insecure |= args.insecure;
    Ok(config)
}

fn serve(config: Config, recent: Recent) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the runtime does not start")?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let server = Server::start(config).await?.with_log(recent);
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
