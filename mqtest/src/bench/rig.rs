//! What a run stands on: a directory on the disk in question, that disk's limit, and a server.

use super::common::{Common, Framing, Protocol};
use super::dial::{Dial, Session};
use super::limit::{self, Limit};
use super::origin::Origin;
use super::process::Process;
use super::report::Report;
use crate::spawn::{Options, Server};
use crate::tls::Tls;
use anyhow::{Context, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

/// How long the disk's limit is measured, before a run and after it.
const LIMIT: Duration = Duration::from_secs(2);
const LIMIT_AGAIN: Duration = Duration::from_secs(1);
/// When the two differ by more, somebody else uses the disk.
const STEADY: f64 = 1.5;
/// Files that are open besides the links.
const SPARE: u64 = 100;
/// How often a server is asked whether it still works, and up to how much work, in seconds, is none.
const LOOK: Duration = Duration::from_millis(200);
const NOTHING: f64 = 0.015;
/// Looks in a row that saw no work: what waits for a timer has been done then.
const LOOKS: u32 = 3;
/// How long one waits for a server to have done its work.
const SETTLE: Duration = Duration::from_secs(60);

/// A server to measure.
#[derive(Debug)]
pub(crate) struct Rig {
    // Before the directory, which must not vanish below it.
    pub(crate) server: Server,
    pub(crate) limit: Limit,
    /// How long the server took until it listened.
    pub(crate) listens: Duration,
    framing: Framing,
    protocol: Protocol,
    tls: Option<Tls>,
    dir: TempDir,
}

impl Rig {
    /// Measures the disk, and starts a server that takes `links` links.
    pub(crate) async fn start(common: &Common, links: u32) -> anyhow::Result<Self> {
        Self::start_on(common, links, |_| Ok(())).await
    }

    /// The same, on a store that `prepare` has made.
    pub(crate) async fn start_on(
        common: &Common,
        links: u32,
        prepare: impl FnOnce(&Path) -> anyhow::Result<()>,
    ) -> anyhow::Result<Self> {
        let (framing, protocol) = (common.framing, common.protocol()?);
        allow_files(u64::from(links) + SPARE)?;
        let dir = limit::scratch(common.store.as_deref())?;
        let store = dir.path().join("mqstore");
        prepare(&store)?;
        let limit = Limit::measure(dir.path(), LIMIT)?;
        allow_links(&store, links)?;
        let listen_tls = common.tls.then(|| SocketAddr::from(([127, 0, 0, 1], 0)));
        let bin = common.server_bin.clone();
        let options = Options { bin, store: Some(store), listen_tls, ..Options::default() };
        let start = Instant::now();
        let server = Server::spawn(options).await?;
        let listens = start.elapsed();
        let tls = if common.tls { Some(Tls::with_roots(&server.certificate()?)?) } else { None };
        Ok(Self { server, limit, listens, framing, protocol, tls, dir })
    }

    /// Where the server listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// The server's process.
    pub(crate) fn process(&self) -> Process {
        Process::Id(self.server.pid())
    }

    /// How the clients speak to it.
    pub(crate) fn dial(&self) -> Dial {
        let addr = self.server.tls().unwrap_or(self.addr());
        Dial {
            addr,
            tls: self.tls.clone(),
            framing: self.framing,
            protocol: self.protocol,
            origin: Origin::default(),
        }
    }

    /// A link of a user, logged in as the options say.
    pub(crate) fn log_in(
        &self,
        user: u32,
    ) -> impl Future<Output = anyhow::Result<Session>> + 'static {
        self.dial().log_in(user)
    }

    /// Waits until the server has nothing left to do, and says how long it worked, about; `None` if
    /// it works on and on.
    pub(crate) async fn settle(&self) -> anyhow::Result<Option<Duration>> {
        let start = Instant::now();
        let mut worked = Duration::ZERO;
        let mut before = self.process().cpu_seconds()?;
        let mut quiet = 0;
        while quiet < LOOKS {
            if start.elapsed() > SETTLE {
                return Ok(None);
            }
            sleep(LOOK).await;
            let now = self.process().cpu_seconds()?;
            if now - before < NOTHING {
                quiet += 1;
            } else {
                (quiet, worked) = (0, start.elapsed());
            }
            before = now;
        }
        Ok(Some(worked))
    }

    /// Measures the disk again, and says in a report whether it was the same all the time.
    pub(crate) fn tell_limit_again(&self, report: &mut Report) -> anyhow::Result<()> {
        let (before, after) =
            (self.limit.writes_per_s, Limit::measure(self.dir.path(), LIMIT_AGAIN)?.writes_per_s);
        report.put("limit_after_per_s", "raw limit of the disk, afterwards", after, "writes/s");
        if before.max(after) > STEADY * before.min(after) {
            report.note("the disk was not the same before and after: the ratio says little");
        }
        Ok(())
    }

    /// The outcome of a run; to a failure the end of the server's log is added.
    pub(crate) fn explain<T>(&mut self, outcome: anyhow::Result<T>) -> anyhow::Result<T> {
        outcome.with_context(|| {
            let state = match self.server.exited() {
                Ok(Some(status)) => format!("has ended ({status})"),
                _ => "still runs".to_owned(),
            };
            format!("the server {state}; its log ends with:\n{}\n", self.server.log_tail())
        })
    }

    /// The outcome of an attack on the server; that it has ended of it is a finding, in words.
    pub(crate) fn survived<T>(
        &mut self,
        outcome: anyhow::Result<T>,
    ) -> anyhow::Result<Result<T, String>> {
        match (outcome, self.server.exited()) {
            (Err(error), Ok(Some(status))) => {
                Ok(Err(format!("the server has ended ({status}): {error:#}")))
            }
            (outcome, _) => self.explain(outcome).map(Ok),
        }
    }
}

/// Lets all links come from one address.
fn allow_links(store: &Path, links: u32) -> anyhow::Result<()> {
    let most = u64::from(links) + SPARE;
    let limits = format!("[limits]\nconnections = {most}\nconnections_per_address = {most}\n");
    std::fs::create_dir_all(store)?;
    std::fs::write(store.join("mqserver.toml"), limits).context("the store cannot be configured")
}

/// Lets this process, and the server after it, open so many files.
fn allow_files(count: u64) -> anyhow::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= count) {
        return Ok(());
    }
    let most = limit.maximum;
    ensure!(
        most.is_none_or(|most| most >= count),
        "{count} open files are needed, and only {} allowed (ulimit -Hn)",
        most.unwrap_or_default()
    );
    setrlimit(Resource::Nofile, Rlimit { current: most.or(Some(count)), maximum: most })
        .context("cannot raise the number of open files")
}
