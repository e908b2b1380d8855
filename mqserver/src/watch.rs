//! Files that are read again when they change, while the server runs: the configuration, and
//! certificates.
//!
//! It is the directories that are watched, since a file is mostly replaced by a rename, and those of
//! what symbolic links lead to, as certbot and Kubernetes keep them.

use notify::event::ModifyKind;
use notify::{Event, EventKind, RecursiveMode, Watcher};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::time::{sleep, timeout};

/// The files are read when nothing has changed for so long: there may be several of them.
const QUIET: Duration = Duration::from_millis(100);
/// But not for longer than this, in a directory where there is always something.
const LONGEST: Duration = Duration::from_secs(1);
/// And from time to time in any case: not every file system tells of changes.
const LOOK: Duration = Duration::from_secs(60);

/// What the file system tells of some files.
pub(crate) struct Changes {
    events: UnboundedReceiver<()>,
    /// Watches while it lives.
    _watcher: Option<notify::RecommendedWatcher>,
}

impl Changes {
    /// Watches them. To be made again after each change: links may lead elsewhere since.
    pub(crate) fn of(files: &[&Path]) -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        let names = names(files);
        let told = move |event: notify::Result<Event>| {
            if event.is_ok_and(|event| concerns(&event, &names)) {
                let _ = sender.send(());
            }
        };
        let watcher = notify::recommended_watcher(told).and_then(|mut watcher| {
            let mut watched = BTreeSet::new();
            // A link that leads elsewhere meanwhile is not told of: once more, until nothing is new.
            loop {
                let found = directories(files);
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
            tracing::debug!(?files, every = ?LOOK, %error, "files are not watched, only looked at");
        }
        Self { events, _watcher: watcher.ok() }
    }

    /// Returns when something has changed, and it is quiet again; or when it is time to look.
    pub(crate) async fn next(&mut self) {
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

/// May it have changed what is read under these names? What is written to a file of another name has
/// not; what comes, goes or is renamed may be a link on the way.
fn concerns(event: &Event, names: &BTreeSet<OsString>) -> bool {
    match event.kind {
        EventKind::Access(_) => false,
        EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Metadata(_)) => {
            event.paths.iter().filter_map(|path| path.file_name()).any(|name| names.contains(name))
        }
        _ => true,
    }
}

/// What the files are called, and what links that stand for them lead to.
fn names(files: &[&Path]) -> BTreeSet<OsString> {
    let targets = files.iter().filter_map(|file| std::fs::canonicalize(file).ok());
    let all = files.iter().map(|file| file.to_path_buf()).chain(targets);
    all.filter_map(|path| path.file_name().map(ToOwned::to_owned)).collect()
}

/// Where a change of the files shows.
fn directories(files: &[&Path]) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for file in files {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Longer than it takes to be told.
    const WHILE: Duration = Duration::from_secs(2);

    #[tokio::test]
    async fn what_is_written_beside_a_file_is_no_change_of_it_and_what_comes_or_goes_may_be() {
        let dir = tempfile::tempdir().unwrap();
        let (file, beside) = (dir.path().join("file"), dir.path().join("beside"));
        for path in [&file, &beside] {
            std::fs::write(path, "1").unwrap();
        }
        let mut changes = Changes::of(&[&file]);
        std::fs::write(&beside, "2").unwrap();
        assert!(timeout(WHILE, changes.next()).await.is_err());
        std::fs::write(&file, "2").unwrap();
        timeout(LOOK / 2, changes.next()).await.unwrap();
        std::fs::rename(&beside, &file).unwrap();
        timeout(LOOK / 2, changes.next()).await.unwrap();
        std::fs::remove_file(&file).unwrap();
        timeout(LOOK / 2, changes.next()).await.unwrap();
        assert!(timeout(WHILE, changes.next()).await.is_err());
    }
}
