//! One server for a store: `.pid`, locked while the server runs, with its process id in it.
//!
//! The lock (flock, by fs2) goes with the process however it ends, so a stale file is no obstacle.

use crate::plain;
use fs2::FileExt;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const NAME: &str = ".pid";
/// How long something that passes by itself may take: another's look at the lock, or the time
/// between a lock and the process id.
const MOMENT: Duration = Duration::from_millis(300);
const POLL: Duration = Duration::from_millis(10);

/// The lock of a store, held until it is dropped.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    _file: File,
}

/// Why a store cannot be had. Told to the operator; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it.
    #[error("server already running")]
    Running,
    /// The disk refused.
    #[error("{path}: {error}")]
    Io {
        /// The lock's path.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

impl Lock {
    /// Takes the lock of a store.
    pub fn take(store: &Path) -> Result<Self, LockError> {
        let path = store.join(NAME);
        let io = |error| LockError::Io { path: path.clone(), error };
        let start = Instant::now();
        loop {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false).mode(0o600);
            let mut file = plain::open(&path, &mut options).map_err(io)?;
            match file.try_lock_exclusive() {
                // `running` holds it for a moment, too.
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if start.elapsed() > MOMENT {
                        return Err(LockError::Running);
                    }
                    std::thread::sleep(POLL);
                    continue;
                }
                result => result.map_err(io)?,
            }
            // A server that stopped just now may have removed the file that was opened here.
            let same = |there: std::fs::Metadata| Ok(there.ino() == file.metadata()?.ino());
            match std::fs::symlink_metadata(&path).and_then(same) {
                Ok(true) => {}
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(io(error)),
                _ => continue,
            }
            file.set_len(0).map_err(io)?;
            writeln!(file, "{}", std::process::id()).map_err(io)?;
            return Ok(Self { path, _file: file });
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A file that stays is stale, which is no obstacle.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Keeps a server from starting on a store while somebody looks at it, and changes nothing.
#[derive(Debug)]
pub struct Look {
    store: PathBuf,
    /// `None` if there was no file to lock.
    file: Option<File>,
}

impl Look {
    /// Begins to look.
    pub fn take(store: &Path) -> Result<Self, LockError> {
        let path = store.join(NAME);
        let io = |error| LockError::Io { path: path.clone(), error };
        let file = match plain::open(&path, OpenOptions::new().read(true)) {
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            file => Some(file.map_err(io)?),
        };
        match file.as_ref().map(FileExt::try_lock_shared) {
            Some(Err(error)) if error.kind() == ErrorKind::WouldBlock => {
                return Err(LockError::Running);
            }
            Some(result) => result.map_err(io)?,
            None => {}
        }
        Ok(Self { store: store.to_owned(), file })
    }

    /// Ends it.
    ///
    /// # Errors
    /// Where there was nothing to lock, a server has started meanwhile.
    pub fn end(self) -> Result<(), LockError> {
        match self.file {
            None if self.store.join(NAME).exists() => Err(LockError::Running),
            _ => Ok(()),
        }
    }
}

/// The process that runs on a store; `None` if none does.
pub fn running(store: &Path) -> io::Result<Option<i32>> {
    let start = Instant::now();
    loop {
        let mut file = match plain::open(&store.join(NAME), OpenOptions::new().read(true)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        match FileExt::try_lock_shared(&file) {
            Ok(()) => return Ok(None),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        match text.trim().parse() {
            Ok(pid) => return Ok(Some(pid)),
            Err(_) if start.elapsed() < MOMENT => std::thread::sleep(POLL),
            Err(_) => {
                return Err(io::Error::new(ErrorKind::InvalidData, ".pid holds no process id"));
            }
        }
    }
}

/// How a request to stop ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Stopped {
    /// It is gone.
    Gone,
    /// There was none.
    NotRunning,
    /// It still runs.
    StillRunning(i32),
}

/// Asks the server of a store to stop, and waits until it has.
pub fn stop(store: &Path, patience: Duration) -> io::Result<Stopped> {
    let Some(pid) = running(store)? else { return Ok(Stopped::NotRunning) };
    let process = Pid::from_raw(pid).ok_or(ErrorKind::InvalidData)?;
    match kill_process(process, Signal::TERM) {
        Err(rustix::io::Errno::SRCH) => return Ok(Stopped::Gone),
        sent => sent?,
    }
    let start = Instant::now();
    while start.elapsed() < patience {
        if running(store)? != Some(pid) {
            return Ok(Stopped::Gone);
        }
        std::thread::sleep(POLL);
    }
    Ok(Stopped::StillRunning(pid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_locked_once_and_a_stale_file_is_no_obstacle() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(NAME), "999999\n").unwrap();
        assert_eq!(running(dir.path()).unwrap(), None);
        let lock = Lock::take(dir.path()).unwrap();
        assert!(matches!(Lock::take(dir.path()), Err(LockError::Running)));
        assert_eq!(running(dir.path()).unwrap(), Some(std::process::id() as i32));
        drop(lock);
        assert_eq!(stop(dir.path(), Duration::ZERO).unwrap(), Stopped::NotRunning);
        assert!(!dir.path().join(NAME).exists());
        Lock::take(dir.path()).unwrap();
    }
}
