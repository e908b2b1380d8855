//! A store made of a backup.

use super::archive::{Content, ReadError, read};
use super::manifest::Manifest;
use crate::config::Config;
use crate::lock::{Lock, LockError};
use mqlib::disk::{Disk, FsDisk};
use mqlib::id::{MessageId, NotAnId};
use mqlib::registry::Birth;
use mqlib::store;
use std::collections::HashSet;
use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// What is added to a store's name until it is whole.
const UNFINISHED: &str = ".restoring";

/// Why a store was not restored. Told to the operator; there is none then, not even a part of one.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// Something is there already.
    #[error("{0} is not empty: a store is restored where there is none")]
    NotEmpty(PathBuf),
    /// The disk refuses.
    #[error("{0}: {1}")]
    Io(PathBuf, io::Error),
    /// Another restore is under way there.
    #[error("{0}: another restore is under way")]
    Busy(PathBuf),
    /// The file is no whole backup.
    #[error("this is no whole backup: {0}")]
    Backup(#[from] ReadError),
    /// It has no good last id.
    #[error("this is no whole backup: its last id is {0}")]
    LastId(#[from] NotAnId),
    /// The store cannot be made of it.
    #[error("no store can be made of it: {0}")]
    Store(#[from] store::RestoreError),
}

/// Makes a store of a backup. It is made beside its place and gets its name when it is whole and
/// durable.
///
/// # Errors
/// There is something already, the backup is damaged or cut short, or the disk refuses.
pub fn restore(from: impl Read, store: &Path) -> Result<Manifest, RestoreError> {
    let at = |path: &Path, error| RestoreError::Io(path.to_owned(), error);
    match fs::read_dir(store) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(at(store, error)),
        Ok(mut entries) => {
            if entries.next().is_some() {
                return Err(RestoreError::NotEmpty(store.to_owned()));
            }
        }
    }
    let mut name = store.file_name().unwrap_or_default().to_owned();
    name.push(UNFINISHED);
    let unfinished = store.with_file_name(name);
    match DirBuilder::new().mode(0o700).create(&unfinished) {
        // One that was killed left it, unless it is locked.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        made => made.map_err(|error| at(&unfinished, error))?,
    }
    let lock = Lock::take(&unfinished).map_err(|error| match error {
        LockError::Running => RestoreError::Busy(unfinished.clone()),
        LockError::Io { path, error } => RestoreError::Io(path, error),
    })?;
    let made = clear(&unfinished).map_err(|error| at(&unfinished, error));
    let made = made.and_then(|()| fill(from, &unfinished));
    drop(lock);
    let finished = made.and_then(|manifest| {
        // An empty directory may be in its place.
        fs::rename(&unfinished, store).map_err(|error| at(store, error))?;
        let parent = store.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        let synced = File::open(parent).and_then(|parent| parent.sync_all());
        synced.map_err(|error| at(parent, error))?;
        Ok(manifest)
    });
    if finished.is_err() {
        // What stays is removed by the next one.
        let _ = fs::remove_dir_all(&unfinished);
    }
    finished
}

/// Removes what a restore left that was killed; not the lock, which is ours.
fn clear(unfinished: &Path) -> io::Result<()> {
    for entry in fs::read_dir(unfinished)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => fs::remove_dir_all(entry.path())?,
            false if entry.file_name() == ".pid" => {}
            false => fs::remove_file(entry.path())?,
        }
    }
    Ok(())
}

fn fill(from: impl Read, unfinished: &Path) -> Result<Manifest, RestoreError> {
    let at = |error| RestoreError::Io(unfinished.to_owned(), error);
    let disk = FsDisk::open(unfinished).map_err(at)?;
    let mut made = HashSet::new();
    let manifest = read(from, &mut |path, content| {
        // Each directory on the way; none is deeper than a queue's.
        for (at, _) in path.match_indices('/') {
            let directory = &path[..at];
            if !made.contains(directory) {
                disk.create_dir(directory)?;
                made.insert(directory.to_owned());
            }
        }
        match content {
            Content::File(content) => disk.create(path, 0, &[content]),
            Content::Link(target) => disk.link(target, path),
        }
    })?;
    let last_id: MessageId = manifest.last_id.parse()?;
    // One that the server would refuse is no reason not to have the messages: it tells what is wrong.
    let config = Config::read(unfinished).map(|config| config.storage).unwrap_or_default();
    let mut random = [0; 36];
    getrandom::fill(&mut random).map_err(|error| at(io::Error::other(error)))?;
    let (salt, tag) = random.split_at(32);
    let birth = Birth {
        salt: salt.try_into().unwrap_or_default(),
        tag: u32::from_le_bytes(tag.try_into().unwrap_or_default()),
    };
    if !made.contains("spool") {
        disk.create_dir("spool").map_err(at)?;
    }
    store::restore(&disk, &config, birth, last_id)?;
    Ok(manifest)
}
