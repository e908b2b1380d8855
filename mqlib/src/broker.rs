//! The broker: the whole of the queue's behaviour, without a socket, a disk, a thread or a clock.
//!
//! One owner drives it. Things that happen go in ([`Broker::handle`]), what is to be done comes out
//! ([`Broker::poll`]), and the time is an argument. So the same code runs on tokio, and in a
//! simulation where a seed decides everything.
//!
//! A post's way: a link's request is checked against what the link may do; its recipients become
//! nodes; the message gets its id and goes to the store ([`SpoolOp::Commit`]). Only when the store
//! says it is durable does it enter the queues of the nodes that are online, and only then is the
//! poster answered. A node that is offline has no state here, but for how much was posted to it. An
//! ack of a node's goes to the store as a delete, and the node's next message goes out.

mod accounts;
mod answer;
mod bounces;
mod clearing;
mod drops;
mod input;
mod lists;
mod operate;
mod output;
mod pace;
mod posts;
mod reposts;
mod rounds;
mod session;
mod status;
mod tally;
#[cfg(all(test, feature = "testing"))]
mod tests;
mod totals;

pub use input::{Asked, Input, LinkId, Names};
pub use output::Output;
pub use totals::{Totals, Why};

use crate::directory::{Credential, Directory};
use crate::failed::Failed;
use crate::id::{IdSource, MessageId};
use crate::limits::Limits;
use crate::node::{NodeId, UserId};
use crate::now::{Dates, Now};
use crate::posted::PostKey;
use crate::queue::{Owners, Queue};
use crate::quit::Quit;
use crate::reply::{self, AckError};
use crate::request::{Incoming, Op, Request, Version};
use crate::spool::Amount;
use crate::store::{Opened, Refusal, SpoolDone, SpoolOp};
use accounts::NewNode;
use answer::Answer;
use bytes::Bytes;
use clearing::Clearings;
pub use operate::{OperateError, Operated, Operation};
use pace::Pace;
use posts::{Committing, Staging};
use reposts::Posted;
use rounds::Rounds;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};
use std::time::Duration;
use tally::Tally;

/// How much longer a link may wait for a request of its that is on its way here.
const ASKING: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct Link {
    node: Option<NodeId>,
    version: Version,
    /// A request is under way whose answer goes before all later ones; these wait.
    busy: bool,
    waiting: VecDeque<Result<Asked, Quit>>,
    settled: usize,
    /// A request of its is on its way here.
    asking: bool,
    closing: bool,
}

/// An online node.
#[derive(Debug)]
struct Session {
    link: LinkId,
    version: Version,
    queue: Queue,
    /// The listing that counts.
    listing: u64,
    /// What makes its acks durable.
    settling: u64,
    /// The login is answered when the first listing tells what waits.
    unwelcomed: bool,
    /// When the retry timer is set to go off.
    retry_at: Option<Duration>,
    posted: Posted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Login(LinkId),
    Retry(NodeId),
    /// A bounce was refused.
    Clear(u64),
    Round,
    Save,
    Overdue,
}

/// Counts for the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Connections.
    pub links: usize,
    /// Nodes that are logged in.
    pub online: usize,
    /// Users.
    pub users: usize,
    /// Nodes of all users.
    pub nodes: usize,
    /// Lists.
    pub lists: usize,
}

/// The broker.
#[derive(Debug)]
pub struct Broker {
    limits: Limits,
    directory: Directory,
    ids: IdSource,
    dates: Dates,
    links: HashMap<LinkId, Link>,
    sessions: HashMap<NodeId, Session>,
    owners: Owners,
    tally: Tally,
    pace: Pace,
    committing: VecDeque<Committing>,
    staging: HashMap<u64, Staging>,
    answers: HashMap<u64, Answer>,
    clearings: Clearings,
    /// Users that the operator has deleted in this life, and the numbers of the operations.
    deleting: BTreeMap<UserId, u64>,
    rounds: Rounds,
    timers: BinaryHeap<Reverse<(Duration, Timer)>>,
    token: u64,
    /// Who waits for a status until it is known what waits for its nodes.
    asking_status: Vec<(LinkId, String)>,
    /// The disk is full: the directory is not changed.
    full: bool,
    /// Nodes of which nothing is left, and whose offsets are not free yet for that.
    gone: Vec<NodeId>,
    unsettled: Vec<LinkId>,
    /// When what is being handled was read, or now.
    read: Duration,
    totals: Totals,
    out: VecDeque<Output>,
}

impl Broker {
    /// The broker of a store that was just opened.
    pub fn new(limits: Limits, opened: Opened) -> Self {
        let mut directory = opened.directory;
        directory.limit(limits.accounts);
        // It may be of a message that a crash has undone; what a user posts comes after it all the same.
        let since = directory.users().filter_map(|(_, user)| user.since.as_deref().copied()).max();
        let since = since.unwrap_or(MessageId::ZERO);
        let mut broker = Self {
            limits,
            directory,
            ids: IdSource::new(opened.birth.tag, opened.last_id.max(since)),
            dates: Dates::default(),
            links: HashMap::new(),
            sessions: HashMap::new(),
            owners: Owners::new(),
            tally: Tally::default(),
            pace: Pace::default(),
            committing: VecDeque::new(),
            staging: HashMap::new(),
            answers: HashMap::new(),
            clearings: Clearings::default(),
            deleting: BTreeMap::new(),
            rounds: Rounds::default(),
            timers: BinaryHeap::new(),
            token: 0,
            asking_status: Vec::new(),
            full: false,
            gone: Vec::new(),
            unsettled: Vec::new(),
            read: Duration::ZERO,
            totals: Totals::default(),
            out: VecDeque::new(),
        };
        broker.go_on_dropping();
        broker.set_timer(Duration::ZERO, Timer::Round);
        broker
    }

    /// The users and lists.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Is a node logged in?
    pub fn is_online(&self, node: NodeId) -> bool {
        self.sessions.contains_key(&node)
    }

    /// What was done in this life.
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Counts for the operator.
    pub fn counts(&self) -> Counts {
        Counts {
            links: self.links.len(),
            online: self.sessions.len(),
            users: self.directory.user_count(),
            nodes: self.directory.node_count(),
            lists: self.directory.list_count(),
        }
    }

    /// Has every request been answered that can be, and every message been committed?
    pub fn is_settled(&self) -> bool {
        self.committing.is_empty()
            && self.staging.is_empty()
            && self.answers.is_empty()
            && self.clearings.is_empty()
            && self.asking_status.is_empty()
    }

    /// What keeps the broker from being drained.
    #[cfg(feature = "testing")]
    pub(crate) fn undrained(&self) -> String {
        let queues = self.sessions.values().map(|session| &session.queue);
        let undrained: Vec<_> = queues.filter(|queue| !queue.is_empty()).collect();
        format!("{undrained:?}, owners {:?}", self.owners)
    }

    /// What is counted as waiting; nothing when the broker is drained and everyone is online.
    #[cfg(feature = "testing")]
    pub(crate) fn counted(&self) -> String {
        self.tally.counted()
    }

    /// Has every node that is online got and acked all that waits for it?
    pub fn is_drained(&self) -> bool {
        self.sessions.values().all(|session| session.queue.is_empty())
    }

    /// Something happened.
    pub fn handle(&mut self, now: Now, input: Input) {
        self.read = now.mono;
        match input {
            Input::Opened(id, at) => {
                let link = Link {
                    node: None,
                    version: Version::V1,
                    busy: false,
                    waiting: VecDeque::new(),
                    settled: 0,
                    asking: false,
                    closing: false,
                };
                self.links.insert(id, link);
                self.set_timer(at + self.limits.login_timeout, Timer::Login(id));
            }
            Input::Asking(id) => {
                if let Some(link) = self.links.get_mut(&id) {
                    link.asking = true;
                }
            }
            Input::Request(id, asked) => {
                let Some(link) = self.links.get_mut(&id) else { return };
                link.asking = false;
                if link.busy {
                    link.waiting.push_back(Ok(asked));
                } else if !link.closing {
                    self.request(now, id, asked);
                }
            }
            Input::Invalid(id, quit) => match self.links.get_mut(&id) {
                Some(link) if link.busy => link.waiting.push_back(Err(quit)),
                _ => self.close(id, quit),
            },
            Input::Written(id, bytes) => self.written(now, id, bytes),
            Input::Closed(id) => self.closed(now, id),
            Input::Operate(number, operation) => self.operate(now, number, operation),
            Input::Limits(limits) => {
                self.directory.limit(limits.accounts);
                self.limits = *limits;
            }
            Input::Spool(done) => self.spooled(now, done),
        }
    }

    /// The next thing to be done.
    pub fn poll(&mut self) -> Option<Output> {
        self.out.pop_front().or_else(|| {
            let id = self.unsettled.pop()?;
            let settled =
                self.links.get_mut(&id).map_or(0, |link| std::mem::take(&mut link.settled));
            Some(Output::Settled(id, settled))
        })
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called, on the monotonic clock.
    pub fn next_timeout(&self) -> Option<Duration> {
        self.timers.peek().map(|Reverse((at, _))| *at)
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Now) {
        self.read = now.mono;
        while let Some(Reverse((at, timer))) = self.timers.peek().copied() {
            if at > now.mono {
                return;
            }
            self.timers.pop();
            match timer {
                Timer::Login(id) => match self.links.get(&id) {
                    // Not the client's fault: it has asked, and many ask at once.
                    Some(link) if link.asking => {
                        self.set_timer(now.mono + ASKING, Timer::Login(id));
                    }
                    Some(link) if link.node.is_none() => self.close(id, Quit::LoginTimeout),
                    _ => {}
                },
                Timer::Retry(node) => self.retry(now, at, node),
                Timer::Clear(token) => self.clear_on(token),
                Timer::Round => self.round(now),
                Timer::Save => self.save(now),
                Timer::Overdue => self.clear_overdue(now),
            }
        }
    }

    fn set_timer(&mut self, at: Duration, timer: Timer) {
        self.timers.push(Reverse((at, timer)));
    }

    fn next_token(&mut self) -> u64 {
        self.token += 1;
        self.token
    }

    fn spool(&mut self, op: SpoolOp) {
        self.out.push_back(Output::Spool(op));
    }

    fn send(&mut self, id: LinkId, message: Bytes) {
        if self.links.contains_key(&id) {
            self.out.push_back(Output::Send(id, message));
        }
    }

    /// A request of the link's has had its effect and its answer.
    fn settle(&mut self, id: LinkId) {
        if let Some(link) = self.links.get_mut(&id) {
            if link.settled == 0 {
                self.unsettled.push(id);
            }
            link.settled += 1;
        }
    }

    fn request(&mut self, now: Now, id: LinkId, asked: Asked) {
        let Some((asked, key)) = self.recognise(id, asked) else { return };
        let Asked { incoming: Incoming { op, request, in_v1 }, names, read } = asked;
        self.read = read.unwrap_or(now.mono);
        self.totals.ask(op);
        let Some(link) = self.links.get(&id) else { return };
        let own = link.node;
        let request = match in_v1 {
            Some(request) if link.version == Version::V1 => *request,
            _ => request,
        };
        let Names { new_node, node, issued, invitation } =
            names.map_or_else(Names::default, |names| *names);
        match (request, own) {
            // One of version 2, on a link that does not speak it.
            (Err(Quit::InvalidOp), _) => self.close(id, Quit::InvalidOp),
            _ if own.is_none() && !op.is_open_to_strangers() => self.close(id, Quit::IllegalOp),
            (Err(quit), _) => self.close(id, quit),
            (Ok(request), _) if self.full && request.changes_directory() => {
                self.refuse_change(id, &request);
            }
            (Ok(Request::Register { user, aliases, .. }), None) => {
                let first = NewNode { key: new_node, issued };
                self.register(now, id, &user, first, &aliases, invitation);
            }
            (Ok(Request::Register { user, aliases, .. }), Some(own)) => {
                let new_node = if issued.is_some() { Credential::Empty } else { new_node };
                self.set_aliases(now, id, own, &user, new_node, &aliases);
            }
            (Ok(Request::AddNode { user, .. }), own) => {
                self.add_node(id, own, &user, NewNode { key: new_node, issued }, node);
            }
            (Ok(Request::Login { user, version, takeover, .. }), None) => {
                self.login(now, id, &user, node, version, takeover);
            }
            (Ok(Request::Login { .. }), Some(_)) => self.close(id, Quit::AlreadyLoggedIn),
            (Ok(Request::Ack { ids, ok }), Some(own)) => {
                if ok {
                    self.ack(now, own, ids);
                }
                self.settle(id);
            }
            (Ok(Request::DropNode { id: drop, node }), Some(own)) => {
                self.drop_node(now, id, own, drop, node);
            }
            (Ok(Request::Status { id: status }), Some(own)) => {
                self.status(now, id, own, status);
            }
            (Ok(request), Some(own)) => self.carry(now, id, own, request, key),
            // Told apart above: what is left needs a login.
            (Ok(_), None) => debug_assert!(op != Op::Login, "strangers are refused"),
        }
    }

    /// There is no room for a change of the directory.
    fn refuse_change(&mut self, id: LinkId, request: &Request) {
        let error = Refusal::DiskFull.to_string();
        self.totals.refuse(Refusal::DiskFull);
        self.send(
            id,
            match request {
                Request::Register { .. } => reply::registered(None, Some(&error), None),
                Request::AddNode { .. } => reply::added(None, Some(&error), None),
                Request::ListEdit { id, .. } | Request::DropNode { id, .. } => {
                    reply::ack(id, false, AckError::Text(error))
                }
                Request::Login { .. }
                | Request::Status { .. }
                | Request::Post { .. }
                | Request::Ping { .. }
                | Request::Ack { .. } => return,
            },
        );
        self.settle(id);
    }

    /// What waited behind a request that is answered now.
    fn go_on(&mut self, now: Now, id: LinkId) {
        let Some(link) = self.links.get_mut(&id) else { return };
        link.busy = false;
        while let Some(link) = self.links.get_mut(&id)
            && !link.busy
            && !link.closing
            && let Some(asked) = link.waiting.pop_front()
        {
            match asked {
                Ok(asked) => self.request(now, id, asked),
                Err(quit) => self.close(id, quit),
            }
        }
    }

    fn set_busy(&mut self, id: LinkId) {
        if let Some(link) = self.links.get_mut(&id) {
            link.busy = true;
        }
    }

    fn spooled(&mut self, now: Now, done: SpoolDone) {
        match done {
            SpoolDone::Committed(id) => self.committed(now, id, Ok(())),
            SpoolDone::Refused(id, refusal) => self.committed(now, id, Err(refusal)),
            SpoolDone::Edited(token) => self.answered(now, token, Amount::default()),
            SpoolDone::Copied(token, copied) => self.answered(now, token, copied),
            SpoolDone::Dropped(token) => self.answered(now, token, Amount::default()),
            SpoolDone::Measured(nodes, measured) => {
                self.tally.measured(&nodes, &measured);
                self.tell_status(now);
            }
            SpoolDone::Listed(token, _, found, end, _) if self.clearings.has(token) => {
                self.found(token, found, end);
            }
            SpoolDone::Listed(token, node, found, end, queued) => {
                let limits = &self.limits;
                let session =
                    self.sessions.get_mut(&node).filter(|session| session.listing == token);
                if let Some(session) = session {
                    session.queue.listed(found, end, limits);
                    self.welcome(now, node, queued);
                    self.pump(now, node);
                }
            }
            SpoolDone::Loaded(node, id, message) => {
                if let Some(session) = self.sessions.get_mut(&node) {
                    session.queue.loaded(id, message, &mut self.owners, &self.limits);
                    self.pump(now, node);
                }
            }
            SpoolDone::Lost(node, len) => self.tally.lost(node, len),
            SpoolDone::Recalled(token, node, entries) => self.recalled(now, token, node, entries),
            SpoolDone::Glanced(token, seen) => self.glanced(now, token, seen),
            SpoolDone::FoundOlder(found) => self.found_older(now, found),
            SpoolDone::Settled(token) => self.answered(now, token, Amount::default()),
            SpoolDone::Staged(token, result) => self.staged(now, token, result),
            SpoolDone::Full(full) => {
                self.full = full;
                self.free_offsets();
            }
            SpoolDone::Trouble(text) => self.out.push_back(Output::Trouble(text)),
        }
    }

    /// The edit, or the copy, that an answer waits for is durable.
    fn answered(&mut self, now: Now, token: u64, copied: Amount) {
        match self.answers.remove(&token) {
            Some(Answer::Reply { link, reply, copied_to: Some(node) }) => {
                self.tally.add_to(node, copied);
                self.relist(now, node);
                self.added(now, link, reply, node);
            }
            Some(Answer::Reply { link, reply, copied_to: None }) => {
                self.send(link, reply);
                self.settle(link);
                self.go_on(now, link);
            }
            Some(Answer::Dropped(dropped)) => self.dropped(now, dropped),
            Some(Answer::Operated(number)) => {
                self.out.push_back(Output::Operated(number, Ok(Operated::Done)));
            }
            Some(Answer::Deleted(user)) => self.nothing_left(user),
            Some(Answer::Purged(number, removed)) => {
                self.out.push_back(Output::Operated(number, Ok(Operated::Purged(removed))));
            }
            Some(Answer::Acks(node)) => self.settled(now, token, node),
            None => {}
        }
    }

    /// The connection is to end; what it still sends is ignored, and its node stays taken until it
    /// is gone.
    fn close(&mut self, id: LinkId, quit: Quit) {
        if let Some(link) = self.links.get_mut(&id)
            && !link.closing
        {
            link.closing = true;
            link.waiting.clear();
            self.out.push_back(Output::Close(id, quit));
        }
    }

    /// Called where a message is handed to the store, so that ids and commits have one order.
    fn next_id(&mut self, now: Now) -> MessageId {
        self.ids.next(now.wall)
    }

    fn nodes_of(&self, user: UserId) -> Vec<NodeId> {
        self.directory.nodes(user).collect()
    }
}

/// An ack owed to a poster.
#[derive(Debug, Clone)]
struct Poster {
    link: LinkId,
    /// The poster's own id for the post.
    id: String,
    /// When it was read.
    read: Duration,
    /// Whom it does not reach.
    failed: Failed,
    /// The same, by which a repeat is known.
    key: Option<PostKey>,
}
