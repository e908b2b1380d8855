//! Online nodes: deliveries, acks, redelivery, and what happens when one leaves.

use super::{Answer, Broker, LinkId, Output, Timer};
use crate::id::MessageId;
use crate::node::{NodeId, UserId};
use crate::now::Now;
use crate::queue::Step;
use crate::reply::Delivery;
use crate::store::SpoolOp;
use std::time::Duration;

impl Broker {
    /// Does all that the node's queue can do now.
    pub(super) fn pump(&mut self, now: Now, node: NodeId) {
        let Some(session) = self.sessions.get_mut(&node) else { return };
        let (link, version) = (session.link, session.version);
        if self.links.get(&link).is_none_or(|link| link.closing) {
            return;
        }
        while let Some(step) = session.queue.next(now.mono, &mut self.owners, &self.limits) {
            self.out.push_back(match step {
                Step::Send { message, redelivered, read } => {
                    match redelivered {
                        0 => self.totals.delivered += 1,
                        _ => self.totals.redelivered += 1,
                    }
                    if let Some(read) = read {
                        self.totals.to_delivery.add_time(now.mono.saturating_sub(read));
                    }
                    Output::Deliver(link, Delivery { message, version, redelivered })
                }
                Step::Read(id, to_one) => Output::Spool(SpoolOp::Read(node, id, to_one)),
                Step::List(after) => {
                    self.token += 1;
                    session.listing = self.token;
                    Output::Spool(SpoolOp::List(self.token, node, after))
                }
                Step::Mark(bytes) => Output::Mark(link, bytes),
                Step::Settle => {
                    self.token += 1;
                    session.settling = self.token;
                    self.answers.insert(self.token, Answer::Acks(node));
                    Output::Spool(SpoolOp::Settle(self.token))
                }
            });
        }
        if session.retry_at.is_none()
            && let Some(at) = session.queue.next_retry()
        {
            session.retry_at = Some(at);
            self.set_timer(at, Timer::Retry(node));
        }
    }

    pub(super) fn retry(&mut self, now: Now, at: Duration, node: NodeId) {
        let Some(session) = self.sessions.get_mut(&node) else { return };
        if session.retry_at != Some(at) {
            return;
        }
        session.retry_at = None;
        session.queue.retry(now.mono, &self.limits);
        self.pump(now, node);
    }

    /// The link has written deliveries of so many bytes.
    pub(super) fn written(&mut self, now: Now, id: LinkId, bytes: usize) {
        let Some(node) = self.links.get(&id).and_then(|link| link.node) else { return };
        if let Some(session) = self.sessions.get_mut(&node) {
            session.queue.written(bytes);
            self.pump(now, node);
        }
    }

    /// The node acks messages; what is not in flight to it is ignored.
    pub(super) fn ack(&mut self, now: Now, node: NodeId, mut ids: Vec<MessageId>) {
        let Some(session) = self.sessions.get_mut(&node) else { return };
        let mut to_one = Vec::new();
        ids.retain(|id| match session.queue.ack(*id) {
            Some(acked) => {
                self.tally.remove(&[node], acked.to_one, acked.len);
                if acked.to_one {
                    to_one.push(*id);
                }
                !acked.to_one
            }
            None => false,
        });
        if ids.is_empty() && to_one.is_empty() {
            return;
        }
        self.not_to_clear(node, &ids, &to_one);
        self.totals.acked += (ids.len() + to_one.len()) as u64;
        if !ids.is_empty() {
            self.spool(SpoolOp::Delete(ids, vec![node]));
        }
        if !to_one.is_empty() {
            // One that is being dropped may yet leave its own to another.
            let nodes = self.directory.nodes(node.user).chain(self.directory.dropped(node.user));
            let nodes: Vec<NodeId> = nodes.collect();
            // Before anything that others have listed now, or they would find it again.
            self.spool(SpoolOp::Delete(to_one.clone(), nodes.clone()));
            for id in &to_one {
                self.owners.remove(id);
            }
            for other in nodes.into_iter().filter(|other| *other != node) {
                if let Some(session) = self.sessions.get_mut(&other) {
                    for id in &to_one {
                        session.queue.remove(*id);
                    }
                    // It may have been all that stood before what is to be listed.
                    self.pump(now, other);
                }
            }
        }
        self.pump(now, node);
    }

    /// What the node had acked when this was asked is durable.
    pub(super) fn settled(&mut self, now: Now, token: u64, node: NodeId) {
        let session = self.sessions.get_mut(&node);
        if let Some(session) = session.filter(|session| session.settling == token) {
            session.queue.settled();
            self.pump(now, node);
        }
    }

    /// Counts no more what waits for a user that is away, if nothing does or is about to.
    pub(super) fn forget(&mut self, user: UserId) {
        let away = self.directory.nodes(user).all(|node| !self.sessions.contains_key(&node));
        let copied_to = |node: NodeId| node.user == user;
        if away && !self.answers.values().any(|answer| answer.copied_to().is_some_and(copied_to)) {
            self.tally.forget(user);
        }
    }

    /// The node's queue has got older messages than it knows: they are listed anew.
    pub(super) fn relist(&mut self, now: Now, node: NodeId) {
        if let Some(session) = self.sessions.get_mut(&node) {
            session.queue.relist();
            self.pump(now, node);
        }
    }

    pub(super) fn closed(&mut self, now: Now, id: LinkId) {
        let Some(link) = self.links.remove(&id) else { return };
        if let Some(node) = link.node {
            self.left(now, node);
        }
    }

    /// The node is no longer online.
    pub(super) fn left(&mut self, now: Now, node: NodeId) {
        let Some(session) = self.sessions.remove(&node) else { return };
        self.saw(now, node);
        let taken: Vec<MessageId> = session.queue.taken().collect();
        for message in &taken {
            self.owners.remove(message);
        }
        if session.queue.is_empty() {
            self.spool(SpoolOp::Tidy(node));
            self.forget(node.user);
        }
        if !taken.is_empty() {
            for other in self.nodes_of(node.user) {
                self.pump(now, other);
            }
        }
    }
}
