//! Nodes that are dropped: all that is left of them goes.
//!
//! What is under way for such a node comes to its end first: files being written, acks being carried
//! out, copies, posts being put into its file. Then one job empties its directory, and at last a record
//! in the journal says that what stands there for the node, from before, counts no more. Behind it
//! the same offset may be another node's.

use super::Store;
use super::index::Entry;
use crate::id::MessageId;
use crate::node::NodeId;
use crate::spool::{self, Job};

/// A node that is being dropped.
#[derive(Debug)]
pub(super) struct Dropping {
    token: u64,
    node: NodeId,
    /// Gets what is for one node of the user only.
    heir: Option<NodeId>,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Something is under way for the node.
    Waiting,
    /// A job empties its directory.
    Emptying,
    /// The journal is to say so.
    Emptied,
}

impl Dropping {
    pub(super) fn new(token: u64, node: NodeId, heir: Option<NodeId>) -> Self {
        Self { token, node, heir, stage: Stage::Waiting }
    }

    pub(super) fn token(&self) -> u64 {
        self.token
    }

    pub(super) fn heir(&self) -> Option<NodeId> {
        self.heir
    }
}

impl Store {
    /// Goes on with nodes that are dropped, where nothing is in the way any more.
    pub(super) fn drop_nodes(&mut self) {
        for at in 0..self.drops.len() {
            let Some(&Dropping { token, node, heir, stage }) = self.drops.get(at) else { return };
            if stage != Stage::Waiting {
                continue;
            }
            // What has no file yet is to be copied from one.
            if self.copies.iter().any(|copying| copying.from == node) {
                continue;
            }
            self.void(node, false);
            self.free();
            if self.is_busy(node) || heir.is_some_and(|heir| self.holds.covers(heir)) {
                continue;
            }
            self.recent.forget(node);
            let Some(name) = self.names.get(node.user) else { continue };
            let directory = spool::directory(name, node).into();
            let posted = spool::posted_path(name, node).into();
            let heir_directory = heir.map(|heir| spool::directory(name, heir).into());
            // What was acked for all nodes is about to be removed there.
            let except = heir.map(|heir| self.deleting.of(heir)).unwrap_or_default();
            self.holds.begin(token, heir.into_iter().chain([node]).collect());
            self.jobs.push_back(Job::Empty {
                token,
                directory,
                heir: heir_directory,
                except,
                posted,
            });
            if let Some(dropping) = self.drops.get_mut(at) {
                dropping.stage = Stage::Emptying;
            }
        }
    }

    /// Is anything under way that reads or changes what there is of a node, or is about to?
    fn is_busy(&self, node: NodeId) -> bool {
        // Who takes a backup reads directories in any order.
        self.backup.is_some()
            || self.copies.iter().any(|copying| copying.to == node)
            || self.drops.iter().any(|earlier| earlier.heir == Some(node))
            || self.holds.covers(node)
            || !self.deleting.of(node).is_empty()
            || self.recent.is_leaving(node)
            || self.index.iter().any(|entry| entry.waits_for(node))
    }

    /// What is not filed waits no more for a node, but for what is being filed, and what one node of
    /// its user is to have unless that is gone as well.
    pub(super) fn void(&mut self, node: NodeId, to_one: bool) {
        let waits = |entry: &&Entry| entry.waits_for(node) && (to_one || !entry.to_one);
        let ids: Vec<MessageId> = self.index.iter().filter(waits).map(|entry| entry.id).collect();
        for id in ids {
            self.forget(id, node);
        }
        self.index.pop_settled();
    }

    /// Is a directory being emptied?
    pub(super) fn is_emptying(&self) -> bool {
        self.drops.iter().any(|dropping| dropping.stage == Stage::Emptying)
    }

    /// A node's directory is empty.
    pub(super) fn emptied(&mut self, token: u64) {
        self.release(token);
        let dropping = self.drops.iter_mut().find(|dropping| dropping.token == token);
        if let Some(dropping) = dropping {
            dropping.stage = Stage::Emptied;
        }
    }

    /// A node whose directory is empty, which the journal does not say yet.
    pub(super) fn next_emptied(&self) -> Option<(u64, NodeId)> {
        let emptied = self.drops.iter().find(|dropping| dropping.stage == Stage::Emptied)?;
        Some((emptied.token, emptied.node))
    }
}
