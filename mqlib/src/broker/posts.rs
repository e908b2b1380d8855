//! Messages: from a request to the store, and from there to queues and an ack.

use super::clearing::Bounced;
use super::lists::ListEdit;
use super::pace::Pace;
use super::totals::{Cause, Why};
use super::{Broker, LinkId, Output, Poster};
use crate::failed::{Failed, Reason};
use crate::fanout::fanout;
use crate::id::MessageId;
use crate::journal::Post;
use crate::limits::Limit;
use crate::node::{NodeId, UserId};
use crate::now::Now;
use crate::posted::PostKey;
use crate::queue::Item;
use crate::reply::{self, AckError, Queued};
use crate::request::{Content, Kind, Request, Version};
use crate::spool;
use crate::store::{Refusal, SpoolOp, StagedBody};
use bytes::Bytes;
use std::time::Duration;

/// A message handed to the store, until it is durable.
#[derive(Debug)]
pub(super) struct Committing {
    id: MessageId,
    nodes: Vec<NodeId>,
    to_one: bool,
    /// The message; a large one is read when its turn comes.
    message: Option<Bytes>,
    /// Its length in bytes.
    len: usize,
    /// When the request was read that it came of.
    read: Duration,
    /// Who is told, with the last message of a post.
    answer: Option<(Poster, AckError)>,
    /// What it is a bounce of, and what waits for it.
    bounce: Option<Box<Bounced>>,
}

/// A request whose large body is on its way to the disk.
#[derive(Debug)]
pub(super) struct Staging {
    link: LinkId,
    own: NodeId,
    key: Option<PostKey>,
    read: Duration,
    carried: Carried,
}

/// A request that carries a message.
#[derive(Debug)]
enum Carried {
    Post { id: String, to: Vec<(String, Kind)>, no_nodes: bool, etc: Option<usize> },
    Ping { id: String, alias: String, no_nodes: bool, etc: Option<usize> },
    ListEdit { id: String, edit: ListEdit, etc: Option<usize> },
}

impl Carried {
    fn id(&self) -> &str {
        match self {
            Self::Post { id, .. } | Self::Ping { id, .. } | Self::ListEdit { id, .. } => id,
        }
    }

    fn etc(&self) -> Option<usize> {
        match self {
            Self::Post { etc, .. } | Self::Ping { etc, .. } | Self::ListEdit { etc, .. } => *etc,
        }
    }

    /// How many messages it may become at most.
    fn messages(&self) -> usize {
        match self {
            Self::Post { to, .. } => {
                1 + to.iter().filter(|(_, kind)| *kind == Kind::OneNode).count()
            }
            Self::Ping { .. } | Self::ListEdit { .. } => 1,
        }
    }
}

/// The body of a message that has no id yet: in memory, or large and on disk, once for each
/// message that it may become.
#[derive(Debug)]
pub(super) enum Body {
    Here(Content),
    Staged { etc: Option<usize>, copies: Vec<StagedBody> },
}

/// Who gets a message.
pub(super) struct Meant {
    pub(super) nodes: Vec<NodeId>,
    pub(super) to_one: Vec<Vec<NodeId>>,
}

impl Broker {
    /// Takes a request that carries a message; a large one goes to the disk first.
    pub(super) fn carry(
        &mut self,
        now: Now,
        link: LinkId,
        own: NodeId,
        request: Request,
        key: Option<PostKey>,
    ) {
        let (carried, content) = match request {
            Request::Post { id, to, no_nodes, content } => {
                (Carried::Post { id, to, no_nodes, etc: content.etc }, content)
            }
            Request::Ping { id, alias, no_nodes, content } => {
                (Carried::Ping { id, alias, no_nodes, etc: content.etc }, content)
            }
            Request::ListEdit { id, list, edit, members, content } => {
                let edit = ListEdit { list, edit, members };
                (Carried::ListEdit { id, edit, etc: content.etc }, content)
            }
            Request::Register { .. }
            | Request::AddNode { .. }
            | Request::DropNode { .. }
            | Request::Status { .. }
            | Request::Login { .. }
            | Request::Ack { .. } => return,
        };
        if let Some((limit, why)) = self.over_limit(now, own, &carried) {
            self.totals.refuse(limit);
            self.send(link, reply::ack(carried.id(), false, AckError::Text(why)));
            return self.settle(link);
        }
        // The messages of one post have to fit into one batch.
        let copies = carried.messages();
        if content.body.len().saturating_mul(copies) <= self.limits.large {
            return self.deliver(now, link, own, key, carried, Body::Here(content));
        }
        let token = self.next_token();
        let header = self.queued(own, MessageId::ZERO, carried.etc(), &[]);
        let read = self.read;
        self.staging.insert(token, Staging { link, own, key, read, carried });
        self.set_busy(link);
        self.spool(SpoolOp::Stage(token, content.body, header.len(), copies));
    }

    /// The limit that a request goes beyond, told before anything is done for it.
    fn over_limit(&mut self, now: Now, own: NodeId, carried: &Carried) -> Option<(Limit, String)> {
        let limits = &self.limits;
        if !self.pace.admit(now.mono, own.user, limits) {
            return Some((Limit::PostsPerSecond, Pace::refusal(limits)));
        }
        let Carried::Post { to, .. } = carried else { return None };
        if to.len() > limits.to {
            let why = format!("too many recipients: limit {} names", limits.to);
            return Some((Limit::To, why));
        }
        let to_one = to.iter().filter(|(_, kind)| *kind == Kind::OneNode).count();
        let why = || format!("too many recipients: limit {} of type 0", limits.to_one);
        (to_one > limits.to_one).then(|| (Limit::ToOne, why()))
    }

    pub(super) fn staged(
        &mut self,
        now: Now,
        token: u64,
        result: Result<Vec<StagedBody>, Refusal>,
    ) {
        let Some(staging) = self.staging.remove(&token) else { return };
        let Staging { link, own, key, read, carried } = staging;
        self.read = read;
        let has_left = self.links.get(&link).is_none_or(|link| link.node != Some(own));
        let is_gone = !self.directory.nodes(own.user).any(|node| node == own);
        match result {
            // It was posted again, or will be, on another connection, and may overtake nothing there.
            Ok(copies) if is_gone || key.is_some() && has_left => {
                self.discard(Body::Staged { etc: carried.etc(), copies });
            }
            Ok(copies) => {
                let body = Body::Staged { etc: carried.etc(), copies };
                self.deliver(now, link, own, key, carried, body);
            }
            Err(refusal) => {
                self.totals.refuse(refusal);
                let error = AckError::Text(refusal.to_string());
                self.send(link, reply::ack(carried.id(), false, error));
                self.settle(link);
            }
        }
        self.go_on(now, link);
    }

    fn deliver(
        &mut self,
        now: Now,
        link: LinkId,
        own: NodeId,
        key: Option<PostKey>,
        carried: Carried,
        body: Body,
    ) {
        let read = self.read;
        match carried {
            Carried::Post { id, to, no_nodes, .. } => {
                let poster = Poster { link, id, key, read, failed: Failed::default() };
                self.post(now, own, poster, &to, no_nodes, None, body);
            }
            Carried::Ping { id, alias, no_nodes, .. } => {
                let poster = Poster { link, id, key, read, failed: Failed::default() };
                let owner = self.directory.alias(&alias).and_then(|id| self.directory.user(id));
                match owner.map(|owner| owner.name.to_string()) {
                    Some(owner) => {
                        let to = [(owner, Kind::AllNodes)];
                        self.post(now, own, poster, &to, no_nodes, Some(&alias), body);
                    }
                    None => self.refuse(poster, body, Why::Request, "alias not defined"),
                }
            }
            Carried::ListEdit { id, edit, .. } => {
                let poster = Poster { link, id, key, read, failed: Failed::default() };
                self.edit_list(now, own, poster, &edit, body);
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "a post has that many parts")]
    fn post(
        &mut self,
        now: Now,
        own: NodeId,
        mut poster: Poster,
        to: &[(String, Kind)],
        no_nodes: bool,
        alias: Option<&str>,
        body: Body,
    ) {
        if to.is_empty() && no_nodes {
            return self.refuse(poster, body, Why::Request, "msg lacks recipients");
        }
        let fanout = fanout(&self.directory, own, to, no_nodes);
        if fanout.nodes.len() > self.limits.recipients {
            let why = format!("too many recipients: limit {} nodes", self.limits.recipients);
            return self.refuse(poster, body, Limit::Recipients, &why);
        }
        let mut meant = Meant { nodes: fanout.nodes, to_one: fanout.to_one };
        let full = self.admit(&mut meant, None);
        let mut error = fanout.error;
        poster.failed = fanout.failed;
        poster.failed.append(full);
        if let Some(alias) = alias {
            error = AckError::Null;
            // Whose it is may be the owner's secret.
            let owner = |name: &str| to.iter().any(|(to, _)| to == name);
            poster.failed.rename(|name| owner(name).then(|| alias.to_owned()));
        }
        self.send_out(now, own, body, meant, Some((poster, error)));
    }

    /// Has the nodes of users counted from now on.
    pub(super) fn meet(&mut self, users: impl IntoIterator<Item = UserId>) {
        let (mut nodes, mut dropped) = (Vec::new(), Vec::new());
        for user in users {
            if !self.tally.knows(user) {
                self.tally.meet(user);
                nodes.extend(self.directory.nodes(user));
                dropped.extend(self.directory.dropped(user));
            }
        }
        if !nodes.is_empty() {
            let (token, up_to) = (self.next_token(), self.ids.last());
            self.spool(SpoolOp::Measure(token, up_to, nodes, dropped));
        }
    }

    /// Leaves out the nodes whose queues are full, but for one node; who is not reached for that.
    pub(super) fn admit(&mut self, meant: &mut Meant, but: Option<NodeId>) -> Failed {
        self.meet(meant.to_one.iter().flatten().chain(&meant.nodes).map(|node| node.user));
        let mut full = Vec::new();
        let has_room = |node: &NodeId, full: &mut Vec<_>| {
            let limit = self.tally.full(*node, &self.limits).filter(|_| but != Some(*node));
            full.extend(limit.map(|limit| (*node, limit)));
            limit.is_none()
        };
        meant.to_one.retain_mut(|nodes| {
            let before = full.len();
            nodes.retain(|node| has_room(node, &mut full));
            if !nodes.is_empty() {
                // One that has room is enough.
                full.truncate(before);
            }
            !nodes.is_empty()
        });
        meant.nodes.retain(|node| has_room(node, &mut full));
        full.iter().for_each(|(_, limit)| self.totals.meet((*limit).into()));
        let mut failed = Failed::default();
        for full in full.chunk_by(|(a, _), (b, _)| a.user == b.user) {
            let Some((NodeId { user, .. }, limit)) = full.first() else { continue };
            let others = meant.nodes.binary_search_by_key(user, |node| node.user).is_ok();
            let offsets = full.iter().map(|(node, _)| node.offset).filter(|_| others).collect();
            let name = self.directory.user(*user).map(|user| &*user.name).unwrap_or_default();
            failed.push(name, Reason::Full(offsets, *limit));
        }
        failed
    }

    fn refuse(&mut self, poster: Poster, body: Body, cause: impl Into<Cause>, why: &str) {
        self.totals.refuse(cause);
        self.discard(body);
        self.send(poster.link, reply::ack(&poster.id, false, AckError::Text(why.into())));
        self.settle(poster.link);
    }

    /// Hands a message to the store, once for all its nodes and once for each recipient of which
    /// only one node is to have it. If there is nobody, the poster is answered at once. Without an
    /// answer, another message follows that brings it.
    pub(super) fn send_out(
        &mut self,
        now: Now,
        own: NodeId,
        mut body: Body,
        meant: Meant,
        answer: Option<(Poster, AckError)>,
    ) {
        let mut messages: Vec<_> = meant.to_one.into_iter().map(|nodes| (nodes, true)).collect();
        if !meant.nodes.is_empty() {
            messages.push((meant.nodes, false));
        }
        let mut left = messages.len();
        if left == 0
            && let Some((poster, error)) = answer.clone()
        {
            self.answer(poster, error, Ok(None));
        }
        for (nodes, to_one) in messages {
            left -= 1;
            let id = self.next_id(now);
            let content = match &mut body {
                Body::Here(Content { etc, body }) => {
                    let (etc, body) = (*etc, body.clone());
                    spool::Content::Whole(self.queued(own, id, etc, &body))
                }
                Body::Staged { etc, copies } => {
                    let etc = *etc;
                    let Some(copy) = copies.pop() else { break };
                    copy.content(self.queued(own, id, etc, &[]))
                }
            };
            let key = answer.as_ref().and_then(|(poster, _)| poster.key);
            let answer = if left == 0 { answer.clone() } else { None };
            let goes_on = answer.is_none();
            let post = Post { id, origin: own, nodes, to_one, content, key, goes_on };
            self.commit_post(post, answer, None);
        }
        self.discard(body);
    }

    fn queued(&mut self, own: NodeId, id: MessageId, etc: Option<usize>, body: &[u8]) -> Bytes {
        let from = self.directory.user(own.user).map(|user| &*user.name).unwrap_or_default();
        let posted = self.dates.of(id.millis());
        reply::queued(Queued::Deliver, id, posted, from, etc, body)
    }

    /// Commits a message that is in memory.
    pub(super) fn commit(
        &mut self,
        id: MessageId,
        own: NodeId,
        nodes: Vec<NodeId>,
        to_one: bool,
        message: Bytes,
        answer: Option<(Poster, AckError)>,
    ) {
        let content = spool::Content::Whole(message);
        let post = Post { id, origin: own, nodes, to_one, content, key: None, goes_on: false };
        self.commit_post(post, answer, None);
    }

    pub(super) fn commit_post(
        &mut self,
        post: Post,
        answer: Option<(Poster, AckError)>,
        bounce: Option<Box<Bounced>>,
    ) {
        let len = post.content.message_len();
        self.tally.add(&post.nodes, post.to_one, len);
        let message = match &post.content {
            spool::Content::Whole(message) => Some(message.clone()),
            spool::Content::Staged(_) => None,
        };
        let (id, nodes, to_one) = (post.id, post.nodes.clone(), post.to_one);
        let read = self.read;
        let committing = Committing { id, nodes, to_one, message, len, read, answer, bounce };
        self.committing.push_back(committing);
        self.spool(SpoolOp::Commit(post));
    }

    /// The store has made a message durable, or not.
    pub(super) fn committed(&mut self, now: Now, id: MessageId, result: Result<(), Refusal>) {
        let Some(committing) = self.committing.pop_front() else { return };
        debug_assert_eq!(committing.id, id, "commits are answered in order");
        let Committing { nodes, to_one, message, len, read, answer, bounce, .. } = committing;
        if result.is_ok() {
            for node in nodes {
                if let Some(session) = self.sessions.get_mut(&node) {
                    let item = Item { id, to_one, message: message.clone(), read: Some(read) };
                    session.queue.push(item, &self.limits);
                    self.pump(now, node);
                }
            }
        } else {
            self.tally.remove(&nodes, to_one, len);
        }
        if let Some(bounced) = bounce {
            self.bounced(now, *bounced, result.is_ok());
        }
        if let Some((poster, error)) = answer {
            match result {
                Ok(()) => self.totals.to_ack.add_time(now.mono.saturating_sub(poster.read)),
                Err(refusal) => self.totals.refuse(refusal),
            }
            self.answer(poster, error, result.map(|()| Some(id)));
        }
    }

    /// The store has failed: nothing that waits for it will be durable, as far as anyone knows.
    pub fn abandon(&mut self, now: Now) {
        while let Some(id) = self.committing.front().map(|committing| committing.id) {
            self.committed(now, id, Err(Refusal::Disk));
        }
    }

    /// Acks a post: with the id of the last message that it became, if it became any.
    fn answer(
        &mut self,
        poster: Poster,
        error: AckError,
        result: Result<Option<MessageId>, Refusal>,
    ) {
        let Poster { link, id, failed, .. } = poster;
        let error = failed.error(error);
        let version = self.links.get(&link).map(|link| link.version);
        let reply = match (result, version) {
            (Ok(message), Some(Version::V2 { .. })) => {
                let message = message.map(|message| (message, self.dates.of(message.millis())));
                match failed.etc() {
                    Some(etc) => reply::acked_but(&id, error, message, &etc),
                    None => reply::acked(&id, true, error, message),
                }
            }
            (Ok(_), _) => reply::ack(&id, true, error),
            (Err(refusal), _) => reply::ack(&id, false, AckError::Text(refusal.to_string())),
        };
        self.send(link, reply);
        self.settle(link);
    }

    /// Gives up large bodies that became no message.
    pub(super) fn discard(&mut self, body: Body) {
        if let Body::Staged { copies, .. } = body
            && !copies.is_empty()
        {
            let numbers = copies.into_iter().map(StagedBody::number).collect();
            self.out.push_back(Output::Spool(SpoolOp::Unstage(numbers)));
        }
    }
}
