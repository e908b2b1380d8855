//! A lock, so that two clients do not share what is meant for one.

use super::at;
use crate::error::Error;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// How long an earlier client, which may be on its way out, is waited for.
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(20);

/// Held until it is dropped, or the process ends, in whatever way.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Locks the file `path`, which is made if there is none and says whose the rest is.
    pub(super) fn take(path: &Path, owner: &str) -> Result<Self, Error> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = at(path, options.open(path))?;
        let until = Instant::now() + PATIENCE;
        while let Err(error) = file.try_lock() {
            match error {
                TryLockError::WouldBlock if Instant::now() < until => thread::sleep(PAUSE),
                TryLockError::WouldBlock => {
                    return Err(Error::disk(path, "another client uses it"));
                }
                TryLockError::Error(error) => return Err(Error::disk(path, error)),
            }
        }
        let mut text = String::new();
        at(path, file.read_to_string(&mut text))?;
        if text.is_empty() {
            at(path, file.write_all(format!("{owner}\n").as_bytes()))?;
        } else if text.trim_end() != owner {
            let reason = format!("it is {}'s, not {owner}'s", text.trim_end());
            return Err(Error::disk(path, reason));
        }
        Ok(Self { _file: file })
    }
}
