//! Certificates are renewed while the server runs: their files are watched, and read again.
//!
//! It is the directories that are watched, since a file is mostly replaced by a rename, and those of
//! what symbolic links lead to, as certbot and Kubernetes keep them. What is no good is not used:
//! the operator is told, and what was there before goes on.

use super::files::Files;
use super::{Renewal, TlsConfig};
use notify::{EventKind, RecursiveMode, Watcher};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::time::{sleep, timeout};

/// The files are read when nothing has changed for so long: there are two of them at least.
const QUIET: Duration = Duration::from_millis(100);
/// But not for longer than this, in a directory where there is always something.
const LONGEST: Duration = Duration::from_secs(1);
/// And from time to time in any case: not every file system tells of changes.
const LOOK: Duration = Duration::from_secs(60);

/// Follows the files until it is dropped.
pub(crate) async fn follow(renewal: Renewal) {
    let Renewal { config: paths, files, current } = renewal;
    let mut seen = Ok(files);
    loop {
        // First, so that no change after the reading is missed; again, since links lead elsewhere.
        let mut changes = Changes::of(&paths);
        let config = paths.clone();
        let read = tokio::task::spawn_blocking(move || Files::read(&config)).await;
        let found = match read {
            Ok(found) => found.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if found != seen {
            seen = found;
            let made = match &seen {
                Ok(files) => files.current(&paths).map_err(|e| e.to_string()),
                Err(error) => Err(error.clone()),
            };
            match made {
                Ok(made) => {
                    current.send_replace(made);
                    tracing::info!("new links get the certificate that was read again");
                }
                Err(why) => {
                    tracing::warn!(%why, "new links get the certificate from before");
                }
            }
        }
        changes.next().await;
    }
}

/// What the file system tells.
struct Changes {
    events: UnboundedReceiver<()>,
    /// Watches while it lives.
    _watcher: Option<notify::RecommendedWatcher>,
}

impl Changes {
    fn of(config: &TlsConfig) -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        let told = move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| !matches!(event.kind, EventKind::Access(_))) {
                let _ = sender.send(());
            }
        };
        let watcher = notify::recommended_watcher(told).and_then(|mut watcher| {
            let mut watched = BTreeSet::new();
            // A link that leads elsewhere meanwhile is not told of: once more, until nothing is new.
            loop {
                let found = directories(config);
                let mut new = found.difference(&watched).peekable();
                if new.peek().is_none() {
                    return Ok(watcher);
                }
                for directory in new {
                    watcher.watch(directory, RecursiveMode::NonRecursive)?;
                }
                watched.extend(found);
            }
        });
        if let Err(error) = &watcher {
            tracing::debug!(%error, every = ?LOOK, "certificates are not watched, only looked at");
        }
        Self { events, _watcher: watcher.ok() }
    }

    /// Returns when something has changed, and it is quiet again; or when it is time to look.
    async fn next(&mut self) {
        match timeout(LOOK, self.events.recv()).await {
            Ok(Some(())) => {
                let quiet =
                    async { while let Ok(Some(())) = timeout(QUIET, self.events.recv()).await {} };
                let _ = timeout(LONGEST, quiet).await;
            }
            // Nothing is watched.
            Ok(None) => sleep(LOOK).await,
            Err(_) => {}
        }
    }
}

/// Where a change of the files shows.
fn directories(config: &TlsConfig) -> BTreeSet<PathBuf> {
    let files = [Some(&config.certificate), Some(&config.key), config.client_ca.as_ref()];
    let mut found = BTreeSet::new();
    for file in files.into_iter().flatten() {
        found.extend(parent(file));
        // Without a target there is nothing to watch there.
        found.extend(std::fs::canonicalize(file).ok().and_then(|target| parent(&target)));
    }
    found
}

fn parent(file: &Path) -> Option<PathBuf> {
    match file.parent()? {
        here if here == Path::new("") => Some(PathBuf::from(".")),
        parent => Some(parent.to_owned()),
    }
}
