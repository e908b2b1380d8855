//! `mqserver run`, and `mqserver` alone: the daemon.

use super::StoreArgs;
use anyhow::Context;
use clap::Args;
use mqserver::config::{CommandLine, Config, Source};
use mqserver::logging::{self, Log, LogFormat};
use mqserver::recent::Recent;
use mqserver::server::Server;
use mqserver::supervisor;
use std::io::Write;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::LevelFilter;

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    settings: CommandLine,
}

impl RunArgs {
    /// Where the configuration comes from.
    pub(super) fn source(self) -> Source {
        Source::new(self.store.store, self.settings)
    }
}

/// Serves, with the log that the configuration asks for.
pub(super) fn run(args: RunArgs) -> ExitCode {
    let config = match args.source().read() {
        Ok(config) => config,
        Err(error) => {
            eprintln!("mqserver: {error}");
            return ExitCode::FAILURE;
        }
    };
    let (format, recent) = (config.log.format, Recent::default());
    let log =
        logging::start(config.log, Some(recent.clone().with_filter(LevelFilter::INFO).boxed()));
    match (serve(config, log, recent), format) {
        (Ok(()), _) => return ExitCode::SUCCESS,
        (Err(error), LogFormat::Text) => eprintln!("mqserver: {error:#}"),
        (Err(error), LogFormat::Json) => {
            tracing::error!(error = format!("{error:#}"), "the server ends");
        }
    }
    ExitCode::FAILURE
}

fn serve(config: Config, log: Log, recent: Recent) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the runtime does not start")?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let server = Server::start(config).await?.with_log(log, recent);
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
            tracing::info!(target: "mqserver", "stopping");
        };
        Ok(server.run(stop).await?)
    })
}
