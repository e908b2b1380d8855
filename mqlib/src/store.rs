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

mod backup;
mod commit;
mod config;
mod dropping;
mod filing;
mod finding;
mod holds;
mod index;
mod listing;
mod look;
mod measuring;
mod op;
mod recent;
mod salvage;
mod space;
mod stats;
#[cfg(all(test, feature = "testing"))]
mod tests;
mod usage;

pub use backup::{RestoreError, Snapshot, restore};
pub use config::StoreConfig;
pub use look::Unfiled;
pub use op::{Fatal, OpenError, Refusal, SpoolDone, SpoolOp, StagedBody};
pub use stats::{State, Totals};

use crate::by_user::ByUser;
use crate::directory::{Directory, Edit};
use crate::disk::Disk;
use crate::id::MessageId;
use crate::journal::{self, Damage, Epoch, Journal, Post, Record, Replayed};
use crate::node::NodeId;
use crate::posted;
use crate::registry::{Birth, Registry};
use crate::spool::{self, Content, Job, Remember, Wanted};
use backup::BackingUp;
use dropping::Dropping;
use finding::Finding;
use holds::Holds;
use index::{Entry, Index};
use listing::{Deleting, Listing};
use measuring::Measuring;
use recent::Recent;
use space::Space;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;
use usage::Usage;

/// How long acks wait for a batch to ride in before they make one of their own.
const ACK_HOLD: Duration = Duration::from_millis(10);
/// So many acks make a batch of their own at once: about a block of the journal.
const ACKS_HELD: usize = 64;
/// How long a job waits to be done again when the disk was full.
const RETRY: Duration = Duration::from_secs(1);
/// Messages read by one job.
const READS_PER_JOB: usize = 32;
/// Messages filed by one job.
const FILES_PER_JOB: usize = 32;
/// Jobs that file, given out at once.
const FILING_JOBS: usize = 16;

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
    /// What was found damaged, and set aside where it held anything: sentences for the operator.
    pub damage: Vec<String>,
}

/// Nodes have acked messages.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Ack {
    ids: Vec<MessageId>,
    nodes: Vec<NodeId>,
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
    names: ByUser<Arc<str>>,
    index: Index,
    usage: Usage,
    deleting: Deleting,
    /// What must be durable in the order submitted.
    ordered: VecDeque<SpoolOp>,
    /// Who waits for the acks that wait.
    settles: Vec<u64>,
    /// Acks for the next batch.
    acks: VecDeque<Ack>,
    /// How many messages they are about.
    acked: usize,
    acks_since: Option<Duration>,
    /// The journal is full until its oldest segment is freed.
    blocked: bool,
    listings: HashMap<u64, Listing>,
    copies: Vec<Copying>,
    /// Nodes that are dropped, in the order asked for.
    drops: Vec<Dropping>,
    measuring: HashMap<u64, Measuring>,
    backup: Option<BackingUp>,
    /// Commits of the directory in this life.
    edits: u64,
    /// Queues that are to be looked through, and have to wait.
    findings: Vec<Finding>,
    holds: Holds,
    /// What nodes have posted.
    recent: Recent,
    space: Space,
    filing_jobs: usize,
    /// Files to be written again, once the disk has room.
    refile: Vec<MessageId>,
    retry: Vec<Job>,
    retry_at: Option<Duration>,
    last_id: MessageId,
    /// The last that an earlier life may have left in the journal.
    recovered_to: MessageId,
    next_staged: u64,
    totals: Totals,
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
        Self::open_with(disk, config, birth, Journal::open)
    }

    fn open_with(
        disk: &dyn Disk,
        config: StoreConfig,
        birth: Birth,
        open: impl FnOnce(&dyn Disk, usize, u64, u32) -> Result<(Journal, Replayed), journal::OpenError>,
    ) -> Result<(Self, Opened), OpenError> {
        const DIRECTORIES: [&str; 4] = ["journal", spool::ROOT, spool::STAGED, posted::ROOT];
        // First a look, so that a store that is refused is left as it was.
        let mut missing = Vec::new();
        for path in DIRECTORIES {
            match disk.list(path) {
                Err(error) if error.kind() == ErrorKind::NotFound => missing.push(path),
                listed => drop(listed.map_err(|error| OpenError::Io(path, error))?),
            }
        }
        for path in missing {
            disk.create_dir(path).map_err(|error| OpenError::Io(path, error))?;
        }
        for path in [spool::ROOT, "."] {
            disk.sync_path(path).map_err(|error| OpenError::Io(path, error))?;
        }
        let nonce = u32::from_le_bytes(birth.salt[..4].try_into().unwrap_or_default());
        let (journal, replayed) = open(disk, config.segments, config.segment_len, nonce)?;
        let last_id = replayed.last_id;
        let (registry, directory, birth) = Registry::open(disk, birth)?;
        let mut names = ByUser::default();
        for (id, user) in directory.users().chain(directory.leaving()) {
            names.insert(id, user.name.clone());
        }
        let mut store = Self {
            config,
            journal,
            registry,
            names,
            index: Index::default(),
            usage: Usage::default(),
            deleting: Deleting::default(),
            ordered: VecDeque::new(),
            settles: Vec::new(),
            acks: VecDeque::new(),
            acked: 0,
            acks_since: None,
            blocked: false,
            listings: HashMap::new(),
            copies: Vec::new(),
            drops: Vec::new(),
            measuring: HashMap::new(),
            backup: None,
            edits: 0,
            findings: Vec::new(),
            holds: Holds::default(),
            recent: Recent::default(),
            space: Space::default(),
            filing_jobs: 0,
            refile: Vec::new(),
            retry: Vec::new(),
            retry_at: None,
            last_id,
            recovered_to: last_id,
            next_staged: 0,
            totals: Totals::default(),
            jobs: VecDeque::new(),
            done: VecDeque::new(),
        };
        let mut damage = replayed.harmless;
        for damaged in replayed.damage {
            damage.push(set_aside(disk, &damaged)?);
        }
        store.recover(replayed.records);
        store.recover_staged(disk).map_err(|error| OpenError::Io(spool::STAGED, error))?;
        let recovered = store.index.live();
        store.file(Duration::ZERO);
        Ok((store, Opened { directory, birth, last_id, recovered, damage }))
    }

    /// Takes up the journal where a crash left it: what was acked is unlinked again, the rest is
    /// as if it were committed a moment ago.
    fn recover(&mut self, records: Vec<(Epoch, Record)>) {
        let mut unlinks: BTreeMap<NodeId, Vec<(MessageId, Epoch)>> = BTreeMap::new();
        // The messages of one post, until the last of them is found.
        let mut together: Vec<Post> = Vec::new();
        let mut last = None;
        for (epoch, record) in records {
            self.usage.begin(epoch);
            if last.replace(epoch) != Some(epoch) {
                // A crash tore the rest off, and nobody was told of these.
                self.give_up(&mut together);
            }
            match record {
                Record::Post(post) if post.goes_on => together.push(post),
                Record::Post(post) => {
                    for post in together.drain(..).chain([post]) {
                        self.usage.add(epoch);
                        self.note_posted(epoch, &post);
                        let entry = Entry::new(post, epoch, Duration::ZERO, true);
                        // Also of one that is acked: its file is removed some time soon.
                        self.next_staged =
                            entry.staged().map_or(0, |number| number + 1).max(self.next_staged);
                        self.index.push(entry);
                    }
                }
                Record::Delete(ids, nodes) => {
                    for (id, node) in each(&ids, &nodes) {
                        if self.deleting.insert(node, id) {
                            self.usage.add(epoch);
                            unlinks.entry(node).or_default().push((id, epoch));
                        }
                        self.forget(id, node);
                    }
                }
                Record::Drop(node) => {
                    for (id, epoch) in unlinks.remove(&node).into_iter().flatten() {
                        self.deleting.remove(node, id);
                        self.usage.done(epoch);
                    }
                    self.void(node, true);
                    self.recent.forget(node);
                }
                Record::End => {}
            }
        }
        self.give_up(&mut together);
        for (node, ids) in unlinks {
            self.unlink(node, ids);
        }
        if let Some(last) = last {
            self.recent.close(last);
        }
        self.remember();
        self.index.pop_settled();
        // Of segments in which nothing was committed, or only for nodes that are no more, nobody else
        // tells.
        self.free();
    }

    /// Forgets messages of a post that was not committed whole.
    fn give_up(&mut self, together: &mut Vec<Post>) {
        for post in together.drain(..) {
            if let Content::Staged(staged) = post.content {
                self.next_staged = self.next_staged.max(staged.number + 1);
            }
        }
    }

    /// Remembers that a post was committed, if its poster may repeat it.
    fn note_posted(&mut self, epoch: Epoch, post: &Post) {
        if let Some(key) = post.key.filter(|_| !post.goes_on)
            && self.recent.add(epoch, post.origin, (key, post.id))
        {
            self.usage.add(epoch);
        }
    }

    /// Has the posts of a full use of the journal put into files.
    fn remember(&mut self) {
        let Some((epoch, posts)) = self.recent.leave() else { return };
        let names = &self.names;
        let nodes = posts.into_iter().filter_map(|(node, next, entries)| {
            let path = spool::posted_path(names.get(node.user)?, node).into();
            Some(Remember { node, path, next, entries })
        });
        self.jobs.push_back(Job::Remember { epoch, nodes: nodes.collect() });
    }

    /// Removes large bodies that no record names: their posts were never acked.
    fn recover_staged(&mut self, disk: &dyn Disk) -> io::Result<()> {
        let needed: Vec<u64> = self.index.iter().filter_map(Entry::staged).collect();
        let found: Vec<u64> =
            disk.list(spool::STAGED)?.iter().filter_map(|name| name.parse().ok()).collect();
        self.next_staged = found.iter().max().map_or(0, |max| max + 1).max(self.next_staged);
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
            SpoolOp::Edit(..)
            | SpoolOp::Commit(_)
            | SpoolOp::Copy(..)
            | SpoolOp::Drop(..)
            | SpoolOp::Recall(..)
            | SpoolOp::Find(..) => self.ordered.push_back(op),
            SpoolOp::Settle(token) => self.settles.push(token),
            SpoolOp::Delete(ids, nodes) => self.delete(now, Ack { ids, nodes }),
            SpoolOp::List(token, node, after) => self.list(token, node, after),
            SpoolOp::Read(node, id, to_one) => self.read(node, id, to_one),
            SpoolOp::Glance(token, node, wanted, headers, others) => {
                self.glance(token, node, wanted, headers, &others);
            }
            SpoolOp::FindOlder(before) => self.jobs.push_back(Job::FindOlder(before)),
            SpoolOp::Measure(token, up_to, nodes, dropped) => {
                self.measure(token, up_to, nodes, dropped);
            }
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

    fn delete(&mut self, now: Duration, ack: Ack) {
        for (id, node) in each(&ack.ids, &ack.nodes) {
            for listing in self.listings.values_mut() {
                listing.delete(node, id);
            }
            if self.index.get(id).is_none_or(Entry::may_be_filed) {
                self.deleting.insert(node, id);
            }
            self.forget(id, node);
        }
        self.index.pop_settled();
        self.acks_since.get_or_insert(now);
        self.acked += ack.ids.len();
        self.acks.push_back(ack);
        self.free();
    }

    /// The node no longer waits for the message, unless it is being filed right now.
    fn forget(&mut self, id: MessageId, node: NodeId) {
        let Some(entry) = self.index.get_mut(id).filter(|entry| !entry.is_filing()) else { return };
        entry.forget(node);
        if entry.nodes().is_empty() {
            let (epoch, staged) = (entry.epoch, entry.staged());
            self.index.settle(id);
            self.usage.done(epoch);
            self.jobs.extend(staged.map(|number| Job::Unstage(vec![number])));
        }
    }

    fn list(&mut self, token: u64, node: NodeId, after: MessageId) {
        let Some(directory) = self.directory(node) else {
            self.done.push_back(SpoolDone::Listed(token, node, Vec::new(), None, 0));
            return;
        };
        let waits = |entry: &&Entry| entry.id > after && entry.waits_for(node);
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
        let wanted = Wanted { id, to_one, staged, refused: 0 };
        match self.jobs.back_mut() {
            Some(Job::Read { node: same, wanted: others, .. })
                if *same == node && others.len() < READS_PER_JOB =>
            {
                others.push(wanted);
            }
            _ => self.jobs.push_back(Job::Read { node, directory, wanted: vec![wanted] }),
        }
    }

    fn learn_names(&mut self, edits: &[Edit]) {
        for edit in edits {
            match edit {
                Edit::User(id, user) => self.names.insert(*id, user.name.clone()),
                Edit::NoUser(id) => self.names.remove(*id),
                Edit::Member(..) | Edit::Invitation(..) => {}
            }
        }
    }

    fn directory(&self, node: NodeId) -> Option<Arc<str>> {
        let name = self.names.get(node.user)?;
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
            self.drop_nodes();
        }
        self.look_for_space(now, false);
        self.file(now);
    }

    /// Takes other sizes and times from now on; those of the journal are for the next
    /// [`open`](Self::open).
    pub fn configure(&mut self, now: Duration, config: StoreConfig) {
        self.index.hasten(now + config.linger);
        self.config = config;
    }

    /// When something is to be done next without being asked.
    pub fn next_timeout(&self) -> Option<Duration> {
        let acks = self.acks_since.filter(|_| !self.blocked).map(|since| since + ACK_HOLD);
        let files = (self.filing_jobs < FILING_JOBS && self.retry_at.is_none())
            .then(|| self.index.next_due())
            .flatten();
        [acks, files, self.retry_at, self.space.next_look()].into_iter().flatten().min()
    }

    /// The next job for a worker.
    pub fn poll_job(&mut self) -> Option<Job> {
        self.jobs.pop_front()
    }

    /// The next answer for the broker.
    pub fn poll_done(&mut self) -> Option<SpoolDone> {
        self.done.pop_front()
    }

    /// Is all that was submitted durable, and everything done that follows from it?
    pub fn is_settled(&self) -> bool {
        self.ordered.is_empty()
            && self.settles.is_empty()
            && self.acks.is_empty()
            && self.listings.is_empty()
            && self.copies.is_empty()
            && self.drops.is_empty()
            && self.findings.is_empty()
            && self.holds.is_empty()
            && self.index.live() == 0
            && self.deleting.is_empty()
            && self.recent.is_settled()
    }

    /// Are all acks that were submitted durable?
    pub fn is_acked(&self) -> bool {
        self.acks.is_empty()
    }

    /// How many messages wait here, not yet filed, counted for each node.
    pub fn unfiled(&self) -> usize {
        self.index.iter().map(|entry| entry.nodes().len()).sum()
    }
}

/// Keeps damaged bytes of the journal, before their segment is used again.
fn set_aside(disk: &dyn Disk, damage: &Damage) -> Result<String, OpenError> {
    let Damage { epoch, offset, bytes, records } = damage;
    let path = format!("{}/journal.{epoch}.{offset}", spool::QUARANTINE);
    let text = damage.to_string();
    match spool::keep(disk, &path, bytes, &text) {
        Ok(()) => Ok(format!("{text}; they are in {path}")),
        // It was most likely never acked: no reason to serve nobody.
        Err(error) if records.is_none() && spool::is_full(&error) => {
            Ok(format!("{text}; they cannot be kept: {error}"))
        }
        Err(error) => Err(OpenError::Io(spool::QUARANTINE, error)),
    }
}

/// Every message with every node.
fn each(ids: &[MessageId], nodes: &[NodeId]) -> impl Iterator<Item = (MessageId, NodeId)> {
    ids.iter().flat_map(|id| nodes.iter().map(|node| (*id, *node)))
}
