//! What waits for a node, seen from two sides: files in its directory, and what is not filed yet.
//!
//! A worker lists the directory while messages are filed and removed; so a listing remembers what
//! was not filed when it began, and forgets what was acked since.

use crate::id::MessageId;
use crate::node::NodeId;
use std::collections::{HashMap, HashSet};

/// A listing under way.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) node: NodeId,
    unfiled: Vec<(MessageId, bool)>,
    deleted: HashSet<MessageId>,
}

impl Listing {
    pub(super) fn new(
        node: NodeId,
        unfiled: Vec<(MessageId, bool)>,
        deleted: Vec<MessageId>,
    ) -> Self {
        Self { node, unfiled, deleted: deleted.into_iter().collect() }
    }

    pub(super) fn delete(&mut self, node: NodeId, id: MessageId) {
        if node == self.node {
            self.deleted.insert(id);
        }
    }

    /// The oldest of all, the id up to which that is all there is, if there are more behind, and
    /// how many there are in all, about. `more` were in the directory than were found.
    pub(super) fn merge(
        self,
        mut found: Vec<(MessageId, bool)>,
        more: usize,
        max: usize,
    ) -> (Vec<(MessageId, bool)>, Option<MessageId>, usize) {
        // Behind the last of a listing that was cut, only another listing knows the order.
        let mut end = found.last().map(|(id, _)| *id).filter(|_| more > 0);
        let (unfiled, behind): (Vec<_>, Vec<_>) =
            self.unfiled.into_iter().partition(|(id, _)| end.is_none_or(|end| *id <= end));
        found.extend(unfiled);
        found.retain(|(id, _)| !self.deleted.contains(id));
        found.sort_unstable();
        found.dedup();
        let all = found.len() + more + behind.len();
        if found.len() > max {
            found.truncate(max);
            end = found.last().map(|(id, _)| *id);
        }
        (found, end, all)
    }
}

/// Names that are about to be unlinked: acked, but still in a directory.
#[derive(Debug, Default)]
pub(super) struct Deleting {
    nodes: HashMap<NodeId, HashSet<MessageId>>,
}

impl Deleting {
    /// `false` if it was there already.
    pub(super) fn insert(&mut self, node: NodeId, id: MessageId) -> bool {
        self.nodes.entry(node).or_default().insert(id)
    }

    pub(super) fn contains(&self, node: NodeId, id: MessageId) -> bool {
        self.nodes.get(&node).is_some_and(|ids| ids.contains(&id))
    }

    pub(super) fn remove(&mut self, node: NodeId, id: MessageId) {
        if let Some(ids) = self.nodes.get_mut(&node) {
            ids.remove(&id);
            if ids.is_empty() {
                self.nodes.remove(&node);
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    pub(super) fn of(&self, node: NodeId) -> Vec<MessageId> {
        self.nodes.get(&node).into_iter().flatten().copied().collect()
    }
}
