//! A trial: the lives of a server on one store, and the crowd that lives them.

use super::crowd::{Busy, Crowd};
use super::member::{Manner, Stage};
use super::verdict::Verdict;
use crate::spawn::{Options, Server};
use anyhow::Context;
use clap::Args;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

/// How often a server is asked whether it lives.
const LOOK: Duration = Duration::from_millis(2);

/// What every trial is asked.
#[derive(Debug, Clone, Args)]
pub(crate) struct Common {
    /// The server's program [default: the mqserver beside this program]
    #[arg(long, value_name = "PATH")]
    pub(crate) server_bin: Option<PathBuf>,
    /// Choose the same posts and points as the run with this seed
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Print the counts as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// The usual crowd: eight, of whom two come late.
pub(crate) const MANNER: Manner = Manner {
    members: 8,
    absent: 2,
    pace: Duration::from_millis(2),
    in_flight: 16,
    largely: 150,
    window: 100,
    repost: false,
    diligence: 90,
};

/// How a life that was to be broken ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// While it started.
    AtStart,
    /// While it served.
    Serving,
    /// Not by itself: it was killed when its time was over.
    Outlived,
}

/// The lives of a server.
#[derive(Debug)]
pub(crate) struct Trial {
    pub(crate) crowd: Crowd,
    pub(crate) store: PathBuf,
    bin: Option<PathBuf>,
    start: Instant,
    pub(crate) broken: Vec<String>,
    /// For logs of ours.
    pub(crate) dir: TempDir,
}

impl Trial {
    /// A trial on a new store, small so that everything in it comes round soon: below `place`, or in
    /// a temporary directory.
    pub(crate) async fn new(
        common: &Common,
        manner: Manner,
        place: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("mqtest-").tempdir()?;
        let store = place.unwrap_or(dir.path()).join("mqstore");
        std::fs::create_dir(&store).context("cannot make the store")?;
        let config = "[journal]\nsegments = 3\nsegment_mib = 2\n[spool]\nlinger_ms = 20\n";
        std::fs::write(store.join("mqserver.toml"), config)?;
        let crowd = Crowd::new(manner, common.seed);
        let (bin, broken) = (common.server_bin.clone(), Vec::new());
        let mut trial = Self { crowd, store, bin, start: Instant::now(), broken, dir };
        let mut server = trial.server(Vec::new(), Vec::new()).await?;
        trial.crowd.register(server.addr()).await?;
        server.stop().await?;
        Ok(trial)
    }

    /// Starts a server, behind these words and with these variables.
    pub(crate) async fn server(
        &self,
        wrapper: Vec<String>,
        env: Vec<(String, String)>,
    ) -> anyhow::Result<Server> {
        let (bin, store) = (self.bin.clone(), Some(self.store.clone()));
        Server::spawn(Options { bin, store, wrapper, env, ..Options::default() }).await
    }

    /// A life under load that is to be broken by what stands before it, or is killed after a while.
    pub(crate) async fn doomed(
        &mut self,
        wrapper: Vec<String>,
        long: Duration,
    ) -> anyhow::Result<End> {
        let mut server = match self.server(wrapper, Vec::new()).await {
            Ok(server) => server,
            Err(error) if format!("{error:#}").contains("signal: 9") => return Ok(End::AtStart),
            Err(error) => {
                self.broken.push(format!("the server does not start: {error:#}"));
                return Ok(End::AtStart);
            }
        };
        let busy = self.crowd.begin(server.addr(), Stage::Load);
        let end = match wait(&mut server, long).await? {
            Some(_) => End::Serving,
            None => End::Outlived,
        };
        server.kill()?;
        self.crowd.end(busy).await?;
        Ok(end)
    }

    /// Sets the crowd to work on a server.
    pub(crate) fn load(&mut self, server: &Server) -> Busy {
        self.crowd.begin(server.addr(), Stage::Load)
    }

    /// A whole life: everybody gets all that waits for them, and the spool is empty after it.
    /// Whatever is wrong is noted, with `since`, what happened before.
    pub(crate) async fn check(&mut self, since: &str) -> anyhow::Result<()> {
        let mut server = match self.server(Vec::new(), Vec::new()).await {
            Ok(server) => server,
            Err(error) => {
                self.broken.push(format!("{since}: the server does not start: {error:#}"));
                return Ok(());
            }
        };
        self.crowd.drain(server.addr()).await?;
        self.crowd.look_for_users(server.addr()).await;
        let stopped = server.stop().await?;
        if !stopped.success() {
            self.broken.push(format!("{since}: it stops with {stopped}: {}", server.log_tail()));
        }
        let damaged = names(&self.store.join("quarantine"));
        if !damaged.is_empty() {
            self.broken.push(format!("{since}: found damaged: {}", damaged.join(", ")));
        }
        Ok(())
    }

    /// Is anything broken so far?
    pub(crate) fn is_broken(&self) -> bool {
        !self.broken.is_empty() || self.crowd.complains() || !self.crowd.counts().are_clean()
    }

    /// The verdict.
    pub(crate) fn close(self) -> Verdict {
        let (counts, violations, complaints) = self.crowd.close();
        let mut verdict = Verdict { counts, broken: self.broken, ..Verdict::default() };
        verdict.broken.extend(complaints);
        verdict.broken.extend(violations.iter().map(ToString::to_string));
        verdict.put("seconds", (self.start.elapsed().as_secs_f64() * 10.0).round() / 10.0);
        verdict
    }
}

/// Waits until a server ends by itself, if it does.
pub(crate) async fn wait(
    server: &mut Server,
    long: Duration,
) -> anyhow::Result<Option<std::process::ExitStatus>> {
    let deadline = Instant::now() + long;
    loop {
        if let Some(status) = server.exited()? {
            return Ok(Some(status));
        }
        if Instant::now() > deadline {
            return Ok(None);
        }
        sleep(LOOK).await;
    }
}

/// Waits until something holds; did it?
pub(crate) async fn until(long: Duration, holds: impl Fn() -> bool) -> bool {
    let deadline = Instant::now() + long;
    while !holds() {
        if Instant::now() > deadline {
            return false;
        }
        sleep(LOOK).await;
    }
    true
}

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
