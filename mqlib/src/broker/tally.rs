//! How much waits for each node, so that a queue has an end.
//!
//! Only users are counted who were posted to in this life of the server; an idle one has no entry.
//! A message counts from the moment when it is handed to the store, and no more when it is refused
//! or acked. What waits from before a user was met is measured by the store, and added when it
//! answers; for so long a queue may grow beyond its limit. A message for one node of a user counts
//! once for the user, and towards the limit of all its nodes: which of them will take it is not known.
//!
//! An entry goes when the user's last node leaves and nothing waits for any; the next post measures
//! again. So a count that is wrong, for somebody removed files, is right again at the latest after a
//! restart.

use crate::by_user::ByUser;
use crate::limits::{Limits, QueueLimit};
use crate::node::{NodeId, UserId};
use crate::spool::{Amount, Measured};

/// What waits for all users that were met.
#[derive(Debug, Default)]
pub(super) struct Tally {
    users: ByUser<Box<User>>,
}

#[derive(Debug, Default)]
struct User {
    /// The store has not yet answered what waits from before.
    measuring: bool,
    /// So many messages turned out to be damaged meanwhile, and may have been counted or not.
    doubtful: u32,
    /// For each node, by offset; none for nodes behind the last.
    nodes: Vec<Count>,
    /// For one of them.
    to_one: Count,
}

/// Below zero for a moment, when a node acks what it was just given a copy of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Count {
    messages: i32,
    bytes: i64,
}

impl Count {
    fn add(&mut self, amount: Amount) {
        self.messages += amount.messages as i32;
        self.bytes += amount.bytes as i64;
    }

    fn remove(&mut self, len: usize) {
        self.messages -= 1;
        self.bytes -= len as i64;
        if self.messages == 0 {
            // A file that was cut short was longer once.
            self.bytes = 0;
        }
    }
}

impl User {
    fn node(&mut self, offset: u8) -> &mut Count {
        let at = usize::from(offset);
        if at >= self.nodes.len() {
            self.nodes.reserve_exact(at + 1 - self.nodes.len());
            self.nodes.resize(at + 1, Count::default());
        }
        &mut self.nodes[at]
    }

    fn is_empty(&self) -> bool {
        let none = |count: &Count| count.messages.unsigned_abs() <= self.doubtful;
        self.nodes.iter().chain([&self.to_one]).all(none)
    }
}

impl Tally {
    pub(super) fn knows(&self, user: UserId) -> bool {
        self.users.get(user).is_some()
    }

    /// Begins to count for a user; what waits from before is being measured.
    pub(super) fn meet(&mut self, user: UserId) {
        self.users.insert(user, Box::new(User { measuring: true, ..User::default() }));
    }

    /// What waited for nodes, all of their users', before they were met.
    pub(super) fn measured(&mut self, nodes: &[NodeId], measured: &Measured) {
        for node in nodes {
            if let Some(user) = self.users.get_mut(node.user) {
                user.measuring = false;
            }
        }
        for (node, amount) in &measured.nodes {
            self.add_to(*node, *amount);
        }
        for (user, amount) in &measured.to_one {
            self.add_to_one(*user, *amount);
        }
    }

    fn add_to_one(&mut self, user: UserId, amount: Amount) {
        if let Some(user) = self.users.get_mut(user) {
            user.to_one.add(amount);
        }
    }

    /// A node has more.
    pub(super) fn add_to(&mut self, node: NodeId, amount: Amount) {
        if let Some(user) = self.users.get_mut(node.user) {
            user.node(node.offset).add(amount);
        }
    }

    /// A message is handed to the store.
    pub(super) fn add(&mut self, nodes: &[NodeId], to_one: bool, len: usize) {
        let amount = Amount { messages: 1, bytes: len as u64 };
        match nodes.first() {
            Some(node) if to_one => self.add_to_one(node.user, amount),
            _ => nodes.iter().for_each(|node| self.add_to(*node, amount)),
        }
    }

    /// It was acked by these nodes, or not taken by the store.
    pub(super) fn remove(&mut self, nodes: &[NodeId], to_one: bool, len: usize) {
        let nodes = if to_one { nodes.get(..1).unwrap_or_default() } else { nodes };
        for node in nodes {
            if let Some(user) = self.users.get_mut(node.user) {
                let count = if to_one { &mut user.to_one } else { user.node(node.offset) };
                count.remove(len);
            }
        }
    }

    /// A message of a node's waits no more, though nobody acked it.
    pub(super) fn lost(&mut self, node: NodeId, len: usize) {
        match self.users.get_mut(node.user) {
            Some(user) if user.measuring => user.doubtful += 1,
            Some(user) => user.node(node.offset).remove(len),
            None => {}
        }
    }

    /// Nothing is left of a node.
    pub(super) fn dropped(&mut self, node: NodeId) {
        let nodes = self.users.get_mut(node.user).map(|user| &mut user.nodes);
        if let Some(count) = nodes.and_then(|nodes| nodes.get_mut(usize::from(node.offset))) {
            *count = Count::default();
        }
    }

    /// Nothing is left of any node of a user's.
    pub(super) fn gone(&mut self, user: UserId) {
        self.users.remove(user);
    }

    /// How much waits for each node of a user, at the offsets given: what is for one of them counts
    /// for each. `None` as long as what waits from before is not known.
    pub(super) fn waiting(&self, user: UserId, offsets: &[u8]) -> Option<Vec<Amount>> {
        let user = self.users.get(user).filter(|user| !user.measuring)?;
        let waiting = offsets.iter().map(|offset| {
            let own = user.nodes.get(usize::from(*offset)).copied().unwrap_or_default();
            let messages = i64::from(own.messages) + i64::from(user.to_one.messages);
            let bytes = own.bytes + user.to_one.bytes;
            Amount { messages: messages.max(0) as u64, bytes: bytes.max(0) as u64 }
        });
        Some(waiting.collect())
    }

    /// The limit that the node's queue has reached, if it has.
    pub(super) fn full(&self, node: NodeId, limits: &Limits) -> Option<QueueLimit> {
        let user = self.users.get(node.user)?;
        let own = user.nodes.get(usize::from(node.offset)).copied().unwrap_or_default();
        let messages = i64::from(own.messages) + i64::from(user.to_one.messages);
        let bytes = own.bytes + user.to_one.bytes;
        if messages >= i64::from(limits.queue_messages) {
            return Some(QueueLimit::Messages(limits.queue_messages));
        }
        (bytes >= limits.queue_bytes as i64).then_some(QueueLimit::Bytes(limits.queue_bytes))
    }

    /// Forgets a user, all of whose nodes are offline, if nothing waits for them.
    pub(super) fn forget(&mut self, user: UserId) {
        if self.users.get(user).is_some_and(|user| !user.measuring && user.is_empty()) {
            self.users.remove(user);
        }
    }

    /// Users whose counts are not what they are when nothing waits for anyone.
    #[cfg(feature = "testing")]
    pub(super) fn counted(&self) -> String {
        let counted = self.users.iter().filter(|(_, user)| user.measuring || !user.is_empty());
        let counted: Vec<_> = counted.collect();
        if counted.is_empty() { String::new() } else { format!("{counted:?}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOB: UserId = UserId(7);

    fn node(offset: u8) -> NodeId {
        NodeId { user: BOB, offset }
    }

    #[test]
    fn a_message_for_one_node_counts_towards_the_limit_of_all() {
        let limits = Limits { queue_messages: 2, queue_bytes: 100, ..Limits::default() };
        let mut tally = Tally::default();
        tally.meet(BOB);
        tally.add(&[node(0), node(3)], true, 10);
        tally.add(&[node(3)], false, 10);
        assert_eq!(tally.full(node(0), &limits), None);
        assert_eq!(tally.full(node(3), &limits), Some(QueueLimit::Messages(2)));
        tally.remove(&[node(0)], true, 10);
        assert_eq!(tally.full(node(3), &limits), None);
        tally.add(&[node(3)], false, 200);
        tally.remove(&[node(3)], false, 10);
        assert_eq!(tally.full(node(3), &limits), Some(QueueLimit::Bytes(100)));
    }

    #[test]
    fn who_has_nothing_is_forgotten_unless_it_is_still_measured() {
        let mut tally = Tally::default();
        tally.meet(BOB);
        tally.forget(BOB);
        assert!(tally.knows(BOB));
        let mut measured = Measured::default();
        measured.add(node(0), 5);
        tally.measured(&[node(0)], &measured);
        tally.forget(BOB);
        assert!(tally.knows(BOB));
        tally.remove(&[node(0)], false, 5);
        tally.forget(BOB);
        assert!(!tally.knows(BOB));
    }
}
