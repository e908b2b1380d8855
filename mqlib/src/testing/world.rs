//! The world: a broker, a store on a simulated disk, clients, and time, all moved by one seed.
//!
//! Between the parts lie queues, as between the threads of the real server; which one moves next is
//! chance, so every order that threads could have is met sooner or later.

mod acts;
mod operator;

use super::client::{Client, NODES, USERS, key, user};
use super::disk::SimDisk;
use super::history::{History, NodeRef, PostRef, Violation};
use super::{Mutation, Report};
use crate::broker::{Broker, Input, LinkId, Output};
use crate::directory::{Credential, Edit, User};
use crate::disk::Disk;
use crate::id::MessageId;
use crate::limits::{Limits, Retention};
use crate::node::{NodeId, UserId};
use crate::now::Now;
use crate::quit::Quit;
use crate::registry::Birth;
use crate::reply::Reply;
use crate::spool::{self, Job, JobDone};
use crate::store::{SpoolDone, SpoolOp, Store, StoreConfig};
use acts::post_of;
use operator::Operator;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use rustix::io::Errno;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

const LARGE: usize = 4096;
const STEPS: usize = 600;
/// Steps that a healthy world needs at most to come to rest.
const REST: usize = 20_000;
/// Posts after the last fault, while queues of earlier lives are emptied.
const POSTS: u64 = 60;

/// A running server: what a crash takes away.
struct Server {
    broker: Broker,
    store: Store,
    disk: SimDisk,
    /// From the broker to the store.
    ops: VecDeque<SpoolOp>,
    /// From the store to the broker.
    done: VecDeque<SpoolDone>,
    jobs: Vec<Job>,
    jobs_done: VecDeque<JobDone>,
    /// Which post a large body is of, by token and then by number.
    staging: HashMap<u64, u64>,
    staged: HashMap<u64, u64>,
    /// Copies under way: token, from, to, what waited.
    copying: HashMap<LinkId, (NodeId, NodeId, Vec<MessageId>)>,
}

pub(super) struct World {
    rng: Xoshiro256PlusPlus,
    mutation: Mutation,
    disk: SimDisk,
    server: Option<Server>,
    clients: Vec<Client>,
    history: History,
    now: Now,
    links: u64,
    posts: u64,
    /// For whom each post is by name, and for whom it was handed to the store.
    meant: HashMap<u64, Vec<NodeId>>,
    stored: HashMap<u64, Vec<NodeId>>,
    full: u64,
    /// Who posted each post, by its number.
    senders: Vec<NodeRef>,
    crashes: u64,
    /// Links that their clients have left, unknown to the server, and what they had received.
    ghosts: Vec<(LinkId, Vec<MessageId>)>,
    /// Those that were taken over, and are about to end.
    taken_over: Vec<LinkId>,
    takeovers: u64,
    /// Nodes that are being dropped, each with its heir, by the token of the operation.
    dropping: HashMap<u64, (NodeId, Option<NodeId>)>,
    operator: Operator,
    /// Which client each node is.
    owners: HashMap<NodeId, usize>,
    dropped: u64,
    /// How long what nobody fetches is kept.
    retention: Retention,
    /// No more faults: the world comes to rest,
    calm: bool,
    /// after so many posts more.
    posts_left: u64,
}

impl World {
    pub(super) fn new(seed: u64, mutation: Mutation) -> Self {
        let disk = SimDisk::new(seed);
        disk.set_lie_about_sync(mutation == Mutation::DropSync);
        Self {
            rng: Xoshiro256PlusPlus::seed_from_u64(seed),
            mutation,
            disk,
            server: None,
            clients: (0..USERS * NODES).map(|_| Client::default()).collect(),
            history: History::of_reposts(),
            now: Now { mono: Duration::ZERO, wall: 1_700_000_000_000 },
            links: 0,
            posts: 0,
            meant: HashMap::new(),
            stored: HashMap::new(),
            full: 0,
            senders: Vec::new(),
            crashes: 0,
            ghosts: Vec::new(),
            taken_over: Vec::new(),
            takeovers: 0,
            dropping: HashMap::new(),
            operator: Operator::default(),
            owners: HashMap::new(),
            dropped: 0,
            retention: Retention { every: Duration::from_secs(5), ..Retention::default() },
            calm: false,
            posts_left: POSTS,
        }
    }

    pub(super) fn run(mut self) -> Result<Report, Violation> {
        if self.chance(30) {
            // A jump of the clock is a long absence.
            let some = |seconds| Some(Duration::from_secs(seconds));
            self.retention.warn_after = some(10);
            self.retention.drop_after = some(20);
            self.retention.message_max_age = some(15);
        }
        self.start()?;
        for _ in 0..STEPS {
            self.step()?;
        }
        self.come_to_rest()?;
        Ok(Report {
            acked: self.history.counts().acked,
            delivered: self.history.counts().deliveries,
            crashes: self.crashes,
            takeovers: self.takeovers,
            full: self.full,
            dropped: self.dropped,
            deleted: self.operator.deleted(),
            purged: self.operator.purged,
            bounced: self.operator.bounced(),
        })
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.rng.random_range(0..100) < percent
    }

    /// Starts the server; it may crash while it does.
    fn start(&mut self) -> Result<(), Violation> {
        let config = StoreConfig {
            segments: 4,
            segment_len: 64 << 10,
            batch_max: 8 << 10,
            linger: Duration::from_millis(self.rng.random_range(0..3) * 100),
            backlog: 40,
            min_free: 1,
            listing: 5,
        };
        // Queues that are often full, and queues that grow long.
        let queue_messages = if self.chance(50) { 12 } else { 1000 };
        loop {
            let disk = self.disk.mount();
            let birth = Birth { salt: [1; 32], tag: 7 };
            // A disk that lies can make the database panic; that is found out, too.
            let open = || Store::open(&disk, config.clone(), birth);
            let opened = match self.mutation {
                Mutation::DropSync => std::panic::catch_unwind(std::panic::AssertUnwindSafe(open))
                    .map_err(|_| Violation::Closed("panic".into()))?,
                _ => open(),
            };
            match opened {
                Ok((store, opened)) => {
                    self.history.crashed(Some(opened.last_id));
                    let limits = Limits {
                        large: LARGE,
                        warm: 2000,
                        pending: 6,
                        flying: 3000,
                        queue_messages,
                        queue_bytes: u64::from(queue_messages) << 11,
                        unwritten: 1500,
                        retention: self.retention,
                        ..Limits::default()
                    };
                    let broker = Broker::new(limits, opened);
                    self.check_directory(&broker)?;
                    self.owners.clear();
                    for (id, user) in broker.directory().users() {
                        self.learn_owners(id, user);
                    }
                    self.server = Some(Server {
                        broker,
                        store,
                        disk,
                        ops: VecDeque::new(),
                        done: VecDeque::new(),
                        jobs: Vec::new(),
                        jobs_done: VecDeque::new(),
                        staging: HashMap::new(),
                        staged: HashMap::new(),
                        copying: HashMap::new(),
                    });
                    return Ok(());
                }
                Err(_) if self.disk.is_down() => self.disk.crash(&mut self.rng),
                Err(error) => return Err(Violation::Closed(error.to_string())),
            }
        }
    }

    /// The server goes down, by power cut or by kill.
    fn crash(&mut self) -> Result<(), Violation> {
        self.crashes += 1;
        self.server = None;
        self.ghosts.clear();
        self.taken_over.clear();
        // Whether they are gone the directory says: if so, the next life goes on.
        self.dropping.clear();
        self.operator.crashed();
        for client in &mut self.clients {
            client.disconnected();
        }
        if self.disk.is_down() || self.chance(60) {
            self.disk.crash(&mut self.rng);
        } else {
            self.disk.kill();
        }
        if !self.calm && self.chance(10) {
            let after = self.rng.random_range(1..30);
            self.disk.crash_at(after);
        }
        self.start()
    }

    /// Remembers which client each node of a user's is, as its key tells. One that was dropped just now
    /// is nobody's.
    fn learn_owners(&mut self, id: UserId, user: &User) {
        for node in &user.nodes {
            let owner = usize::from(node.key.0[0]);
            self.owners.insert(NodeId { user: id, offset: node.offset }, owner);
        }
        for &offset in &user.dropped {
            let node = NodeId { user: id, offset };
            if let Some(number) = self.owners.remove(&node) {
                self.loses_node(number, node);
            }
        }
    }

    /// Whatever the server confirmed it still knows.
    fn check_directory(&self, broker: &Broker) -> Result<(), Violation> {
        self.check_operated(broker.directory())?;
        for (number, client) in self.clients.iter().enumerate() {
            let (name, node) = (user(number / NODES), number % NODES);
            let Credential::Key(key) = key(number / NODES, node) else { continue };
            let directory = broker.directory();
            let known = directory.user_id(&name).and_then(|id| directory.node(id, &key));
            if client.confirmed && known.is_none() {
                return Err(Violation::Forgotten(format!("node {node} of {name}")));
            }
        }
        Ok(())
    }

    fn step(&mut self) -> Result<(), Violation> {
        match self.rng.random_range(0..1020) {
            0..350 => self.client_acts(),
            350..560 => self.move_store()?,
            560..700 => self.move_job()?,
            700..900 => self.move_done()?,
            900..960 => self.pass_time(),
            960..970 => {
                let jump = self.rng.random_range(0..u64::from(u32::MAX));
                self.now.wall = 1_650_000_000_000 + jump * 30;
            }
            970..972 => {
                let after = self.rng.random_range(1..60);
                self.disk.crash_at(after);
            }
            972..975 => self.crash()?,
            975..977 => {
                let after = self.rng.random_range(0..20);
                let error = if self.chance(50) { Errno::IO } else { Errno::NOSPC };
                self.disk.fail_next(None, after, error);
            }
            977..980 => self.disk.set_full(true),
            980..995 => self.disk.set_full(false),
            995..998 => self.end_ghost(),
            998..1000 => self.stop()?,
            _ => self.operator_acts(),
        }
        self.poll()
    }

    fn now(&self) -> Now {
        self.now
    }

    fn handle(&mut self, input: Input) {
        let now = self.now();
        if let Some(server) = &mut self.server {
            server.broker.handle(now, input);
        }
    }

    fn pass_time(&mut self) {
        let millis = match self.rng.random_range(0..10) {
            0 => 11_000,
            1..4 => 300,
            _ => 20,
        };
        self.now.mono += Duration::from_millis(millis);
        self.now.wall += millis;
        let now = self.now;
        if let Some(server) = &mut self.server {
            server.broker.handle_timeout(now);
        }
    }

    /// The store takes what is in its mailbox, and commits.
    fn move_store(&mut self) -> Result<(), Violation> {
        let now = self.now.mono;
        let Some(server) = &mut self.server else { return Ok(()) };
        let ops = self.rng.random_range(0..=server.ops.len());
        for op in server.ops.drain(..ops) {
            server.store.submit(now, op);
        }
        if server.store.next_timeout().is_some_and(|at| at <= now) {
            server.store.handle_timeout(now);
        }
        let result = server.store.commit(now).map(drop);
        if server.ops.is_empty() && server.store.is_acked() && result.is_ok() {
            self.history.deletes_are_durable();
        }
        self.after(result.is_ok())
    }

    fn move_job(&mut self) -> Result<(), Violation> {
        let Some(server) = &mut self.server else { return Ok(()) };
        if !server.jobs.is_empty() {
            let chosen = self.rng.random_range(0..server.jobs.len());
            let done = match server.jobs.swap_remove(chosen) {
                Job::Empty { token, .. } if self.mutation == Mutation::KeepQueues => {
                    JobDone::Emptied(token, Ok(()))
                }
                job => job.run(&server.disk, &mut |_| ()),
            };
            server.jobs_done.push_back(done);
        }
        if self.disk.is_down() { self.after(false) } else { Ok(()) }
    }

    fn move_done(&mut self) -> Result<(), Violation> {
        let now = self.now();
        let Some(server) = &mut self.server else { return Ok(()) };
        let mut healthy = true;
        if let Some(done) = server.jobs_done.pop_front() {
            healthy = server.store.job_done(now.mono, done).is_ok();
        }
        let count = self.rng.random_range(0..=server.done.len());
        for done in server.done.drain(..count).collect::<Vec<_>>() {
            if let SpoolDone::Staged(token, Ok(copies)) = &done
                && let Some(post) = server.staging.remove(token)
            {
                server.staged.extend(copies.iter().map(|copy| (copy.number(), post)));
            }
            if let SpoolDone::Dropped(token) = &done
                && let Some((node, heir)) = self.dropping.remove(token)
            {
                self.dropped += 1;
                self.history.dropped(node.into(), heir.map(Into::into));
                let name = server.broker.directory().user(node.user).map(|user| &*user.name);
                let name = name.unwrap_or_default();
                let left = server.disk.list(&spool::directory(name, node)).unwrap_or_default();
                let posted = server.disk.exists(&spool::posted_path(name, node));
                if !left.is_empty() || posted.unwrap_or(false) {
                    return Err(Violation::Stuck(format!("{left:?} stays of {node:?}")));
                }
            }
            server.broker.handle(now, Input::Spool(done));
        }
        self.after(healthy)
    }

    /// Moves what came out of the store; a store that failed ends the server.
    fn after(&mut self, healthy: bool) -> Result<(), Violation> {
        let Some(server) = &mut self.server else { return Ok(()) };
        let early = self.mutation == Mutation::AckBeforeCommit;
        let mut durable = Vec::new();
        while let Some(mut done) = server.store.poll_done() {
            if let SpoolDone::Refused(id, _) = &done {
                self.history.not_stored(*id);
            }
            if let SpoolDone::Committed(id) = &done {
                durable.push(*id);
            }
            if let SpoolDone::Recalled(_, _, posts) = &mut done
                && self.mutation == Mutation::ForgetPosts
            {
                posts.clear();
            }
            if !(early && matches!(done, SpoolDone::Committed(_) | SpoolDone::Refused(..))) {
                server.done.push_back(done);
            }
        }
        while let Some(job) = server.store.poll_job() {
            server.jobs.push(job);
        }
        durable.into_iter().for_each(|id| self.committed(id));
        if healthy && !self.disk.is_down() {
            return Ok(());
        }
        let now = self.now;
        if let Some(server) = &mut self.server {
            server.broker.abandon(now);
        }
        self.poll()?;
        self.crash()
    }

    /// A clean stop, and a start.
    fn stop(&mut self) -> Result<(), Violation> {
        let now = self.now.mono;
        let Some(server) = &mut self.server else { return Ok(()) };
        for op in server.ops.drain(..) {
            server.store.submit(now, op);
        }
        if server.store.finish(now).is_ok() && server.store.is_acked() {
            self.history.deletes_are_durable();
        }
        // Its poster will not hear of it.
        while let Some(done) = server.store.poll_done() {
            if let SpoolDone::Refused(id, _) = done {
                self.history.not_stored(id);
            }
        }
        self.crash()
    }

    /// Carries what comes out of the broker.
    fn poll(&mut self) -> Result<(), Violation> {
        while let Some(server) = &mut self.server
            && let Some(output) = server.broker.poll()
        {
            match output {
                Output::Spool(op) => self.spool(op)?,
                Output::Send(link, message) => self.receive(link, &message)?,
                Output::Deliver(link, delivery) => self.receive(link, &delivery.to_bytes())?,
                Output::Close(link, Quit::TakenOver) => {
                    self.takeovers += 1;
                    self.taken_over.push(link);
                }
                Output::Close(link, _) => {
                    let client = self.clients.iter_mut().find(|client| client.link == Some(link));
                    if let Some(client) = client {
                        client.disconnected();
                    }
                    self.handle(Input::Closed(link));
                }
                Output::Mark(link, bytes) => self.handle(Input::Written(link, bytes)),
                Output::Operated(number, result) => self.operated(number, result),
                Output::Settled(..) | Output::Trouble(_) => {}
            }
        }
        Ok(())
    }

    fn spool(&mut self, mut op: SpoolOp) -> Result<(), Violation> {
        let recipients = match &op {
            SpoolOp::Commit(post) => post.nodes.clone(),
            _ => Vec::new(),
        };
        if let SpoolOp::Commit(post) = &mut op {
            self.committing_bounce(post)?;
            self.posts(post.id, post.origin.user);
        }
        let Some(server) = &mut self.server else { return Ok(()) };
        match &op {
            SpoolOp::Stage(token, body, ..) => {
                server.staging.extend(post_of(body).map(|post| (*token, post)));
            }
            SpoolOp::Commit(post) => {
                let number = match &post.content {
                    spool::Content::Whole(message) => {
                        Reply::parse(message).ok().and_then(|reply| post_of(&reply.body))
                    }
                    spool::Content::Staged(staged) => server.staged.remove(&staged.number),
                };
                let stored = number.map(|number| self.stored.entry(number).or_default());
                stored.into_iter().for_each(|nodes| nodes.extend(&post.nodes));
                let post_ref = number.and_then(|number| post_ref(&self.senders, number));
                let nodes: Vec<_> = recipients.iter().map(|&node| node.into()).collect();
                self.history.committing(post_ref, post.id, &nodes, post.to_one);
                if self.mutation == Mutation::AckBeforeCommit {
                    server.done.push_back(SpoolDone::Committed(post.id));
                }
            }
            SpoolOp::Edit(_, edits) => {
                for edit in edits {
                    if let Edit::User(id, user) = edit {
                        self.learn_owners(*id, user);
                    }
                }
            }
            SpoolOp::Drop(token, node, heir) => {
                self.dropping.insert(*token, (*node, *heir));
                match heir {
                    Some(heir) => self.history.dropping((*node).into(), (*heir).into()),
                    None => self.removing_all(*node)?,
                }
            }
            SpoolOp::Copy(_, _, to) => self.history.copying((*to).into()),
            SpoolOp::Delete(ids, nodes) => {
                self.removing(ids, nodes)?;
                for id in ids {
                    for node in nodes {
                        self.history.deleting((*node).into(), *id);
                    }
                }
            }
            _ => {}
        }
        if let Some(server) = &mut self.server {
            server.ops.push_back(op);
        }
        self.history.verdict()
    }

    /// Faults stop, everyone comes and acks: then nothing may wait any more, nor be lost.
    fn come_to_rest(&mut self) -> Result<(), Violation> {
        self.calm = true;
        self.disk.set_full(false);
        self.crash()?;
        for _ in 0..REST {
            self.client_acts();
            self.put_right(true);
            self.poll()?;
            match self.rng.random_range(0..4) {
                0 => self.move_store()?,
                1 => self.move_job()?,
                2 => self.move_done()?,
                _ => self.pass_time(),
            }
            self.poll()?;
            if self.is_at_rest() {
                break;
            }
        }
        if !self.is_at_rest() {
            return Err(Violation::Stuck(self.unrest()));
        }
        self.history.settle();
        self.history.verdict()?;
        let counted = self.server.as_ref().map(|server| server.broker.counted());
        if let Some(counted) = counted.filter(|counted| !counted.is_empty()) {
            return Err(Violation::Miscounted(counted));
        }
        self.check_spool()
    }

    fn is_at_rest(&self) -> bool {
        let Some(server) = &self.server else { return false };
        let clients_rest = self.clients.iter().all(|client| {
            client.logged_in && client.received.is_empty() && client.reposts.is_empty()
        });
        clients_rest
            && self.operator.rests()
            && server.ops.is_empty()
            && server.done.is_empty()
            && server.jobs.is_empty()
            && server.jobs_done.is_empty()
            && server.broker.is_settled()
            && server.broker.is_drained()
            && server.store.is_settled()
    }

    fn unrest(&self) -> String {
        let Some(server) = &self.server else { return "no server".into() };
        let away = self.clients.iter().filter(|client| !client.logged_in).count();
        let received: usize = self.clients.iter().map(|client| client.received.len()).sum();
        format!(
            "{away} clients away, {received} unacked, {} ops, {} answers, jobs {:?}, broker settled \
             {}, drained but for {}, store settled {} with {} unfiled",
            server.ops.len(),
            server.done.len(),
            server.jobs,
            server.broker.is_settled(),
            server.broker.undrained(),
            server.store.is_settled(),
            server.store.unfiled(),
        )
    }

    /// Every queue is empty on disk, too.
    fn check_spool(&self) -> Result<(), Violation> {
        let list = |path: &str| {
            self.disk.list(path).map_err(|error| Violation::Stuck(format!("{path}: {error}")))
        };
        for directory in list(spool::ROOT)? {
            let directory = format!("{}/{directory}", spool::ROOT);
            if directory == spool::STAGED {
                continue;
            }
            if let Some(file) = list(&directory)?.first() {
                return Err(Violation::Stuck(format!("{directory}/{file} stays")));
            }
        }
        Ok(())
    }
}

/// The post of that number.
fn post_ref(senders: &[NodeRef], number: u64) -> Option<PostRef> {
    let index = usize::try_from(number.checked_sub(1)?).ok()?;
    Some(PostRef { from: *senders.get(index)?, seq: number })
}
