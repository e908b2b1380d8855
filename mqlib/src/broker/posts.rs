//! Messages: from a request to the store, and from there to queues and an ack.

use super::lists::ListEdit;
use super::{Broker, LinkId, Output, Poster};
use crate::fanout::fanout;
use crate::id::MessageId;
use crate::journal::Post;
use crate::node::NodeId;
use crate::now::Now;
use crate::posted::PostKey;
use crate::queue::Item;
use crate::reply::{self, AckError, Queued};
use crate::request::{Content, Kind, Request, Version};
use crate::spool;
use crate::store::{Refusal, SpoolOp, StagedBody};
use bytes::Bytes;

/// A message handed to the store, until it is durable.
#[derive(Debug)]
pub(super) struct Committing {
    id: MessageId,
    nodes: Vec<NodeId>,
    to_one: bool,
    /// The message; a large one is read when its turn comes.
    message: Option<Bytes>,
    /// Who is told, with the last message of a post.
    answer: Option<(Poster, AckError)>,
}

/// A request whose large body is on its way to the disk.
#[derive(Debug)]
pub(super) struct Staging {
    link: LinkId,
    own: NodeId,
    key: Option<PostKey>,
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
            | Request::Login { .. }
            | Request::Ack { .. } => return,
        };
        // The messages of one post have to fit into one batch.
        let copies = carried.messages();
        if content.body.len().saturating_mul(copies) <= self.limits.large {
            return self.deliver(now, link, own, key, carried, Body::Here(content));
        }
        let token = self.next_token();
        let header = self.queued(own, MessageId::ZERO, carried.etc(), &[]);
        self.staging.insert(token, Staging { link, own, key, carried });
        self.set_busy(link);
        self.spool(SpoolOp::Stage(token, content.body, header.len(), copies));
    }

    pub(super) fn staged(
        &mut self,
        now: Now,
        token: u64,
        result: Result<Vec<StagedBody>, Refusal>,
    ) {
        let Some(Staging { link, own, key, carried }) = self.staging.remove(&token) else { return };
        match result {
            // It was posted again, or will be, on another connection, and may overtake nothing there.
            Ok(copies) if key.is_some() && !self.links.contains_key(&link) => {
                self.discard(Body::Staged { etc: carried.etc(), copies });
            }
            Ok(copies) => {
                let body = Body::Staged { etc: carried.etc(), copies };
                self.deliver(now, link, own, key, carried, body);
            }
            Err(refusal) => {
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
        match carried {
            Carried::Post { id, to, no_nodes, .. } => {
                self.post(now, own, Poster { link, id, key }, &to, no_nodes, None, body);
            }
            Carried::Ping { id, alias, no_nodes, .. } => {
                let poster = Poster { link, id, key };
                let owner = self.directory.alias(&alias).and_then(|id| self.directory.user(id));
                match owner.map(|owner| owner.name.to_string()) {
                    Some(owner) => {
                        let to = [(owner, Kind::AllNodes)];
                        self.post(now, own, poster, &to, no_nodes, Some(AckError::Null), body);
                    }
                    None => self.refuse(poster, body, "alias not defined"),
                }
            }
            Carried::ListEdit { id, edit, .. } => {
                self.edit_list(now, own, Poster { link, id, key }, &edit, body);
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "a post has that many parts")]
    fn post(
        &mut self,
        now: Now,
        own: NodeId,
        poster: Poster,
        to: &[(String, Kind)],
        no_nodes: bool,
        error: Option<AckError>,
        body: Body,
    ) {
        if to.is_empty() && no_nodes {
            return self.refuse(poster, body, "msg lacks recipients");
        }
        let fanout = fanout(&self.directory, own, to, no_nodes);
        if fanout.nodes.len() > self.limits.recipients {
            return self.refuse(poster, body, "too many recipients");
        }
        let error = error.unwrap_or(fanout.error);
        let meant = Meant { nodes: fanout.nodes, to_one: fanout.to_one };
        self.send_out(now, own, body, meant, Some((poster, error)));
    }

    fn refuse(&mut self, poster: Poster, body: Body, why: &str) {
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
            self.commit_post(post, answer);
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
        self.commit_post(post, answer);
    }

    fn commit_post(&mut self, post: Post, answer: Option<(Poster, AckError)>) {
        let message = match &post.content {
            spool::Content::Whole(message) => Some(message.clone()),
            spool::Content::Staged(_) => None,
        };
        let (id, nodes, to_one) = (post.id, post.nodes.clone(), post.to_one);
        self.committing.push_back(Committing { id, nodes, to_one, message, answer });
        self.spool(SpoolOp::Commit(post));
    }

    /// The store has made a message durable, or not.
    pub(super) fn committed(&mut self, now: Now, id: MessageId, result: Result<(), Refusal>) {
        let Some(committing) = self.committing.pop_front() else { return };
        debug_assert_eq!(committing.id, id, "commits are answered in order");
        let Committing { nodes, to_one, message, answer, .. } = committing;
        if result.is_ok() {
            for node in nodes {
                if let Some(session) = self.sessions.get_mut(&node) {
                    let item = Item { id, to_one, message: message.clone() };
                    session.queue.push(item, &self.limits);
                    self.pump(now, node);
                }
            }
        }
        if let Some((poster, error)) = answer {
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
        let Poster { link, id, .. } = poster;
        let version = self.links.get(&link).map(|link| link.version);
        let reply = match (result, version) {
            (Ok(message), Some(Version::V2 { .. })) => {
                let message = message.map(|message| (message, self.dates.of(message.millis())));
                reply::acked(&id, true, error, message)
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
