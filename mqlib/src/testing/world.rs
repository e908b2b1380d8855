//! The world: a broker, a store on a simulated disk, clients, and time, all moved by one seed.
//!
//! Between the parts lie queues, as between the threads of the real server; which one moves next is
//! chance, so every order that threads could have is met sooner or later.

use super::client::{Client, NODES, USERS, key, user};
use super::disk::SimDisk;
use super::history::{History, Violation};
use super::{Mutation, Report};
use crate::broker::{Asked, Broker, Input, LinkId, Output};
use crate::directory::Credential;
use crate::disk::Disk;
use crate::fanout;
use crate::id::MessageId;
use crate::limits::Limits;
use crate::node::NodeId;
use crate::now::Now;
use crate::registry::Birth;
use crate::reply::Reply;
use crate::request::{Content, Incoming, Kind, NodeName, Op, Request};
use crate::spool::{self, Job, JobDone};
use crate::store::{SpoolDone, SpoolOp, Store, StoreConfig};
use bytes::Bytes;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use rustix::io::Errno;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

const LARGE: usize = 4096;
const STEPS: usize = 600;
/// Steps that a healthy world needs at most to come to rest.
const REST: usize = 20_000;

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
    crashes: u64,
    /// No more faults: the world comes to rest.
    calm: bool,
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
            history: History::default(),
            now: Now { mono: Duration::ZERO, wall: 1_700_000_000_000 },
            links: 0,
            posts: 0,
            crashes: 0,
            calm: false,
        }
    }

    pub(super) fn run(mut self) -> Result<Report, Violation> {
        self.start()?;
        for _ in 0..STEPS {
            self.step()?;
        }
        self.come_to_rest()?;
        Ok(Report {
            acked: self.history.acked_posts(),
            delivered: self.history.deliveries,
            crashes: self.crashes,
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
            large: LARGE,
            linger: Duration::from_millis(self.rng.random_range(0..3) * 100),
            backlog: 40,
            listing: 5,
        };
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
                    self.history.crashed(opened.last_id);
                    let limits = Limits {
                        large: LARGE,
                        warm: 2000,
                        pending: 6,
                        kept: 1000,
                        ..Limits::default()
                    };
                    let broker = Broker::new(limits, opened);
                    self.check_directory(&broker)?;
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

    /// Whatever the server confirmed it still knows.
    fn check_directory(&self, broker: &Broker) -> Result<(), Violation> {
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
        match self.rng.random_range(0..1000) {
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
            980..998 => self.disk.set_full(false),
            _ => self.stop()?,
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
            let done = server.jobs.swap_remove(chosen).run(&server.disk);
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
            server.broker.handle(now, Input::Spool(done));
        }
        self.after(healthy)
    }

    /// Moves what came out of the store; a store that failed ends the server.
    fn after(&mut self, healthy: bool) -> Result<(), Violation> {
        let Some(server) = &mut self.server else { return Ok(()) };
        let early = self.mutation == Mutation::AckBeforeCommit;
        while let Some(done) = server.store.poll_done() {
            if !(early && matches!(done, SpoolDone::Committed(_) | SpoolDone::Refused(..))) {
                server.done.push_back(done);
            }
        }
        while let Some(job) = server.store.poll_job() {
            server.jobs.push(job);
        }
        if healthy && !self.disk.is_down() {
            return Ok(());
        }
        let now = self.now;
        server.broker.abandon(now);
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
        self.crash()
    }

    /// Carries what comes out of the broker.
    fn poll(&mut self) -> Result<(), Violation> {
        while let Some(server) = &mut self.server
            && let Some(output) = server.broker.poll()
        {
            match output {
                Output::Spool(op) => self.spool(op)?,
                Output::Send(link, message) | Output::SendAgain(link, message) => {
                    self.receive(link, &message)?;
                }
                Output::Close(link, _) => {
                    let client = self.clients.iter_mut().find(|client| client.link == Some(link));
                    if let Some(client) = client {
                        client.disconnected();
                    }
                    self.handle(Input::Closed(link));
                }
                Output::Settled(..) | Output::Trouble(_) => {}
            }
        }
        Ok(())
    }

    fn spool(&mut self, op: SpoolOp) -> Result<(), Violation> {
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
                self.history.committing(number, post.id, &post.nodes, post.to_one)?;
                if self.mutation == Mutation::AckBeforeCommit {
                    server.done.push_back(SpoolDone::Committed(post.id));
                }
            }
            SpoolOp::Copy(_, _, to) => self.history.copying(*to),
            SpoolOp::Delete(id, nodes) => {
                for node in nodes {
                    self.history.deleting(*node, *id);
                }
            }
            _ => {}
        }
        server.ops.push_back(op);
        Ok(())
    }

    /// A client gets a message.
    fn receive(&mut self, link: LinkId, message: &Bytes) -> Result<(), Violation> {
        let number = self.clients.iter().position(|client| client.link == Some(link));
        let Some(number) = number else { return Ok(()) };
        let node = self.node_id(number);
        let client = &mut self.clients[number];
        let Ok(reply) = Reply::parse(message) else {
            return Err(Violation::Corrupted { id: MessageId::ZERO });
        };
        let queued = reply.from.is_some();
        match (reply.op.as_str(), node) {
            (_, Some(node)) if queued => {
                let id = reply.id.as_deref().and_then(|id| id.parse().ok());
                let id = id.ok_or(Violation::Corrupted { id: MessageId::ZERO })?;
                if reply.op == "deliver" && !is_intact(&reply.body) {
                    return Err(Violation::Corrupted { id });
                }
                client.received.push(id);
                self.history.delivered(node, id)?;
            }
            ("registered", _) => {
                client.asking = false;
                client.confirmed |= reply.error.is_none();
            }
            ("added", _) => {
                client.asking = false;
                client.confirmed |= reply.offset.is_some();
                let server = self.server.as_mut();
                if let Some((from, to, waiting)) =
                    server.and_then(|server| server.copying.remove(&link))
                {
                    self.history.copied(from, to, &waiting);
                }
            }
            ("info", _) => {
                client.asking = false;
                client.logged_in = true;
            }
            ("ack", _) if reply.kind.as_deref() == Some("ok") => {
                if let Some(post) = reply.id.and_then(|id| id.parse().ok()) {
                    self.history.acked(post);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The node that a client is, if the server knows it.
    fn node_id(&self, number: usize) -> Option<NodeId> {
        let directory = self.server.as_ref()?.broker.directory();
        let Credential::Key(key) = key(number / NODES, number % NODES) else { return None };
        directory.node(directory.user_id(&user(number / NODES))?, &key)
    }

    fn client_acts(&mut self) {
        let number = self.rng.random_range(0..self.clients.len());
        let client = &self.clients[number];
        match (client.link, client.logged_in, client.asking) {
            (None, ..) => self.connect(number),
            (Some(_), false, false) => self.introduce(number),
            (Some(_), false, true) => {}
            (Some(link), true, _) => match self.rng.random_range(0..20) {
                0..9 => self.post(number, link),
                9..17 => self.ack(number, link),
                // What waits would be copied, again and again.
                _ if self.calm => {}
                17 => self.edit_list(number, link),
                18 => self.add_node(number, link),
                _ => {
                    self.clients[number].disconnected();
                    self.handle(Input::Closed(link));
                }
            },
        }
    }

    fn connect(&mut self, number: usize) {
        self.links += 1;
        let link = LinkId(self.links);
        self.clients[number].link = Some(link);
        self.handle(Input::Opened(link, self.now.mono));
    }

    /// Registers, adds the node, or logs in, whichever is next.
    fn introduce(&mut self, number: usize) {
        let Some(link) = self.clients[number].link else { return };
        let (owner, node) = (number / NODES, number % NODES);
        let name = user(owner);
        let none = || NodeName::new(String::new());
        self.clients[number].asking = true;
        // It may exist although the answer was lost.
        if self.clients[number].confirmed || self.node_id(number).is_some() {
            let request = Request::Login { user: name, node: none() };
            return self.ask(link, Op::Login, request, Credential::Empty, key(owner, node));
        }
        if node == 0 {
            let aliases = format!("alias{owner}");
            let request = Request::Register { user: name, new_node: none(), aliases };
            return self.ask(link, Op::Register, request, key(owner, 0), Credential::Empty);
        }
        self.add(number, link, owner, node);
    }

    fn add(&mut self, number: usize, link: LinkId, owner: usize, node: usize) {
        let none = || NodeName::new(String::new());
        let request = Request::AddNode { user: user(owner), new_node: none(), prev_node: none() };
        let from = match self.clients[number].logged_in {
            true => self.node_id(number),
            false => self.node_id(owner * NODES),
        };
        let waiting_before = from;
        self.ask(link, Op::AddNode, request, key(owner, node), key(owner, 0));
        let to = self.node_id(owner * NODES + node);
        if let (Some(from), Some(to), Some(server)) = (waiting_before, to, &mut self.server)
            && from != to
        {
            let waiting = self.history.waiting_for(from);
            server.copying.insert(link, (from, to, waiting));
        }
    }

    fn add_node(&mut self, number: usize, link: LinkId) {
        // The answers to two would be mistaken for each other.
        if std::mem::replace(&mut self.clients[number].asking, true) {
            return;
        }
        let node = self.rng.random_range(1..NODES);
        self.add(number, link, number / NODES, node);
    }

    fn ask(&mut self, link: LinkId, op: Op, request: Request, new: Credential, node: Credential) {
        let incoming = Incoming { op, request: Ok(request) };
        self.handle(Input::Request(link, Asked { incoming, new_node: new, node }));
    }

    fn post(&mut self, number: usize, link: LinkId) {
        if self.calm {
            return;
        }
        self.posts += 1;
        let size = match self.rng.random_range(0..20) {
            0 => LARGE + 100,
            1..4 => 2500,
            _ => self.rng.random_range(0..200),
        };
        let body = body(self.posts, size);
        let mut to = Vec::new();
        for _ in 0..self.rng.random_range(1..3) {
            let kind = match self.rng.random_range(0..10) {
                0..2 => Kind::OneNode,
                2..8 => Kind::AllNodes,
                8 => Kind::List,
                _ => Kind::ListAndSender,
            };
            let name = match kind {
                Kind::OneNode | Kind::AllNodes => user(self.rng.random_range(0..USERS)),
                Kind::List | Kind::ListAndSender => "list".to_owned(),
            };
            if !to.iter().any(|(other, _)| *other == name) {
                to.push((name, kind));
            }
        }
        debug_assert!(self.fans_out(number, &to));
        let content = Content { etc: None, body };
        let request =
            Request::Post { id: self.posts.to_string(), to, no_nodes: self.chance(10), content };
        self.ask(link, Op::Post, request, Credential::Empty, Credential::Empty);
    }

    /// No fan-out names a node that the directory does not know.
    fn fans_out(&self, number: usize, to: &[(String, Kind)]) -> bool {
        let (Some(server), Some(own)) = (&self.server, self.node_id(number)) else { return true };
        let directory = server.broker.directory();
        let fanout = fanout::fanout(directory, own, to, false);
        let known = |node: &NodeId| directory.nodes(node.user).any(|known| known == *node);
        fanout.nodes.iter().chain(fanout.to_one.iter().flatten()).all(known)
    }

    fn edit_list(&mut self, number: usize, link: LinkId) {
        if self.calm {
            return;
        }
        let edit = ["add", "add", "invite", "remove"][self.rng.random_range(0..4)];
        let other = self.rng.random_range(0..USERS);
        let member = if edit == "invite" { format!("alias{other}") } else { user(other) };
        self.posts += 1;
        let content = Content { etc: None, body: body(self.posts, 10) };
        let request = Request::ListEdit {
            id: self.posts.to_string(),
            list: "list".into(),
            edit: edit.into(),
            member,
            content,
        };
        let _ = number;
        self.ask(link, Op::ListEdit, request, Credential::Empty, Credential::Empty);
    }

    fn ack(&mut self, number: usize, link: LinkId) {
        let Some(id) = self.clients[number].received.pop() else { return };
        if let Some(node) = self.node_id(number) {
            self.history.client_acked(node, id);
        }
        let request = Request::Ack { id: Some(id), ok: true };
        self.ask(link, Op::Ack, request, Credential::Empty, Credential::Empty);
    }

    /// Faults stop, everyone comes and acks: then nothing may wait any more, nor be lost.
    fn come_to_rest(&mut self) -> Result<(), Violation> {
        self.calm = true;
        self.disk.set_full(false);
        self.crash()?;
        for _ in 0..REST {
            self.client_acts();
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
        self.history.check()?;
        self.check_spool()
    }

    fn is_at_rest(&self) -> bool {
        let Some(server) = &self.server else { return false };
        let clients_rest =
            self.clients.iter().all(|client| client.logged_in && client.received.is_empty());
        clients_rest
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

/// A body that says which post it is of, and can be checked.
fn body(post: u64, size: usize) -> Bytes {
    let mut body = format!("{post:08} {size:08} ").into_bytes();
    body.extend((0..size).map(|at| (at as u64 * 31 + post) as u8));
    body.into()
}

fn post_of(body: &[u8]) -> Option<u64> {
    std::str::from_utf8(body.get(..8)?).ok()?.parse().ok()
}

fn is_intact(bytes: &[u8]) -> bool {
    let size = bytes.get(9..17).and_then(|size| std::str::from_utf8(size).ok()?.parse().ok());
    match (post_of(bytes), size) {
        (Some(post), Some(size)) => body(post, size) == bytes,
        _ => false,
    }
}
