//! Files, off the commit path: what is given to workers, and what becomes of it.

use super::backup::BackingUp;
use super::index::Entry;
use super::op::{Fatal, Refusal, SpoolDone, StagedBody};
use super::usage::Settled;
use super::{FILES_PER_JOB, FILING_JOBS, RETRY, Store};
use crate::id::MessageId;
use crate::journal::Epoch;
use crate::node::NodeId;
use crate::spool::{self, Amount, FileJob, Job, JobDone, ReadMessage};
use std::io;
use std::time::Duration;

impl Store {
    pub(super) fn unlink(&mut self, node: NodeId, ids: Vec<(MessageId, Epoch)>) {
        let Some((node, ids)) = self.holds.take((node, ids)) else { return };
        match self.directory(node) {
            Some(directory) => self.jobs.push_back(Job::Unlink { node, directory, ids }),
            // A user that is gone has no directory either.
            None => self.unlinked(node, ids),
        }
    }

    /// Removes what was held while directories were looked at.
    pub(super) fn release(&mut self, token: u64) {
        for (node, ids) in self.holds.end(token) {
            self.unlink(node, ids);
        }
    }

    pub(super) fn unlinked(&mut self, node: NodeId, ids: Vec<(MessageId, Epoch)>) {
        self.totals.names -= ids.len() as i64;
        for (id, epoch) in ids {
            self.deleting.remove(node, id);
            self.usage.touch(epoch);
            self.usage.done(epoch);
        }
        self.free();
    }

    /// Gives out files to be written: what has waited long enough, all if something waits for it.
    pub(super) fn file(&mut self, now: Duration) {
        let urgent = self.backup.as_ref().is_some_and(BackingUp::is_urgent)
            || !self.copies.is_empty()
            || !self.drops.is_empty()
            || self.index.live() * 2 > self.config.backlog
            || self.usage.is_short_of(self.journal.segments());
        while self.filing_jobs < FILING_JOBS && self.retry_at.is_none() {
            let mut batch = Vec::new();
            while batch.len() < FILES_PER_JOB {
                let Some(entry) = self.index.next_to_file(now, urgent) else { break };
                let names = &self.names;
                let directory = |node: &NodeId| {
                    names.get(node.user).map(|name| spool::directory(name, *node).into())
                };
                batch.push(FileJob {
                    id: entry.id,
                    to_one: entry.to_one,
                    content: entry.content.clone(),
                    directories: entry.nodes().iter().filter_map(directory).collect(),
                    recovered: entry.recovered,
                });
            }
            if batch.is_empty() {
                break;
            }
            self.filing_jobs += 1;
            self.jobs.push_back(Job::File(batch));
        }
    }

    pub(super) fn copy(&mut self) {
        let mut waiting = Vec::new();
        for copying in std::mem::take(&mut self.copies) {
            let unfiled = |entry: &Entry| entry.id <= copying.last && entry.waits_for(copying.from);
            let held = [copying.from, copying.to].map(|node| self.holds.covers(node));
            let ends = (self.directory(copying.from), self.directory(copying.to));
            match ends {
                (Some(from), Some(to)) if held == [false; 2] && !self.index.iter().any(unfiled) => {
                    // What the other has acked itself is about to be removed there.
                    let mut except = self.deleting.of(copying.from);
                    except.extend(self.deleting.of(copying.to));
                    let (token, copied) = (copying.token, Amount::default());
                    self.holds.begin(token, [copying.from, copying.to].into());
                    self.jobs.push_back(Job::Copy { token, from, to, except, copied });
                }
                (Some(_), Some(_)) => waiting.push(copying),
                _ => self.done.push_back(SpoolDone::Copied(copying.token, Amount::default())),
            }
        }
        self.copies = waiting;
    }

    pub(super) fn filed(
        &mut self,
        now: Duration,
        id: MessageId,
        result: io::Result<()>,
    ) -> Result<(), Fatal> {
        match result {
            Ok(()) => {
                let Some(entry) = self.index.settle(id) else { return Ok(()) };
                self.usage.touch(entry.epoch);
                self.totals.filed += 1;
                self.totals.names += entry.nodes().len() as i64;
                if let Some(number) = entry.staged() {
                    self.usage.stage(entry.epoch, number);
                }
                self.usage.done(entry.epoch);
                for (node, epoch) in entry.after {
                    self.unlink(node, vec![(id, epoch)]);
                }
                Ok(())
            }
            Err(error) if spool::is_full(&error) => {
                self.retry_at.get_or_insert(now + RETRY);
                if self.refile.is_empty() {
                    let text = format!("messages cannot be filed, and posts are refused: {error}");
                    self.done.push_back(SpoolDone::Trouble(text));
                }
                self.refile.push(id);
                self.found_full();
                Ok(())
            }
            Err(error) => Err(Fatal::Spool(error)),
        }
    }

    /// A message of a node's was found damaged, and is in quarantine.
    pub(super) fn lost(
        &mut self,
        node: NodeId,
        id: MessageId,
        why: &str,
        len: usize,
        to_one: bool,
    ) {
        let kept = spool::QUARANTINE;
        let text = format!("message {id} is {why}; its file is in {kept}");
        self.done.push_back(SpoolDone::Trouble(text));
        // Another node's file of one that is for one node only may be whole.
        self.done.extend((!to_one).then_some(SpoolDone::Lost(node, len)));
    }

    /// Has a job done later, when the disk may have come to itself.
    fn try_again(&mut self, now: Duration, job: Job, error: &io::Error) {
        let text = format!("a file operation is tried again: {error}");
        self.done.push_back(SpoolDone::Trouble(text));
        self.retry_at.get_or_insert(now + RETRY);
        self.retry.push(job);
    }

    /// Frees the oldest uses of the journal that nothing needs.
    pub(super) fn free(&mut self) {
        while let Some(oldest) = self.journal.oldest() {
            if self.journal.active() == Some(oldest) {
                return;
            }
            match self.usage.end_if_settled(oldest) {
                Settled::No => return,
                Settled::Untouched => {
                    self.journal.free(oldest);
                    self.blocked = false;
                }
                Settled::Touched(staged) => {
                    return self.jobs.push_back(Job::Checkpoint { epoch: oldest, staged });
                }
            }
        }
    }

    /// Takes the result of a job.
    ///
    /// # Errors
    /// Final, as those of [`commit`](Self::commit).
    pub fn job_done(&mut self, now: Duration, done: JobDone) -> Result<(), Fatal> {
        match done {
            JobDone::Filed(filed) => {
                self.filing_jobs -= 1;
                for (id, result) in filed {
                    self.filed(now, id, result)?;
                }
                self.index.pop_settled();
                self.free();
            }
            JobDone::Unlinked(node, ids, Ok(())) => self.unlinked(node, ids),
            JobDone::Unlinked(_, _, Err(error)) => return Err(Fatal::Spool(error)),
            JobDone::Again(job, error) => self.try_again(now, job, &error),
            JobDone::Listed(token, result) => {
                let (found, more) = result.map_err(Fatal::Spool)?;
                if let Some(listing) = self.listings.remove(&token) {
                    let node = listing.node;
                    let (found, end, all) = listing.merge(found, more, self.config.listing);
                    self.done.push_back(SpoolDone::Listed(token, node, found, end, all));
                }
            }
            JobDone::Read(node, read, again) => {
                if let Some((job, error)) = again {
                    self.try_again(now, *job, &error);
                }
                for (id, result) in read {
                    let message = match result {
                        Ok(ReadMessage::Whole(message)) => Some(message),
                        Ok(ReadMessage::Missing) => None,
                        Ok(ReadMessage::Damaged { why, len, to_one }) => {
                            self.lost(node, id, &why, len, to_one);
                            None
                        }
                        Err(error) => {
                            let text = format!("message {id} cannot be read: {error}");
                            self.done.push_back(SpoolDone::Trouble(text));
                            None
                        }
                    };
                    self.done.push_back(SpoolDone::Loaded(node, id, message));
                }
            }
            JobDone::Staged(token, numbers, result) => {
                let result = match result {
                    Ok((len, crc)) => {
                        let body = |number| StagedBody { number, len, crc };
                        Ok(numbers.into_iter().map(body).collect())
                    }
                    Err(error) => {
                        self.jobs.push_back(Job::Unstage(numbers));
                        Err(if spool::is_full(&error) { Refusal::DiskFull } else { Refusal::Disk })
                    }
                };
                self.done.push_back(SpoolDone::Staged(token, result));
            }
            JobDone::Copied(token, result) => {
                let copied = result.map_err(Fatal::Spool)?;
                self.totals.names += copied.messages as i64;
                self.release(token);
                self.done.push_back(SpoolDone::Copied(token, copied));
            }
            JobDone::Emptied(token, result) => {
                result.map_err(Fatal::Spool)?;
                self.emptied(token);
            }
            JobDone::Measured(token, result) => {
                self.measured(token, result.map_err(Fatal::Spool)?);
            }
            JobDone::Checkpointed(epoch, result) => {
                result.map_err(Fatal::Spool)?;
                self.journal.free(epoch);
                self.usage.end(epoch);
                self.blocked = false;
                self.free();
            }
            JobDone::Room(room) => self.found_space(now, room),
            JobDone::Remembered(epoch, result) => {
                self.recent.left(epoch, result.map_err(Fatal::Spool)?);
                self.usage.touch(epoch);
                self.usage.done(epoch);
                self.remember();
                self.free();
            }
            JobDone::Recalled(token, node, result) => {
                let entries = result.unwrap_or_else(|error| {
                    let text = format!("what a node has posted cannot be read: {error}");
                    self.done.push_back(SpoolDone::Trouble(text));
                    self.recent.of(node)
                });
                self.done.push_back(SpoolDone::Recalled(token, node, entries));
            }
            JobDone::Glanced(token, node, result) => {
                self.glanced(token, node, result.map_err(Fatal::Spool)?);
            }
            JobDone::FoundOlder(Ok(found)) => self.done.push_back(SpoolDone::FoundOlder(found)),
            JobDone::FoundOlder(Err(error)) => {
                let text = format!("old messages cannot be looked for: {error}");
                self.done.push_back(SpoolDone::Trouble(text));
            }
            JobDone::Nothing => {}
        }
        self.drop_nodes();
        self.file(now);
        self.copy();
        self.find();
        Ok(())
    }
}
