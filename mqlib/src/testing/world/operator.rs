//! What the operator does in the world, and what must be true of it.
//!
//! A message that nobody has acked leaves a queue only by a purge that the operator asked for, or with
//! its node; and its sender is told, in the second case and where the purge is to tell. So at each such
//! moment the bounce has to be durable.

use super::World;
use crate::broker::{Input, OperateError, Operated, Operation};
use crate::id::MessageId;
use crate::journal::Post;
use crate::node::{NodeId, UserId};
use crate::reply::Reply;
use crate::spool;
use crate::testing::Mutation;
use crate::testing::client::{USERS, user};
use crate::testing::history::{PostRef, Violation};
use rand::RngExt;
use rand::seq::IndexedRandom;
use std::collections::{HashMap, HashSet};

/// What the operator has asked for.
#[derive(Debug)]
enum Order {
    Delete(UserId),
    Disable(UserId, bool),
    Drop,
    Purge { node: NodeId, bounce: bool },
}

/// The operator, and what was promised to it.
#[derive(Debug, Default)]
pub(super) struct Operator {
    orders: u64,
    /// Those that are not answered, by number.
    open: HashMap<u64, Order>,
    /// Users that are deleted for good.
    deleted: HashSet<UserId>,
    /// Users of whom it is known whether they are disabled.
    disabled: HashMap<UserId, bool>,
    /// Bounces on their way to the disk, and for whom the message was that each is of.
    bouncing: HashMap<MessageId, (MessageId, UserId)>,
    /// Who has posted each message: a user may have had another number when it first tried.
    posted: HashMap<MessageId, UserId>,
    /// Messages of which a bounce is durable, and for whom they were.
    bounced: HashSet<(MessageId, UserId)>,
    pub(super) purged: u64,
}

impl Operator {
    /// The server went down: what was not answered may have been done or not.
    pub(super) fn crashed(&mut self) {
        self.open.clear();
        self.bouncing.clear();
    }

    pub(super) fn deleted(&self) -> u64 {
        self.deleted.len() as u64
    }

    pub(super) fn bounced(&self) -> u64 {
        self.bounced.len() as u64
    }

    pub(super) fn rests(&self) -> bool {
        self.open.is_empty()
    }
}

impl World {
    pub(super) fn operator_acts(&mut self) {
        if self.put_right(false) {
            return;
        }
        let Some(server) = &self.server else { return };
        let directory = server.broker.directory();
        let name = user(self.rng.random_range(0..USERS));
        let Some(id) = directory.user_id(&name) else { return };
        let nodes: Vec<_> = directory.nodes(id).collect();
        let Some(&node) = nodes.choose(&mut self.rng) else { return };
        let offset = node.offset;
        match self.rng.random_range(0..10) {
            0..2 => self.order(Order::Delete(id), Operation::DeleteUser(name)),
            2 => self.order(Order::Disable(id, true), Operation::Disable(name, true)),
            3 => self.order(Order::Disable(id, false), Operation::Disable(name, false)),
            4..6 => self.order(Order::Drop, Operation::DropNode(name, offset)),
            _ => {
                let bounce = self.chance(60);
                let some = self.clients.iter().find_map(|client| client.received.first().copied());
                let up_to = some.filter(|_| self.chance(30));
                let purge = Operation::Purge { user: name, offset, up_to, bounce };
                self.order(Order::Purge { node, bounce }, purge);
            }
        }
    }

    /// Lets users come back who cannot by themselves: who has no node left, or if `all`, is disabled.
    pub(super) fn put_right(&mut self, all: bool) -> bool {
        let Some(server) = &self.server else { return false };
        if !self.operator.open.is_empty() {
            return false;
        }
        let wrong = server.broker.directory().users().find_map(|(id, user)| {
            let name = || user.name.to_string();
            if user.nodes.is_empty() {
                return Some((Order::Delete(id), Operation::DeleteUser(name())));
            }
            let disabled = all && user.disabled;
            disabled.then(|| (Order::Disable(id, false), Operation::Disable(name(), false)))
        });
        let found = wrong.is_some();
        if let Some((order, operation)) = wrong {
            self.order(order, operation);
        }
        found
    }

    fn order(&mut self, order: Order, operation: Operation) {
        if let Order::Disable(user, _) = order {
            self.operator.disabled.remove(&user);
        }
        self.operator.orders += 1;
        let number = self.operator.orders;
        self.operator.open.insert(number, order);
        self.handle(Input::Operate(number, operation));
    }

    /// The operator is answered.
    pub(super) fn operated(&mut self, number: u64, result: Result<Operated, OperateError>) {
        match (self.operator.open.remove(&number), result) {
            (Some(Order::Delete(user)), Ok(_)) => drop(self.operator.deleted.insert(user)),
            (Some(Order::Disable(user, disabled)), Ok(_)) => {
                // Another order may have been carried out that is not answered.
                let mut open = self.operator.open.values();
                if !open.any(|order| matches!(order, Order::Disable(other, _) if *other == user)) {
                    self.operator.disabled.insert(user, disabled);
                }
            }
            (Some(Order::Purge { .. }), Ok(Operated::Purged(removed))) => {
                self.operator.purged += removed;
            }
            _ => {}
        }
    }

    /// What the operator was told is so after a start.
    pub(super) fn check_operated(
        &self,
        directory: &crate::directory::Directory,
    ) -> Result<(), Violation> {
        if let Some((id, _)) = directory.users().find(|(id, _)| self.operator.deleted.contains(id))
        {
            return Err(Violation::Forgotten(format!("that {id:?} was deleted")));
        }
        for (id, disabled) in &self.operator.disabled {
            let there = directory.user(*id).filter(|user| !user.deleted);
            if there.is_some_and(|user| user.disabled != *disabled) {
                return Err(Violation::Forgotten(format!("{id:?} disabled: {disabled}")));
            }
        }
        Ok(())
    }

    /// A message is handed to the disk; is it a bounce?
    pub(super) fn committing_bounce(&mut self, post: &mut Post) -> Result<(), Violation> {
        let spool::Content::Whole(message) = &post.content else { return Ok(()) };
        let Some((of, to)) = bounce_of(message) else { return Ok(()) };
        let Some(server) = &self.server else { return Ok(()) };
        let directory = server.broker.directory();
        let recipient = post.origin.user;
        let named = directory.user(recipient).is_some_and(|user| *user.name == *to);
        let sender = self.operator.posted.get(&of).copied();
        let astray = post.nodes.iter().find(|node| Some(node.user) != sender);
        if let Some(node) = astray.or(post.nodes.first().filter(|_| !named)) {
            let what = format!("a bounce of message {of} to {to}");
            return Err(Violation::Stray { what, node: (*node).into() });
        }
        self.operator.bouncing.insert(post.id, (of, recipient));
        if self.mutation == Mutation::ForgetBounces {
            post.nodes.clear();
        }
        Ok(())
    }

    /// A post is handed to the disk.
    pub(super) fn posts(&mut self, id: MessageId, by: UserId) {
        self.operator.posted.insert(id, by);
    }

    /// A message is durable.
    pub(super) fn committed(&mut self, id: MessageId) {
        if let Some(bounced) = self.operator.bouncing.remove(&id) {
            self.operator.bounced.insert(bounced);
            self.history.promised(id);
        }
    }

    /// Messages are removed for nodes: those that were not acked have to be purged.
    pub(super) fn removing(
        &mut self,
        ids: &[MessageId],
        nodes: &[NodeId],
    ) -> Result<(), Violation> {
        for id in ids {
            for &node in nodes {
                let Some(post) = self.history.removed(node.into(), *id) else { continue };
                let to_one = nodes.len() > 1;
                let purges = self.operator.open.values().filter_map(|order| match order {
                    Order::Purge { node: purged, bounce }
                        if *purged == node || to_one && purged.user == node.user =>
                    {
                        Some(*bounce)
                    }
                    _ => None,
                });
                let purges: Vec<_> = purges.collect();
                let what = || format!("message {id}, not acked by {node:?},");
                if purges.is_empty() && self.retention.message_max_age.is_none() {
                    return Err(Violation::Removed(what()));
                }
                // What is too old is not bounced if another node has it, even while a purge waits.
                let ages = self.retention.message_max_age.is_some();
                if ages && !to_one && self.is_elsewhere(*id, node) {
                    continue;
                }
                if purges.iter().all(|bounce| *bounce) {
                    self.must_be_bounced(*id, node, post)?;
                }
            }
        }
        Ok(())
    }

    /// Has another node of the user's acked a message, or not been meant?
    fn is_elsewhere(&self, id: MessageId, node: NodeId) -> bool {
        let Some(server) = &self.server else { return false };
        let mut nodes = server.broker.directory().nodes(node.user);
        self.history.came_to(node.user.0, id)
            || nodes.any(|other| other != node && !self.history.misses(other.into(), id))
    }

    /// All that waits for a node is removed, and no other of its user's gets anything of it.
    pub(super) fn removing_all(&self, node: NodeId) -> Result<(), Violation> {
        for (id, post) in self.history.promised_to(node.into()) {
            self.must_be_bounced(id, node, Some(post))?;
        }
        Ok(())
    }

    fn must_be_bounced(
        &self,
        id: MessageId,
        node: NodeId,
        post: Option<PostRef>,
    ) -> Result<(), Violation> {
        let (Some(post), Some(server)) = (post, &self.server) else { return Ok(()) };
        let sender = self.operator.posted.get(&id).copied();
        let sender = sender.unwrap_or(UserId(post.from.user));
        let is_there = server.broker.directory().nodes(sender).next().is_some();
        let bounced = self.operator.bounced.contains(&(id, node.user));
        if !is_there || sender == node.user || bounced {
            return Ok(());
        }
        Err(Violation::Removed(format!("{post}, message {id}, of {node:?}, not bounced,")))
    }
}

/// The message that this is a bounce of, and its recipient's name.
fn bounce_of(message: &bytes::Bytes) -> Option<(MessageId, String)> {
    let reply = Reply::parse(message).ok().filter(|reply| reply.from.as_deref() == Some(""))?;
    let etc: serde_json::Value = serde_json::from_slice(&reply.etc()?).ok()?;
    let bounce = etc.get("bounce")?;
    let of = bounce.get("id")?.as_str()?.parse().ok()?;
    Some((of, bounce.get("to")?.as_str()?.to_owned()))
}
