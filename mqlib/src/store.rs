//! The store: makes messages durable, and keeps them until they are acked.
//!
//! The broker hands in a [`SpoolOp`] and later gets a [`SpoolDone`]; it never waits, and knows
//! nothing of journal, files or disks. The store is driven by one thread, which writes: it takes
//! what was submitted meanwhile into one batch ([`Store::commit`]), durable when the call returns,
//! and gives out [`Job`]s for worker threads, who do the rest off the commit path.
//!
//! A message's way: committed to the journal; held in memory for a moment (`linger`), in which most
//! are acked and gone; else filed in the spool, and forgotten here. Acks ride along in the next
//! batch; the file, if there is one, goes afterwards. A full segment of the journal whose messages
//! are all acked or filed is freed, behind a sync of the whole file system if any file was touched.

mod index;
mod listing;
mod usage;

use crate::directory::{Directory, Edit};
use crate::disk::Disk;
use crate::id::MessageId;
use crate::journal::{self, Epoch, Journal, Post, Record};
use crate::node::{NodeId, UserId};
use crate::registry::{Birth, Registry, RegistryError};
use crate::spool::{self, Content, FileJob, Job, JobDone, Staged};
use bytes::Bytes;
use index::{Entry, Index};
use listing::{Deleting, Listing};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;
use usage::Usage;

/// What the broker asks of the store.
#[derive(Debug)]
pub enum SpoolOp {
    /// Make changes of the directory durable. Answered by `Edited`; what is submitted later is not
    /// durable earlier.
    Edit(u64, Vec<Edit>),
    /// Make a message durable, for all its nodes or none. Answered by `Committed` or `Refused`, in
    /// the order submitted; ids increase.
    Commit(Post),
    /// These nodes have acked a message. Not answered.
    Delete(MessageId, Vec<NodeId>),
    /// What waits for a node, later than an id, oldest first. Answered by `Listed`.
    List(u64, NodeId, MessageId),
    /// A message that waits for a node; is it for one node only? Answered by `Loaded`.
    Read(NodeId, MessageId, bool),
    /// Give the second node all that waits for the first, durably. Answered by `Copied`.
    Copy(u64, NodeId, NodeId),
    /// Take a large body, in so many copies, behind a header of so many bytes. Answered by `Staged`.
    Stage(u64, Bytes, usize, usize),
    /// These large bodies are not needed.
    Unstage(Vec<u64>),
    /// The node went offline with nothing waiting.
    Tidy(NodeId),
}

/// What the store answers.
#[derive(Debug)]
pub enum SpoolDone {
    /// The changes are durable.
    Edited(u64),
    /// The message is durable, behind all that were committed before.
    Committed(MessageId),
    /// The message was not taken; the sender may try again.
    Refused(MessageId, Refusal),
    /// What waits for a node, each with whether it is for one node only. If there is more behind,
    /// the id up to which this is all.
    Listed(u64, NodeId, Vec<(MessageId, bool)>, Option<MessageId>),
    /// A message; `None` if it is no longer there, or damaged.
    Loaded(NodeId, MessageId, Option<Bytes>),
    /// The node has all that the other has.
    Copied(u64),
    /// The copies of a large body: number, length, checksum.
    Staged(u64, Result<Vec<StagedBody>, Refusal>),
    /// The operator should know. Nothing to be done by the broker.
    Trouble(String),
}

/// A large body on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StagedBody {
    number: u64,
    len: u64,
    crc: u32,
}

impl StagedBody {
    /// The content of the message that begins with `header`.
    pub fn content(self, header: Bytes) -> Content {
        Content::Staged(Staged {
            number: self.number,
            body_len: self.len,
            body_crc: self.crc,
            header,
        })
    }

    /// The number, to give a copy back that is not needed.
    pub fn number(self) -> u64 {
        self.number
    }
}

/// Why a message was not taken. Told to the client, who tries again later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No room for files. The store takes messages again when there is.
    #[error("storage failure: disk full")]
    DiskFull,
    /// The disk refused a file.
    #[error("storage failure")]
    Disk,
}

/// An error after which nothing may be acked: the server exits, and a restart recovers.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    /// The journal could not be written.
    #[error("the journal could not be written: {0}")]
    Journal(#[source] io::Error),
    /// The directory could not be written.
    #[error("the directory could not be written: {0}")]
    Registry(#[from] RegistryError),
    /// The spool could not be written.
    #[error("the spool could not be written: {0}")]
    Spool(#[source] io::Error),
}

/// Why a store cannot be opened. Nothing of it was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The journal is damaged, newer, or refused by the disk.
    #[error(transparent)]
    Journal(#[from] journal::OpenError),
    /// So is the directory.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The disk refused.
    #[error("{0}: {1}")]
    Io(&'static str, #[source] io::Error),
}

/// Sizes and times of a store.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// Segments of the journal; at least 2.
    pub segments: usize,
    /// Length of a segment in bytes, a multiple of 4096 that holds a message of `large` bytes.
    pub segment_len: u64,
    /// A batch is not extended beyond this many bytes.
    pub batch_max: usize,
    /// A message of more bytes than this goes past the journal, into its file directly.
    pub large: usize,
    /// How long a message may wait for its acks before it is filed.
    pub linger: Duration,
    /// How many messages may wait to be filed; beyond, posters wait.
    pub backlog: usize,
    /// How many messages a listing gives at most.
    pub listing: usize,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            segments: 4,
            segment_len: 32 << 20,
            batch_max: 4 << 20,
            large: 512 << 10,
            linger: Duration::from_millis(100),
            backlog: 10_000,
            listing: 65_536,
        }
    }
}

/// How long acks wait for a batch to ride in before they make one of their own.
const ACK_HOLD: Duration = Duration::from_millis(10);
/// So many acks make a batch of their own at once: about a block of the journal.
const ACKS_HELD: usize = 64;
/// How long a job waits to be done again when the disk was full.
const RETRY: Duration = Duration::from_secs(1);
/// Messages filed by one job.
const FILES_PER_JOB: usize = 32;
/// Jobs that file, given out at once.
const FILING_JOBS: usize = 4;

/// What a store was found to hold when it was opened.
#[derive(Debug)]
pub struct Opened {
    /// Users and lists.
    pub directory: Directory,
    /// What distinguishes this store.
    pub birth: Birth,
    /// No id in the store is larger.
    pub last_id: MessageId,
    /// Messages that a crash left in the journal only.
    pub recovered: usize,
}

struct Copying {
    token: u64,
    from: NodeId,
    to: NodeId,
    last: MessageId,
}

/// The store.
pub struct Store {
    config: StoreConfig,
    journal: Journal,
    registry: Registry,
    names: HashMap<UserId, Arc<str>>,
    index: Index,
    usage: Usage,
    deleting: Deleting,
    /// What must be durable in the order submitted.
    ordered: VecDeque<SpoolOp>,
    /// Acks for the next batch.
    acks: VecDeque<(MessageId, Vec<NodeId>)>,
    acks_since: Option<Duration>,
    /// The journal is full until its oldest segment is freed.
    blocked: bool,
    listings: HashMap<u64, Listing>,
    copies: Vec<Copying>,
    filing_jobs: usize,
    /// Files to be written again, once the disk has room.
    refile: Vec<MessageId>,
    retry: Vec<Job>,
    retry_at: Option<Duration>,
    last_id: MessageId,
    next_staged: u64,
    jobs: VecDeque<Job>,
    done: VecDeque<SpoolDone>,
}

impl Store {
    /// Opens the store on `disk`, or makes one, and takes up what a crash left in the journal.
    /// Messages can be committed at once; what has to be filed again is done by [`Job`]s.
    pub fn open(
        disk: &dyn Disk,
        config: StoreConfig,
        birth: Birth,
    ) -> Result<(Self, Opened), OpenError> {
        for path in ["journal", spool::ROOT, spool::STAGED] {
            match disk.create_dir(path) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                    return Err(OpenError::Io(path, error));
                }
                _ => {}
            }
        }
        for path in [spool::ROOT, "."] {
            disk.sync_path(path).map_err(|error| OpenError::Io(path, error))?;
        }
        let (journal, records, last_id) = Journal::open(disk, config.segments, config.segment_len)?;
        let (registry, directory, birth) = Registry::open(disk, birth)?;
        let names = directory.users().map(|(id, user)| (id, user.name.clone())).collect();
        let mut store = Self {
            config,
            journal,
            registry,
            names,
            index: Index::default(),
            usage: Usage::default(),
            deleting: Deleting::default(),
            ordered: VecDeque::new(),
            acks: VecDeque::new(),
            acks_since: None,
            blocked: false,
            listings: HashMap::new(),
            copies: Vec::new(),
            filing_jobs: 0,
            refile: Vec::new(),
            retry: Vec::new(),
            retry_at: None,
            last_id,
            next_staged: 0,
            jobs: VecDeque::new(),
            done: VecDeque::new(),
        };
        store.recover(records);
        store.recover_staged(disk).map_err(|error| OpenError::Io(spool::STAGED, error))?;
        let recovered = store.index.live();
        store.file(Duration::ZERO);
        Ok((store, Opened { directory, birth, last_id, recovered }))
    }

    /// Takes up the journal where a crash left it: what was acked is unlinked again, the rest is
    /// as if it were committed a moment ago.
    fn recover(&mut self, records: Vec<(Epoch, Record)>) {
        let mut unlinks: BTreeMap<NodeId, Vec<(MessageId, Epoch)>> = BTreeMap::new();
        for (epoch, record) in records {
            self.usage.begin(epoch);
            match record {
                Record::Post(post) => {
                    self.usage.add(epoch);
                    self.index.push(Entry::new(post, epoch, Duration::ZERO, true));
                }
                Record::Delete(id, nodes) => {
                    for node in nodes {
                        if self.deleting.insert(node, id) {
                            self.usage.add(epoch);
                            unlinks.entry(node).or_default().push((id, epoch));
                        }
                        self.forget(id, node);
                    }
                }
            }
        }
        for (node, ids) in unlinks {
            self.unlink(node, ids);
        }
        self.index.pop_settled();
    }

    /// Removes large bodies that no record names: their posts were never acked.
    fn recover_staged(&mut self, disk: &dyn Disk) -> io::Result<()> {
        let needed: Vec<u64> = self.index.iter().filter_map(Entry::staged).collect();
        let found: Vec<u64> =
            disk.list(spool::STAGED)?.iter().filter_map(|name| name.parse().ok()).collect();
        self.next_staged = found.iter().chain(&needed).max().map_or(0, |max| max + 1);
        let unneeded: Vec<u64> =
            found.into_iter().filter(|number| !needed.contains(number)).collect();
        if !unneeded.is_empty() {
            self.jobs.push_back(Job::Unstage(unneeded));
        }
        Ok(())
    }

    /// Takes an operation. What it needs is done by [`commit`](Self::commit) and by jobs.
    pub fn submit(&mut self, now: Duration, op: SpoolOp) {
        match op {
            SpoolOp::Edit(..) | SpoolOp::Commit(_) | SpoolOp::Copy(..) => {
                self.ordered.push_back(op)
            }
            SpoolOp::Delete(id, nodes) => self.delete(now, id, nodes),
            SpoolOp::List(token, node, after) => self.list(token, node, after),
            SpoolOp::Read(node, id, to_one) => self.read(node, id, to_one),
            SpoolOp::Stage(token, body, header_len, copies) => {
                let first = self.next_staged;
                self.next_staged += copies as u64;
                let numbers = (first..self.next_staged).collect();
                self.jobs.push_back(Job::Stage { token, numbers, header_len, body });
            }
            SpoolOp::Unstage(numbers) => self.jobs.push_back(Job::Unstage(numbers)),
            SpoolOp::Tidy(node) => {
                if let Some(directory) = self.directory(node) {
                    self.jobs.push_back(Job::Tidy(directory));
                }
            }
        }
    }

    /// Makes one batch of what was submitted durable. `true` if there is more that can be
    /// committed right away.
    ///
    /// # Errors
    /// Final: the caller ends the server, and nothing more is asked of this store.
    pub fn commit(&mut self, now: Duration) -> Result<bool, Fatal> {
        let mut batch = Batch::default();
        let posts = self.ordered.iter().any(|op| matches!(op, SpoolOp::Commit(_)));
        let acks_due = self.acks_since.is_some_and(|since| now >= since + ACK_HOLD);
        if posts || acks_due || self.acks.len() >= ACKS_HELD {
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
        while let Some((id, nodes)) = self.acks.pop_front() {
            let record = Record::Delete(id, nodes);
            let added = self.add(&record, batch.is_empty())?;
            let Record::Delete(id, nodes) = record else { continue };
            if !added {
                self.acks.push_front((id, nodes));
                return Ok(());
            }
            batch.acks.push((id, nodes));
        }
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
        for (id, nodes) in batch.acks {
            for node in nodes {
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

    fn delete(&mut self, now: Duration, id: MessageId, nodes: Vec<NodeId>) {
        let may_be_filed = self.index.get(id).is_none_or(|entry| entry.may_be_filed());
        for &node in &nodes {
            for listing in self.listings.values_mut() {
                listing.delete(node, id);
            }
            if may_be_filed {
                self.deleting.insert(node, id);
            }
            self.forget(id, node);
        }
        self.index.pop_settled();
        self.acks_since.get_or_insert(now);
        self.acks.push_back((id, nodes));
        self.free();
    }

    /// The node no longer waits for the message, unless it is being filed right now.
    fn forget(&mut self, id: MessageId, node: NodeId) {
        let Some(entry) = self.index.get_mut(id).filter(|entry| !entry.is_filing()) else { return };
        entry.nodes.retain(|waiting| *waiting != node);
        if entry.nodes.is_empty() {
            let (epoch, staged) = (entry.epoch, entry.staged());
            self.index.settle(id);
            self.usage.done(epoch);
            self.jobs.extend(staged.map(|number| Job::Unstage(vec![number])));
        }
    }

    fn unlink(&mut self, node: NodeId, ids: Vec<(MessageId, Epoch)>) {
        match self.directory(node) {
            Some(directory) => self.jobs.push_back(Job::Unlink { node, directory, ids }),
            // A user that is gone has no directory either.
            None => self.unlinked(node, ids),
        }
    }

    fn unlinked(&mut self, node: NodeId, ids: Vec<(MessageId, Epoch)>) {
        for (id, epoch) in ids {
            self.deleting.remove(node, id);
            self.usage.touch(epoch);
            self.usage.done(epoch);
        }
        self.free();
    }

    fn list(&mut self, token: u64, node: NodeId, after: MessageId) {
        let Some(directory) = self.directory(node) else {
            self.done.push_back(SpoolDone::Listed(token, node, Vec::new(), None));
            return;
        };
        let waits = |entry: &&Entry| entry.id > after && entry.nodes.contains(&node);
        let unfiled = self.index.iter().filter(waits).map(|entry| (entry.id, entry.to_one));
        let listing = Listing::new(node, unfiled.collect(), self.deleting.of(node));
        self.listings.insert(token, listing);
        let max = self.config.listing;
        self.jobs.push_back(Job::List { token, directory, after, max });
    }

    fn read(&mut self, node: NodeId, id: MessageId, to_one: bool) {
        let staged = match self.index.get(id).map(|entry| &entry.content) {
            Some(Content::Whole(message)) => {
                let message = Some(message.clone());
                return self.done.push_back(SpoolDone::Loaded(node, id, message));
            }
            Some(Content::Staged(staged)) => Some(staged.clone()),
            None => None,
        };
        let Some(directory) = self.directory(node) else {
            return self.done.push_back(SpoolDone::Loaded(node, id, None));
        };
        let path = spool::path(&directory, id, to_one);
        self.jobs.push_back(Job::Read { node, id, path, staged });
    }

    /// Gives out files to be written: what has waited long enough, all if something waits for it.
    fn file(&mut self, now: Duration) {
        let urgent = !self.copies.is_empty()
            || self.index.live() * 2 > self.config.backlog
            || self.usage.is_short_of(self.config.segments);
        while self.filing_jobs < FILING_JOBS && self.retry_at.is_none() {
            let mut batch = Vec::new();
            while batch.len() < FILES_PER_JOB {
                let Some(entry) = self.index.next_to_file(now, urgent) else { break };
                let names = &self.names;
                let directory = |node: &NodeId| {
                    names.get(&node.user).map(|name| spool::directory(name, *node).into())
                };
                batch.push(FileJob {
                    id: entry.id,
                    to_one: entry.to_one,
                    content: entry.content.clone(),
                    directories: entry.nodes.iter().filter_map(directory).collect(),
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

    fn copy(&mut self) {
        let mut waiting = Vec::new();
        for copying in std::mem::take(&mut self.copies) {
            let unfiled = |entry: &Entry| entry.id <= copying.last && entry.waits_for(copying.from);
            let ends = (self.directory(copying.from), self.directory(copying.to));
            match ends {
                (Some(from), Some(to)) if !self.index.iter().any(unfiled) => {
                    let except = self.deleting.of(copying.from);
                    self.jobs.push_back(Job::Copy { token: copying.token, from, to, except });
                }
                (Some(_), Some(_)) => waiting.push(copying),
                _ => self.done.push_back(SpoolDone::Copied(copying.token)),
            }
        }
        self.copies = waiting;
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
            JobDone::Again(job, error) => {
                let text = format!("a file operation is tried again: {error}");
                self.done.push_back(SpoolDone::Trouble(text));
                self.retry_at.get_or_insert(now + RETRY);
                self.retry.push(job);
            }
            JobDone::Listed(token, result) => {
                let (found, more) = result.map_err(Fatal::Spool)?;
                if let Some(listing) = self.listings.remove(&token) {
                    let node = listing.node;
                    let (found, end) = listing.merge(found, more, self.config.listing);
                    self.done.push_back(SpoolDone::Listed(token, node, found, end));
                }
            }
            JobDone::Read(node, id, result) => {
                let message = result.unwrap_or_else(|error| {
                    let text = match error.kind() {
                        ErrorKind::InvalidData => {
                            format!("message {id} is {error}; its file is in {}", spool::QUARANTINE)
                        }
                        _ => format!("message {id} cannot be read: {error}"),
                    };
                    self.done.push_back(SpoolDone::Trouble(text));
                    None
                });
                self.done.push_back(SpoolDone::Loaded(node, id, message));
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
                result.map_err(Fatal::Spool)?;
                self.done.push_back(SpoolDone::Copied(token));
            }
            JobDone::Checkpointed(epoch, result) => {
                result.map_err(Fatal::Spool)?;
                self.journal.free(epoch);
                self.usage.end(epoch);
                self.blocked = false;
                self.free();
            }
            JobDone::Nothing => {}
        }
        self.file(now);
        self.copy();
        Ok(())
    }

    fn filed(&mut self, now: Duration, id: MessageId, result: io::Result<()>) -> Result<(), Fatal> {
        match result {
            Ok(()) => {
                let Some(entry) = self.index.settle(id) else { return Ok(()) };
                self.usage.touch(entry.epoch);
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
                Ok(())
            }
            Err(error) => Err(Fatal::Spool(error)),
        }
    }

    /// Frees the oldest uses of the journal that nothing needs.
    fn free(&mut self) {
        while let Some(oldest) = self.journal.oldest() {
            if self.journal.active() == Some(oldest) {
                return;
            }
            match self.usage.end_if_settled(oldest) {
                usage::Settled::No => return,
                usage::Settled::Untouched => {
                    self.journal.free(oldest);
                    self.blocked = false;
                }
                usage::Settled::Touched(staged) => {
                    return self.jobs.push_back(Job::Checkpoint { epoch: oldest, staged });
                }
            }
        }
    }

    fn learn_names(&mut self, edits: &[Edit]) {
        for edit in edits {
            if let Edit::User(id, user) = edit {
                self.names.entry(*id).or_insert_with(|| user.name.clone());
            }
        }
    }

    fn directory(&self, node: NodeId) -> Option<Arc<str>> {
        let name = self.names.get(&node.user)?;
        Some(spool::directory(name, node).into())
    }

    /// What is to be done at a time: call it when [`next_timeout`](Self::next_timeout) has passed,
    /// and [`commit`](Self::commit) after it.
    pub fn handle_timeout(&mut self, now: Duration) {
        if self.retry_at.is_some_and(|at| now >= at) {
            self.retry_at = None;
            for id in std::mem::take(&mut self.refile) {
                self.index.file_again(id);
            }
            self.jobs.extend(std::mem::take(&mut self.retry));
        }
        self.file(now);
    }

    /// When something is to be done next without being asked.
    pub fn next_timeout(&self) -> Option<Duration> {
        let acks = self.acks_since.filter(|_| !self.blocked).map(|since| since + ACK_HOLD);
        let files = (self.filing_jobs < FILING_JOBS && self.retry_at.is_none())
            .then(|| self.index.next_due())
            .flatten();
        [acks, files, self.retry_at].into_iter().flatten().min()
    }

    /// The next job for a worker.
    pub fn poll_job(&mut self) -> Option<Job> {
        self.jobs.pop_front()
    }

    /// The next answer for the broker.
    pub fn poll_done(&mut self) -> Option<SpoolDone> {
        self.done.pop_front()
    }

    /// Writes the acks that wait, before a clean stop.
    pub fn finish(&mut self, now: Duration) -> Result<(), Fatal> {
        while self.commit(now + ACK_HOLD)? {}
        Ok(())
    }

    /// Is all that was submitted durable, and everything done that follows from it?
    pub fn is_settled(&self) -> bool {
        self.ordered.is_empty()
            && self.acks.is_empty()
            && self.listings.is_empty()
            && self.copies.is_empty()
            && self.index.live() == 0
            && self.deleting.is_empty()
    }

    /// Are all acks that were submitted durable?
    pub fn is_acked(&self) -> bool {
        self.acks.is_empty()
    }

    /// How many messages wait here, not yet filed, counted for each node.
    pub fn unfiled(&self) -> usize {
        self.index.iter().map(|entry| entry.nodes.len()).sum()
    }
}

#[derive(Default)]
struct Batch {
    edits: Vec<Edit>,
    posts: Vec<Post>,
    acks: Vec<(MessageId, Vec<NodeId>)>,
    done: Vec<SpoolDone>,
}

impl Batch {
    /// Has it nothing for the journal?
    fn is_empty(&self) -> bool {
        self.posts.is_empty() && self.acks.is_empty()
    }
}
