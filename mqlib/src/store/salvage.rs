//! A store whose journal is damaged, taken up as far as it can be read, and its ring made whole.
//!
//! All that the journal holds goes to the spool, as a server does it in time; then nothing in the
//! ring is needed any more, and what is worn in it can be made anew.

use super::{OpenError, Opened, Store, StoreConfig};
use crate::disk::Disk;
use crate::id::MessageId;
use crate::journal::Journal;
use crate::registry::Birth;
use crate::spool::{self, Content};
use std::io::{self, ErrorKind};
use std::time::Duration;

/// How often what needs room is tried.
const TRIES: u32 = 3;
/// Longer than anything here waits for.
const STEP: Duration = Duration::from_secs(2);

impl Store {
    /// Opens a store whose journal may lack segments.
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
    pub fn salvage(
        disk: &dyn Disk,
        config: StoreConfig,
        birth: Birth,
    ) -> Result<(Self, Opened), OpenError> {
        let (mut store, mut opened) = Self::open_with(disk, config, birth, Journal::salvage)?;
        let io = |error| OpenError::Io(spool::ROOT, error);
        // The head that said so may be one of those that are lost.
        store.last_id = store.last_id.max(last_filed(disk).map_err(io)?);
        let unknown = store.keep_of_unknown(disk);
        opened.damage.extend(unknown.map_err(|error| OpenError::Io(spool::QUARANTINE, error))?);
        Ok((store, opened))
    }

    /// Files all that the journal holds, and begins it anew: nothing written so far is needed then.
    ///
    /// # Errors
    /// There is no room, or the disk refuses. What is not filed is in the journal still.
    pub fn leave_journal(
        &mut self,
        disk: &dyn Disk,
        note: &mut dyn FnMut(String),
    ) -> io::Result<()> {
        let mut now = Duration::ZERO;
        for _ in 0..TRIES {
            now += STEP;
            self.handle_timeout(now);
            loop {
                while self.commit(now).map_err(io::Error::other)? {}
                let Some(job) = self.poll_job() else { break };
                let done = job.run(disk, note);
                self.job_done(now, done).map_err(io::Error::other)?;
            }
            while self.poll_done().is_some() {}
            if self.is_settled() {
                disk.sync_all()?;
                while let Some(epoch) = self.journal.oldest() {
                    self.journal.free(epoch);
                }
                if !self.journal.advance(self.last_id)? {
                    return Err(io::Error::other("no segment of the journal is whole"));
                }
                return self.finish(now).map_err(io::Error::other);
            }
        }
        Err(ErrorKind::StorageFull.into())
    }

    /// Keeps messages for nodes of users that the directory does not know; it is not whole either.
    fn keep_of_unknown(&self, disk: &dyn Disk) -> io::Result<Vec<String>> {
        let mut kept = Vec::new();
        for entry in self.index.iter() {
            let unknown = |node: &&crate::node::NodeId| self.names.get(node.user).is_none();
            let Some(node) = entry.nodes().iter().find(unknown) else { continue };
            let Content::Whole(message) = &entry.content else { continue };
            let path = format!("{}/journal.message.{}", spool::QUARANTINE, entry.id);
            let why = format!("message {} is for user {}, who is lost", entry.id, node.user.0);
            spool::keep(disk, &path, message, &why)?;
            kept.push(format!("{why}; it is in {path}"));
        }
        Ok(kept)
    }
}

/// The largest id of a file in the spool.
fn last_filed(disk: &dyn Disk) -> io::Result<MessageId> {
    let mut last = MessageId::ZERO;
    for directory in disk.list(spool::ROOT)? {
        let listed = disk.for_each_name(&format!("{}/{directory}", spool::ROOT), &mut |name| {
            last = last.max(spool::parse_name(name).map_or(last, |(id, _)| id));
        });
        match listed {
            Err(error) if error.kind() != ErrorKind::NotADirectory => return Err(error),
            _ => {}
        }
    }
    Ok(last)
}
