//! Queues that are cleared: of a node that is dropped without an heir, or that the operator purges.
//!
//! The store finds what waits, a part at a time; the sender of each message is told, if it is to be;
//! and when all that is durable, the messages of that part are removed. Only one queue of a user is
//! cleared at a time, for its nodes share what only one of them is to have.

use super::bounces::Reason;
use super::drops::By;
use super::{Answer, Broker, OperateError, Output, Timer};
use crate::id::MessageId;
use crate::node::{NodeId, UserId};
use crate::now::Now;
use crate::spool::Glance;
use crate::store::SpoolOp;
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::Duration;

/// Messages that are looked at, bounced and removed together.
const PART: usize = 256;
/// How long a bounce waits that the store has refused, for the disk was full.
const RETRY: Duration = Duration::from_secs(1);

/// A queue that is cleared.
#[derive(Debug)]
pub(super) struct Clearing {
    node: NodeId,
    /// Later messages stay.
    up_to: MessageId,
    /// Why senders are told, if they are.
    bounce: Option<Reason>,
    end: End,
    /// What was found and not looked at.
    found: VecDeque<(MessageId, bool)>,
    /// The nodes that were asked whether they have acked what is looked at.
    others: Vec<NodeId>,
    /// Where the next listing begins.
    next: Option<MessageId>,
    /// Bounces that are not durable yet.
    committing: usize,
    /// What can be removed.
    ready: Vec<Glance>,
    /// Bounces were refused.
    refused: bool,
    /// What was acked since it began.
    acked: HashSet<MessageId>,
    removed: u64,
}

/// What a queue is cleared for.
#[derive(Debug)]
pub(super) enum End {
    /// The node is no more; then all that is left of it is removed at once.
    Drop(By),
    /// The node stays, and the operation of this number is answered.
    Purge(u64),
    /// The node stays, and nobody waits for an answer.
    Policy,
}

/// What a bounce is of.
#[derive(Debug)]
pub(super) struct Bounced {
    clearing: u64,
    message: Glance,
}

impl Clearing {
    pub(super) fn new(node: NodeId, up_to: MessageId, bounce: Option<Reason>, end: End) -> Self {
        Self {
            node,
            up_to,
            bounce,
            end,
            found: VecDeque::new(),
            others: Vec::new(),
            next: None,
            committing: 0,
            ready: Vec::new(),
            refused: false,
            acked: HashSet::new(),
            removed: 0,
        }
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Clearings {
    active: BTreeMap<u64, Clearing>,
    /// Another queue of the same user's comes first.
    waiting: Vec<Clearing>,
}

impl Clearings {
    pub(super) fn has(&self, token: u64) -> bool {
        self.active.contains_key(&token)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn len(&self) -> usize {
        self.active.len() + self.waiting.len()
    }
}

impl Broker {
    /// Is a queue of the user's being cleared?
    pub(super) fn is_clearing(&self, user: UserId) -> bool {
        let Clearings { active, waiting } = &self.clearings;
        active.values().chain(waiting).any(|clearing| clearing.node.user == user)
    }

    /// Clears a queue, as soon as no other of the same user's is being cleared.
    pub(super) fn clear(&mut self, clearing: Clearing) {
        if self.clearings.active.values().any(|other| other.node.user == clearing.node.user) {
            return self.clearings.waiting.push(clearing);
        }
        let node = clearing.node;
        let token = self.next_token();
        self.clearings.active.insert(token, clearing);
        self.spool(SpoolOp::Find(token, node, MessageId::ZERO));
    }

    /// Clears what has waited for another queue of the user's.
    fn clear_next(&mut self, user: UserId) {
        let waiting = &mut self.clearings.waiting;
        if let Some(at) = waiting.iter().position(|clearing| clearing.node.user == user) {
            let next = waiting.remove(at);
            self.clear(next);
        }
    }

    pub(super) fn found(
        &mut self,
        token: u64,
        found: Vec<(MessageId, bool)>,
        end: Option<MessageId>,
    ) {
        let Some(clearing) = self.clearings.active.get_mut(&token) else { return };
        let up_to = clearing.up_to;
        clearing.found = found.into_iter().filter(|(id, _)| *id <= up_to).collect();
        clearing.next = end.filter(|end| *end < up_to);
        self.clear_on(token);
    }

    /// Takes the next part.
    pub(super) fn clear_on(&mut self, token: u64) {
        let Some(clearing) = self.clearings.active.get_mut(&token) else { return };
        let part = clearing.found.len().min(PART);
        let part: Vec<_> = clearing.found.drain(..part).collect();
        let (node, why) = (clearing.node, clearing.bounce);
        if !part.is_empty() {
            // One that another node has acked has come to its user.
            let others = self.directory.nodes(node.user).filter(|other| *other != node);
            // What is being copied, or was not copied to its end, has not come to anybody yet.
            let copied: Vec<_> = self.answers.values().filter_map(Answer::copied_to).collect();
            let others = others.filter(|other| !copied.contains(other));
            let others = others.filter(|other| !self.directory.is_adding(*other));
            let others = others.filter(|_| why == Some(Reason::TooOld)).collect::<Vec<_>>();
            if let Some(clearing) = self.clearings.active.get_mut(&token) {
                clearing.others.clone_from(&others);
            }
            return self.spool(SpoolOp::Glance(token, node, part, why.is_some(), others));
        }
        match clearing.next.take() {
            Some(after) => self.spool(SpoolOp::Find(token, node, after)),
            None => self.cleared(token),
        }
    }

    /// The messages of a part are known: their senders are told.
    pub(super) fn glanced(&mut self, now: Now, token: u64, seen: Vec<Glance>) {
        let Some(clearing) = self.clearings.active.get_mut(&token) else { return };
        let (node, why) = (clearing.node, clearing.bounce);
        let here: Vec<_> = self.directory.nodes(node.user).collect();
        if clearing.others.iter().any(|other| !here.contains(other)) {
            // What a node has not that was dropped meanwhile, it need not have acked.
            for message in seen.iter().rev() {
                clearing.found.push_front((message.id, message.to_one));
            }
            return self.clear_on(token);
        }
        let mut ready = Vec::new();
        let mut committing = 0;
        for message in seen {
            let why = why.filter(|_| message.to_one || message.by_others);
            match why.and_then(|why| Some((why, self.bounces_to(node.user, &message)?))) {
                Some((why, sender)) if !self.was_acked(token, message.id) => {
                    committing += 1;
                    let of = message.id;
                    let bounced = Bounced { clearing: token, message };
                    self.bounce(now, node, sender, of, why, bounced);
                }
                _ => ready.push(message),
            }
        }
        if let Some(clearing) = self.clearings.active.get_mut(&token) {
            clearing.ready = ready;
            clearing.committing = committing;
            if committing == 0 {
                self.clear_ready(now, token);
            }
        }
    }

    fn was_acked(&self, token: u64, id: MessageId) -> bool {
        let clearing = self.clearings.active.get(&token);
        clearing.is_some_and(|clearing| clearing.acked.contains(&id))
    }

    /// A bounce is durable, or the store has refused it.
    pub(super) fn bounced(&mut self, now: Now, bounced: Bounced, durable: bool) {
        let Bounced { clearing: token, message } = bounced;
        let Some(clearing) = self.clearings.active.get_mut(&token) else { return };
        clearing.committing -= 1;
        if durable {
            self.totals.bounced += 1;
            clearing.ready.push(message);
        } else {
            clearing.found.push_front((message.id, message.to_one));
            clearing.refused = true;
        }
        if clearing.committing == 0 {
            self.clear_ready(now, token);
        }
    }

    /// Removes what can be, and goes on.
    fn clear_ready(&mut self, now: Now, token: u64) {
        let Some(clearing) = self.clearings.active.get_mut(&token) else { return };
        let mut ready = std::mem::take(&mut clearing.ready);
        ready.retain(|message| !clearing.acked.contains(&message.id));
        clearing.removed += ready.len() as u64;
        self.totals.removed += ready.len() as u64;
        let (node, refused) = (clearing.node, std::mem::take(&mut clearing.refused));
        if !matches!(clearing.end, End::Drop(_)) {
            self.remove_waiting(now, node, &ready);
        }
        if refused {
            self.set_timer(now.mono + RETRY, Timer::Clear(token));
        } else {
            self.clear_on(token);
        }
    }

    /// Removes messages that wait for a node; what is for one node of its user, from all of them.
    fn remove_waiting(&mut self, now: Now, node: NodeId, messages: &[Glance]) {
        let all: Vec<NodeId> =
            self.directory.nodes(node.user).chain(self.directory.dropped(node.user)).collect();
        for (to_one, nodes) in [(false, vec![node]), (true, all)] {
            let messages = messages.iter().filter(|message| message.to_one == to_one);
            let mut ids = Vec::new();
            for message in messages {
                self.tally.remove(&[node], to_one, message.len);
                self.owners.remove(&message.id);
                ids.push(message.id);
            }
            if ids.is_empty() {
                continue;
            }
            // Before anything that is listed from now on, or it would be found again.
            self.spool(SpoolOp::Delete(ids.clone(), nodes.clone()));
            for node in nodes {
                if let Some(session) = self.sessions.get_mut(&node) {
                    ids.iter().for_each(|id| session.queue.purge(*id));
                    self.pump(now, node);
                }
            }
        }
    }

    /// All of a queue is cleared.
    fn cleared(&mut self, token: u64) {
        let Some(Clearing { node, end, removed, .. }) = self.clearings.active.remove(&token) else {
            return;
        };
        match end {
            End::Drop(by) => self.empty(node, None, by),
            End::Purge(number) => {
                self.answers.insert(token, Answer::Purged(number, removed));
                self.spool(SpoolOp::Settle(token));
            }
            End::Policy => {}
        }
        self.forget(node.user);
        self.clear_next(node.user);
    }

    /// A node acks messages, or one has taken for all of its user's what was for one: nobody is to
    /// remove them, or to count them once more.
    pub(super) fn not_to_clear(&mut self, node: NodeId, ids: &[MessageId], to_one: &[MessageId]) {
        for clearing in self.clearings.active.values_mut() {
            if clearing.node == node {
                clearing.acked.extend(ids);
            }
            if clearing.node.user == node.user {
                clearing.acked.extend(to_one);
            }
        }
    }

    /// A node is dropped: nobody purges its queue any more.
    pub(super) fn give_up_purges(&mut self, node: NodeId) {
        let is_purge = |other: &Clearing| other.node == node && !matches!(other.end, End::Drop(_));
        let mut given_up = Vec::new();
        given_up.extend(self.clearings.waiting.extract_if(.., |other| is_purge(other)));
        let active = &mut self.clearings.active;
        if let Some(token) = active.iter().find(|(_, c)| is_purge(c)).map(|(token, _)| *token) {
            given_up.extend(active.remove(&token));
            self.clear_next(node.user);
        }
        for clearing in given_up {
            if let End::Purge(number) = clearing.end {
                let dropped = Err(OperateError::Dropped(clearing.removed));
                self.out.push_back(Output::Operated(number, dropped));
            }
        }
    }
}
