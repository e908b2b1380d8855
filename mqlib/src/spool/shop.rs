//! A worker at its disk: what jobs have in common.

use super::fault::{exists, is_no_file, is_planted, missing};
use super::{Amount, STAGED};
use crate::disk::Disk;
use crate::id::MessageId;
use crate::journal::Epoch;
use std::io::{self, ErrorKind};

/// How often a directory that goes away is made again.
const TRIES: usize = 8;

/// A worker at its disk.
pub(super) struct Shop<'a> {
    pub(super) disk: &'a dyn Disk,
    pub(super) note: &'a mut dyn FnMut(String),
}

impl Shop<'_> {
    pub(super) fn remove(&mut self, path: &str) -> io::Result<()> {
        match self.disk.unlink(path) {
            Err(error) if missing(&error) => Ok(()),
            result => result,
        }
    }

    /// Makes room for a message whose file a crash may have left there. `false` if it is whole.
    pub(super) fn make_room(&mut self, path: &str, message: &[u8]) -> io::Result<bool> {
        match self.disk.read(path).map(super::parse) {
            Ok(Ok(read)) if read == message => return Ok(false),
            Err(error) if is_no_file(&error) => {
                (self.note)(format!("{path} is no file; it is moved to {}", super::QUARANTINE));
                self.quarantine(path, "something else stood in the place of a file of ours")?;
            }
            // Cut short, so it is no message.
            _ => self.remove(path)?,
        }
        Ok(true)
    }

    /// Makes the directory of `path` when it turns out to be missing, also when another worker tidies
    /// it away in between.
    pub(super) fn in_directory(
        &mut self,
        path: &str,
        mut act: impl FnMut() -> io::Result<()>,
    ) -> io::Result<()> {
        let Some((directory, _)) = path.rsplit_once('/') else { return act() };
        for _ in 0..TRIES {
            match act() {
                Err(error) if missing(&error) => {
                    if let Err(error) = self.disk.create_dir(directory)
                        && !exists(&error)
                    {
                        return Err(error);
                    }
                }
                Err(error) if is_planted(&error) => self.set_aside(directory)?,
                result => return result,
            }
        }
        act()
    }

    /// Takes what is no directory out of the way, and keeps it.
    pub(super) fn set_aside(&mut self, path: &str) -> io::Result<()> {
        if path == super::QUARANTINE {
            return Err(ErrorKind::NotADirectory.into());
        }
        (self.note)(format!("{path} is no directory; it is moved to {}", super::QUARANTINE));
        self.quarantine(path, "something else stood in the place of a directory of ours")
    }

    pub(super) fn unlink(&mut self, directory: &str, ids: &[(MessageId, Epoch)]) -> io::Result<()> {
        let mut names: Vec<String> =
            ids.iter().map(|(id, _)| super::file_name(*id, false)).collect();
        for to_one in [false, true] {
            let results = self.disk.unlink_each(directory, &names);
            let mut left = Vec::new();
            for ((id, _), result) in ids.iter().zip(results) {
                match result {
                    // Whether it was for one node is not known here.
                    Err(error) if missing(&error) => left.push(super::file_name(*id, true)),
                    Err(error) if is_planted(&error) => return self.set_aside(directory),
                    result => result?,
                }
            }
            names = left;
            if to_one || names.is_empty() {
                break;
            }
        }
        Ok(())
    }

    /// What is in a queue's directory; nothing if there is none.
    pub(super) fn names(&mut self, directory: &str) -> io::Result<Vec<String>> {
        match self.disk.list(directory) {
            Err(error) if missing(&error) => Ok(Vec::new()),
            Err(error) if is_planted(&error) => {
                self.set_aside(directory)?;
                Ok(Vec::new())
            }
            names => names,
        }
    }

    pub(super) fn list(
        &mut self,
        directory: &str,
        after: MessageId,
        max: usize,
    ) -> io::Result<(Vec<(MessageId, bool)>, usize)> {
        match super::look::names(self.disk, directory, after, max, |_| true) {
            Err(error) if missing(&error) => Ok((Vec::new(), 0)),
            Err(error) if is_planted(&error) => {
                self.set_aside(directory)?;
                Ok((Vec::new(), 0))
            }
            listed => listed,
        }
    }

    /// Takes a damaged file out of its queue, so that it is in nobody's way, and keeps it.
    pub(super) fn quarantine(&mut self, path: &str, why: &str) -> io::Result<()> {
        super::quarantine(self.disk, path, why).map(drop)
    }

    pub(super) fn stage(
        &mut self,
        numbers: &[u64],
        header_len: usize,
        body: &[u8],
    ) -> io::Result<(u64, u32)> {
        let disk = self.disk;
        let offset = (super::LINE + header_len) as u64;
        for number in numbers {
            let path = super::staged_path(*number);
            self.in_directory(&path, || disk.create(&path, offset, &[body]))?;
            self.disk.sync_path(&path)?;
        }
        self.disk.sync_path(STAGED)?;
        Ok((body.len() as u64, crc32c::crc32c(body)))
    }

    pub(super) fn unstage(&mut self, numbers: &[u64]) {
        for number in numbers {
            // What stays is removed at the next start.
            let _ = self.disk.unlink(&super::staged_path(*number));
        }
    }

    /// Links what is in one directory into another; what is new there is added to `copied`.
    pub(super) fn copy(
        &mut self,
        from: &str,
        to: &str,
        except: &[MessageId],
        copied: &mut Amount,
    ) -> io::Result<()> {
        let names = self.names(from)?;
        self.link_each(from, to, names, except, copied)?;
        self.disk.sync_all()
    }

    /// Links what has these names in one directory into another. Not synced.
    pub(super) fn link_each(
        &mut self,
        from: &str,
        to: &str,
        names: Vec<String>,
        except: &[MessageId],
        copied: &mut Amount,
    ) -> io::Result<()> {
        let disk = self.disk;
        for name in names {
            let Some((id, to_one)) = super::parse_name(&name) else { continue };
            if except.contains(&id) {
                continue;
            }
            let (source, target) = (format!("{from}/{name}"), format!("{to}/{name}"));
            match self.in_directory(&target, || disk.link(&source, &target)) {
                // Acked meanwhile.
                Err(error) if missing(&error) => {}
                // Copied before, perhaps by a server that a crash ended before it was durable.
                Err(error) if exists(&error) => {
                    if self
                        .disk
                        .read(&target)
                        .ok()
                        .is_none_or(|content| super::parse(content).is_err())
                    {
                        self.remove(&target)?;
                        self.in_directory(&target, || disk.link(&source, &target))?;
                    }
                }
                result => {
                    result?;
                    if !to_one {
                        let len = disk.lengths(to, &[name]).pop().and_then(Result::ok);
                        copied.add_file(len.unwrap_or(0));
                    }
                }
            }
        }
        Ok(())
    }
}
