//! The spool: every queue's directory, every message's name, checksum and length, and the large
//! bodies on their way in.

use super::journal::Held;
use super::{Check, CheckError, directory};
use crate::disk::Kind;
use crate::spool::{self, Staged};
use std::collections::BTreeMap;
use std::io::ErrorKind;

impl Check<'_> {
    /// Looks at all of the spool.
    pub(super) fn messages(&mut self, held: &Held) -> Result<(), CheckError> {
        if !self.stands(spool::ROOT, Kind::Directory)? {
            return Ok(());
        }
        self.for_each(spool::ROOT, |check, name| {
            let path = format!("{}/{name}", spool::ROOT);
            if path == spool::STAGED {
                return check.staged(&held.staged);
            }
            check.queue(&path, held)
        })
    }

    fn queue(&mut self, path: &str, held: &Held) -> Result<(), CheckError> {
        if !self.stands(path, Kind::Directory)? {
            return Ok(());
        }
        if self.knows_users && !self.queues.contains(directory::queue(path)) {
            self.wrong(path, "there is no such node; its messages stay");
        }
        self.for_each(path, |check, name| {
            let path = format!("{path}/{name}");
            match spool::parse_name(name) {
                Some((id, _)) => check.message(&path, held.posts.contains(&id)),
                None => {
                    check.looked();
                    check.wrong(&path, "it is no message; nobody touches it");
                    Ok(())
                }
            }
        })
    }

    /// Looks at a message; the journal may hold it, too.
    fn message(&mut self, path: &str, is_held: bool) -> Result<(), CheckError> {
        if !self.stands(path, Kind::File)? {
            return Ok(());
        }
        self.counts.messages += 1;
        match self.disk.read(path).map(spool::parse) {
            Ok(Ok(_)) => Ok(()),
            // A server was killed while it wrote it.
            Ok(Err(error)) if is_held && error.is_of_length() => {
                self.note(path, "it was not written to its end; the next start does it again");
                Ok(())
            }
            Ok(Err(error)) => self.damaged(path, &error.to_string()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => {
                self.wrong(path, format!("it cannot be read: {error}"));
                Ok(())
            }
        }
    }

    fn staged(&mut self, named: &BTreeMap<u64, Staged>) -> Result<(), CheckError> {
        if !self.stands(spool::STAGED, Kind::Directory)? {
            return Ok(());
        }
        self.for_each(spool::STAGED, |check, name| {
            let path = format!("{}/{name}", spool::STAGED);
            if !check.stands(&path, Kind::File)? {
                return Ok(());
            }
            match name.parse::<u64>().map(|number| named.get(&number)) {
                Ok(Some(staged)) => check.body(&path, staged)?,
                // Of one that was filed a little while ago, or never acked.
                Ok(None) => check.note(&path, "nobody needs this body; the next start removes it"),
                Err(_) => check.wrong(&path, "it is no large body; nobody touches it"),
            }
            Ok(())
        })
    }

    fn body(&mut self, path: &str, staged: &Staged) -> Result<(), CheckError> {
        let content = self.disk.read(path).map_err(|error| CheckError::Io(path.into(), error))?;
        match spool::staged_message(content, staged) {
            Ok(_) => Ok(()),
            Err(error) => self.damaged(path, &error.to_string()),
        }
    }
}
