//! Commits: what was submitted meanwhile becomes one batch, durable when the write returns.

use super::dropping::Dropping;
use super::finding::Finding;
use super::index::Entry;
use super::op::{Fatal, Refusal, SpoolDone, SpoolOp};
use super::{ACK_HOLD, ACKS_HELD, Ack, Copying, Store, each};
use crate::directory::Edit;
use crate::disk::BLOCK;
use crate::id::MessageId;
use crate::journal::{Epoch, Post, Record};
use crate::node::NodeId;
use crate::spool::{self, Content, Job};
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Default)]
struct Batch {
    edits: Vec<Edit>,
    posts: Vec<Post>,
    acks: Vec<Ack>,
    done: Vec<SpoolDone>,
    /// Nodes of which nothing is left, by the tokens of who waits for that.
    dropped: Vec<u64>,
    /// Nodes whose posts are to be recalled.
    recalls: Vec<(u64, NodeId)>,
    /// Queues that are to be looked through.
    finds: Vec<Finding>,
}

/// What became of the messages of a post.
enum Taken {
    /// They are answered, or in the batch.
    Whole,
    /// They have to wait.
    Not(Vec<Post>),
}

impl Batch {
    /// Has it nothing for the journal?
    fn is_empty(&self) -> bool {
        self.posts.is_empty() && self.acks.is_empty() && self.dropped.is_empty()
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
        self.look_for_space(now, !self.ordered.is_empty());
        let rides = |op: &SpoolOp| matches!(op, SpoolOp::Commit(_));
        let ride = self.ordered.iter().any(rides) || !self.settles.is_empty();
        let acks_due = self.acks_since.is_some_and(|since| now >= since + ACK_HOLD);
        if ride || acks_due || self.acked >= ACKS_HELD {
            self.add_acks(&mut batch)?;
        }
        if self.acks.is_empty() {
            batch.done.extend(self.settles.drain(..).map(SpoolDone::Settled));
        }
        self.add_drops(&mut batch)?;
        let mut more = false;
        while let Some(op) = self.ordered.pop_front() {
            match op {
                SpoolOp::Edit(token, edits) => {
                    if batch.edits.is_empty() && !self.may_edit(now) {
                        self.ordered.push_front(SpoolOp::Edit(token, edits));
                        if self.space.is_short() {
                            self.refuse_posts(&mut batch);
                        }
                        break;
                    }
                    self.learn_names(&edits);
                    batch.edits.extend(edits);
                    batch.done.push(SpoolDone::Edited(token));
                }
                SpoolOp::Copy(token, from, to) if batch.posts.is_empty() => {
                    let last = self.last_id;
                    self.copies.push(Copying { token, from, to, last });
                }
                SpoolOp::Drop(token, node, heir) if batch.posts.is_empty() => {
                    self.drops.push(Dropping::new(token, node, heir));
                }
                SpoolOp::Recall(token, node) => batch.recalls.push((token, node)),
                SpoolOp::Find(token, node, after) => {
                    batch.finds.push(Finding { token, node, after });
                }
                SpoolOp::Commit(post) => match self.commit_posts(post, &mut batch)? {
                    Taken::Whole => {}
                    Taken::Not(posts) => {
                        more = !batch.is_empty();
                        for post in posts.into_iter().rev() {
                            self.ordered.push_front(SpoolOp::Commit(post));
                        }
                        break;
                    }
                },
                op => {
                    more = !batch.is_empty();
                    self.ordered.push_front(op);
                    break;
                }
            }
        }
        self.write(now, batch)?;
        self.drop_nodes();
        self.file(now);
        self.copy();
        self.find();
        Ok(more || !self.settles.is_empty() && !self.blocked)
    }

    /// Refuses the posts that wait behind a change of the directory, for which there is no room.
    fn refuse_posts(&mut self, batch: &mut Batch) {
        let mut parts = Vec::new();
        for op in std::mem::take(&mut self.ordered) {
            match op {
                SpoolOp::Commit(post) => {
                    let goes_on = post.goes_on;
                    parts.push(post);
                    if !goes_on {
                        self.refuse(parts.drain(..), batch);
                    }
                }
                SpoolOp::Recall(token, node) => batch.recalls.push((token, node)),
                op => self.ordered.push_back(op),
            }
        }
        self.ordered.extend(parts.into_iter().map(SpoolOp::Commit));
    }

    fn refuse(&mut self, posts: impl IntoIterator<Item = Post>, batch: &mut Batch) {
        for post in posts {
            batch.done.push(SpoolDone::Refused(post.id, Refusal::DiskFull));
            self.unstage(post.content);
        }
    }

    /// Takes the messages of one post into the batch, all or none.
    fn commit_posts(&mut self, first: Post, batch: &mut Batch) -> Result<Taken, Fatal> {
        let mut posts = vec![first];
        while posts.last().is_some_and(|post| post.goes_on) {
            match self.ordered.pop_front() {
                Some(SpoolOp::Commit(post)) => posts.push(post),
                // The rest is on its way here.
                other => {
                    if let Some(op) = other {
                        self.ordered.push_front(op);
                    }
                    return Ok(Taken::Not(posts));
                }
            }
        }
        if self.space.is_short() || !self.refile.is_empty() {
            self.refuse(posts, batch);
            return Ok(Taken::Whole);
        }
        let backlog = self.index.live() + batch.posts.len() >= self.config.backlog;
        self.totals.backlog_met += u64::from(backlog);
        let room = !backlog && self.journal.batched() < self.config.batch_max;
        let records: Vec<Record> = posts.into_iter().map(Record::Post).collect();
        let added = room && self.add(&records, batch.is_empty())?;
        let posts = records.into_iter().filter_map(|record| match record {
            Record::Post(post) => Some(post),
            Record::Delete(..) | Record::Drop(_) | Record::End => None,
        });
        if !added {
            return Ok(Taken::Not(posts.collect()));
        }
        for post in posts {
            batch.done.push(SpoolDone::Committed(post.id));
            batch.posts.push(post);
        }
        Ok(Taken::Whole)
    }

    /// Gives up a large body that became no message.
    fn unstage(&mut self, content: Content) {
        if let Content::Staged(staged) = content {
            self.jobs.push_back(Job::Unstage(vec![staged.number]));
        }
    }

    /// Adds records to the journal's batch, all or none; in the next segment if this one is full and
    /// they are `alone`.
    fn add(&mut self, records: &[Record], alone: bool) -> Result<bool, Fatal> {
        if self.add_all(records) {
            return Ok(true);
        }
        if !alone {
            return Ok(false);
        }
        let before = self.journal.active();
        self.blocked = !self.journal.advance(self.last_id).map_err(Fatal::Journal)?;
        if self.blocked {
            self.totals.journal_met += 1;
            return Ok(false);
        }
        if let Some(epoch) = self.journal.active() {
            self.usage.begin(epoch);
        }
        if let Some(full) = before {
            self.recent.close(full);
            self.remember();
        }
        self.free();
        Ok(self.add_all(records))
    }

    fn add_all(&mut self, records: &[Record]) -> bool {
        let mark = self.journal.mark();
        let added = records.iter().all(|record| self.journal.add(record));
        if !added {
            self.journal.go_back(mark);
        }
        added
    }

    fn add_acks(&mut self, batch: &mut Batch) -> Result<(), Fatal> {
        while let Some(Ack { ids, nodes }) = self.acks.pop_front() {
            let records = [Record::Delete(ids, nodes)];
            let added = self.add(&records, batch.is_empty())?;
            let [Record::Delete(ids, nodes)] = records else { continue };
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

    /// Adds that nothing is left of nodes.
    fn add_drops(&mut self, batch: &mut Batch) -> Result<(), Fatal> {
        while let Some((token, node)) = self.next_emptied() {
            if !self.add(&[Record::Drop(node)], batch.is_empty())? {
                return Ok(());
            }
            self.drops.retain(|dropping| dropping.token() != token);
            batch.dropped.push(token);
        }
        Ok(())
    }

    fn write(&mut self, now: Duration, batch: Batch) -> Result<(), Fatal> {
        if !batch.edits.is_empty() {
            self.registry.commit(batch.edits.iter())?;
            self.edits += 1;
        }
        self.totals.written += self.journal.batched().next_multiple_of(BLOCK) as u64;
        let epoch = self.journal.write().map_err(Fatal::Journal)?;
        self.totals.committed += batch.posts.len() as u64;
        self.totals.acked += batch.acks.iter().map(|ack| ack.ids.len() as u64).sum::<u64>();
        self.totals.edits += batch.edits.len() as u64;
        for post in batch.posts {
            self.last_id = self.last_id.max(post.id);
            self.usage.add(epoch);
            self.note_posted(epoch, &post);
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
        self.done.extend(batch.dropped.into_iter().map(SpoolDone::Dropped));
        for (token, node) in batch.recalls {
            self.recall(token, node);
        }
        self.findings.extend(batch.finds);
        Ok(())
    }

    /// Has a node's posts recalled; those committed just now are known by now.
    fn recall(&mut self, token: u64, node: NodeId) {
        let recent = self.recent.of(node);
        match self.names.get(node.user) {
            Some(name) => {
                let path = spool::posted_path(name, node).into();
                self.jobs.push_back(Job::Recall { token, node, path, recent });
            }
            None => self.done.push_back(SpoolDone::Recalled(token, node, recent)),
        }
    }

    /// Writes the acks that wait, before a clean stop, and that this is the end.
    pub fn finish(&mut self, now: Duration) -> Result<(), Fatal> {
        let end = now + ACK_HOLD;
        self.space.trust(end);
        while self.commit(end)? {}
        if self.journal.active().is_some() && self.journal.add(&Record::End) {
            self.journal.write().map_err(Fatal::Journal)?;
        }
        Ok(())
    }
}
