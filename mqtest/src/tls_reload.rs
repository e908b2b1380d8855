//! Replaces a server's certificate under load, again and again.
//!
//! Clients post to each other over links that were made with the first certificate, and none of those
//! may break. Newcomers shake hands all the time, and none may fail: they are shown the certificate
//! from before or the new one, and soon the new one only. Now and then the files are no good, and
//! then everybody is shown what was before.

use crate::ring::Ring;
use crate::spawn::{Options, Server};
use crate::tls::Tls;
use anyhow::{Context, bail};
use clap::Args;
use mqlib::testing::history::Counts;
use rcgen::{CertificateParams, KeyPair};
use serde::Serialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use wsstream::Stream;

/// So many reloads lie between two attempts with a bad file.
const BAD_EVERY: u32 = 10;
/// How long a bad file is left alone: longer than the server takes to read it.
const BAD: Duration = Duration::from_millis(300);
/// How long a new certificate may take to be shown, and a handshake to end.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often somebody new comes.
const NEWCOMERS: Duration = Duration::from_millis(10);

/// Replace the certificate of a server of our own under load
#[derive(Debug, Args)]
pub(crate) struct TlsReloadArgs {
    /// How often
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    reloads: u32,
    /// How many clients post to each other
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(2..=1000))]
    clients: u32,
    /// Newcomers trust only the certificate that is not shown yet: that they fail must be found out
    #[arg(long)]
    negative_control: bool,
    /// The server's program [default: the mqserver beside this program]
    #[arg(long, value_name = "PATH")]
    server_bin: Option<PathBuf>,
    /// Print the outcome as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Default, Serialize)]
struct Outcome {
    ok: bool,
    reloads: u32,
    bad_files: u32,
    handshakes: u64,
    failed_handshakes: u64,
    /// Handshakes that were shown another certificate than they should have been.
    wrong_certificates: u64,
    dropped_links: u64,
    slowest_ms: f64,
    #[serde(flatten)]
    counts: Counts,
    examples: Vec<String>,
}

/// Replaces it, and prints what came of it; says whether every promise was kept.
///
/// # Errors
/// The test could not be made.
pub(crate) async fn run(args: TlsReloadArgs) -> anyhow::Result<bool> {
    let listen_tls = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    let options = Options { bin: args.server_bin.clone(), listen_tls, ..Options::default() };
    let mut server = Server::spawn(options).await?;
    let outcome = reload(&server, &args).await.with_context(|| server.log_tail())?;
    server.stop().await?;
    if args.json {
        println!("{}", serde_json::to_string(&outcome)?);
    } else {
        let Outcome { ok, reloads, bad_files, handshakes, failed_handshakes, .. } = &outcome;
        let Outcome { wrong_certificates, dropped_links, slowest_ms, counts, .. } = &outcome;
        outcome.examples.iter().for_each(|example| println!("  {example}"));
        println!(
            "{}: {reloads} certificates, shown after {slowest_ms:.0} ms at most, and {bad_files} bad ones; \
             {handshakes} handshakes, {failed_handshakes} failed, {wrong_certificates} with the wrong \
             certificate; {dropped_links} links dropped; {} posts, {} delivered, {} promises broken",
            if *ok { "ok" } else { "FAILED" },
            counts.posts,
            counts.deliveries,
            counts.broken()
        );
    }
    Ok(outcome.ok)
}

async fn reload(server: &Server, args: &TlsReloadArgs) -> anyhow::Result<Outcome> {
    let address = server.tls().context("the server does not listen with TLS")?;
    let first = server.certificate()?;
    let tls = Some(mqclient::Tls::with_roots(&first)?);
    let trusted = mqclient::Server { url: format!("wss://localhost:{}", address.port()), tls };
    let mut ring = Ring::register(&trusted, args.clients).await?;
    let turning = ring.turn(&trusted, true).await?;
    let mut door = Door {
        address,
        directory: server.store().join("tls"),
        current: first,
        only_new: args.negative_control,
        outcome: Outcome { reloads: args.reloads, ..Outcome::default() },
    };
    for round in 1..=args.reloads {
        if round % BAD_EVERY == 1 {
            door.spoil().await?;
        }
        door.renew().await?;
    }
    let mut outcome = door.outcome;
    let settled = ring.pause(&turning).await;
    outcome.dropped_links = ring.end(turning).await?;
    let (counts, violations) = ring.close();
    outcome.examples.extend(violations.iter().map(ToString::to_string));
    outcome.ok = settled
        && counts.are_clean()
        && counts.posts > 0
        && outcome.failed_handshakes + outcome.wrong_certificates + outcome.dropped_links == 0;
    outcome.counts = counts;
    Ok(outcome)
}

/// The server's door, and its certificate.
struct Door {
    address: SocketAddr,
    directory: PathBuf,
    /// What is shown, PEM.
    current: Vec<u8>,
    /// Newcomers do not trust what was shown before.
    only_new: bool,
    outcome: Outcome,
}

impl Door {
    /// Puts a file there that is no good, and sees that it is not used.
    async fn spoil(&mut self) -> anyhow::Result<()> {
        put(&self.directory.join("certificate.pem"), b"-----BEGIN CERTIFICATE-----\nno\n")?;
        self.outcome.bad_files += 1;
        let (start, trusted, current) = (Instant::now(), self.current.clone(), der(&self.current)?);
        while start.elapsed() < BAD {
            if let Some(shown) = self.come(&trusted).await?
                && shown != current
            {
                self.outcome.wrong_certificates += 1;
            }
            sleep(NEWCOMERS).await;
        }
        Ok(())
    }

    /// Replaces the certificate, and waits until it is shown.
    async fn renew(&mut self) -> anyhow::Result<()> {
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new(["localhost".to_owned()])?.self_signed(&key)?;
        let new = certificate.pem().into_bytes();
        let before = if self.only_new { &[] } else { &self.current[..] };
        let trusted = [before, &new].concat();
        let start = Instant::now();
        put(&self.directory.join("key.pem"), key.serialize_pem().as_bytes())?;
        put(&self.directory.join("certificate.pem"), &new)?;
        while self.come(&trusted).await?.as_deref() != Some(certificate.der()) {
            if start.elapsed() > PATIENCE {
                bail!("a new certificate is not shown after {PATIENCE:?}");
            }
            sleep(NEWCOMERS).await;
        }
        let took = start.elapsed().as_secs_f64() * 1e3;
        self.outcome.slowest_ms = self.outcome.slowest_ms.max(took);
        self.current = new;
        Ok(())
    }

    /// Somebody new shakes hands; the certificate that was shown, DER.
    async fn come(&mut self, trusted: &[u8]) -> anyhow::Result<Option<Vec<u8>>> {
        self.outcome.handshakes += 1;
        let tls = Tls::with_roots(trusted)?;
        let shaken =
            timeout(PATIENCE, async { tls.connect(TcpStream::connect(self.address).await?).await });
        let stream = match shaken.await {
            Ok(Ok(Stream::Tls(stream))) => stream,
            Ok(Ok(Stream::Plain(_))) => bail!("TLS without TLS"),
            failed => {
                self.outcome.failed_handshakes += 1;
                let why = failed.map_or_else(|_| "no end".to_owned(), |done| format!("{done:?}"));
                self.outcome.examples.push(format!("a handshake failed: {why}"));
                self.outcome.examples.truncate(5);
                return Ok(None);
            }
        };
        let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        Ok(shown.map(|certificate| certificate.to_vec()))
    }
}

fn der(pem: &[u8]) -> anyhow::Result<Vec<u8>> {
    Ok(CertificateDer::from_pem_slice(pem)?.to_vec())
}

/// Replaces a file at once.
fn put(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let new = path.with_extension("new");
    std::fs::write(&new, bytes)?;
    Ok(std::fs::rename(&new, path)?)
}
