//! Commits: what was submitted meanwhile becomes one batch, durable when the write returns.

use super::index::Entry;
use super::op::{Fatal, Refusal, SpoolDone, SpoolOp};
use super::{ACK_HOLD, ACKS_HELD, Ack, Copying, Store, each};
use crate::directory::Edit;
use crate::id::MessageId;
use crate::journal::{Epoch, Post, Record};
use crate::node::NodeId;
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Default)]
struct Batch {
    edits: Vec<Edit>,
    posts: Vec<Post>,
    acks: Vec<Ack>,
    done: Vec<SpoolDone>,
}

impl Batch {
    /// Has it nothing for the journal?
    fn is_empty(&self) -> bool {
        self.posts.is_empty() && self.acks.is_empty()
    }
}

impl Store {
    /// Makes one batch of what was submitted durable. `true` if there is more that can be
    /// committed right away.
    ///
    /// # Errors
    /// Final: the caller ends the server, and nothing more is asked of this store.
    pub fn commit(&mut self, now: Duration) -> Result<bool, Fatal> {
        let mut batch = Batch::default();
        let posts = self.ordered.iter().any(|op| matches!(op, SpoolOp::Commit(_)));
        let acks_due = self.acks_since.is_some_and(|since| now >= since + ACK_HOLD);
        if posts || acks_due || self.acked >= ACKS_HELD {
            self.add_acks(&mut batch)?;
        }
        let mut more = false;
        while let Some(op) = self.ordered.pop_front() {
            match op {
                SpoolOp::Edit(token, edits) => {
                    self.learn_names(&edits);
                    batch.edits.extend(edits);
                    batch.done.push(SpoolDone::Edited(token));
                }
                SpoolOp::Copy(token, from, to) if batch.posts.is_empty() => {
                    let last = self.last_id;
                    self.copies.push(Copying { token, from, to, last });
                }
                SpoolOp::Commit(post) if !self.refile.is_empty() => {
                    batch.done.push(SpoolDone::Refused(post.id, Refusal::DiskFull));
                }
                SpoolOp::Commit(post)
                    if self.index.live() + batch.posts.len() < self.config.backlog
                        && self.journal.batched() < self.config.batch_max =>
                {
                    let record = Record::Post(post);
                    let added = self.add(&record, batch.is_empty())?;
                    let Record::Post(post) = record else { continue };
                    if !added {
                        more = !batch.is_empty();
                        self.ordered.push_front(SpoolOp::Commit(post));
                        break;
                    }
                    batch.done.push(SpoolDone::Committed(post.id));
                    batch.posts.push(post);
                }
                op => {
                    more = !batch.is_empty();
                    self.ordered.push_front(op);
                    break;
                }
            }
        }
        self.write(now, batch)?;
        self.file(now);
        self.copy();
        Ok(more)
    }

    /// Adds a record to the journal's batch, in the next segment if this one is full and `alone`.
    fn add(&mut self, record: &Record, alone: bool) -> Result<bool, Fatal> {
        if self.journal.add(record) {
            return Ok(true);
        }
        if !alone {
            return Ok(false);
        }
        self.blocked = !self.journal.advance(self.last_id).map_err(Fatal::Journal)?;
        if self.blocked {
            return Ok(false);
        }
        if let Some(epoch) = self.journal.active() {
            self.usage.begin(epoch);
        }
        self.free();
        Ok(self.journal.add(record))
    }

    fn add_acks(&mut self, batch: &mut Batch) -> Result<(), Fatal> {
        while let Some(Ack { ids, nodes }) = self.acks.pop_front() {
            let record = Record::Delete(ids, nodes);
            let added = self.add(&record, batch.is_empty())?;
            let Record::Delete(ids, nodes) = record else { continue };
            if !added {
                self.acks.push_front(Ack { ids, nodes });
                return Ok(());
            }
            batch.acks.push(Ack { ids, nodes });
        }
        self.acked = 0;
        self.acks_since = None;
        Ok(())
    }

    fn write(&mut self, now: Duration, batch: Batch) -> Result<(), Fatal> {
        if !batch.edits.is_empty() {
            self.registry.commit(batch.edits.iter())?;
        }
        let epoch = self.journal.write().map_err(Fatal::Journal)?;
        for post in batch.posts {
            self.last_id = self.last_id.max(post.id);
            self.usage.add(epoch);
            let due = now + self.config.linger;
            self.index.push(Entry::new(post, epoch, due, false));
        }
        let mut unlinks: BTreeMap<NodeId, Vec<(MessageId, Epoch)>> = BTreeMap::new();
        for ack in batch.acks {
            for (id, node) in each(&ack.ids, &ack.nodes) {
                if self.deleting.contains(node, id) {
                    self.usage.add(epoch);
                    match self.index.get_mut(id).filter(|entry| entry.is_filing()) {
                        Some(entry) => entry.after.push((node, epoch)),
                        None => unlinks.entry(node).or_default().push((id, epoch)),
                    }
                }
            }
        }
        for (node, ids) in unlinks {
            self.unlink(node, ids);
        }
        self.done.extend(batch.done);
        Ok(())
    }

    /// Writes the acks that wait, before a clean stop.
    pub fn finish(&mut self, now: Duration) -> Result<(), Fatal> {
        while self.commit(now + ACK_HOLD)? {}
        Ok(())
    }
}
