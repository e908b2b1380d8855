//! Directories that a job looks at, from which no name is removed meanwhile.
//!
//! So what was acked while they were measured is known to have been counted, and what was acked while
//! they were copied to is removed behind the copy, not before it.

use crate::id::MessageId;
use crate::journal::Epoch;
use crate::node::NodeId;
use std::collections::{BTreeSet, HashMap};

/// Names of a node's that are to be removed, each with the use of the journal that says so.
pub(super) type Unlinks = (NodeId, Vec<(MessageId, Epoch)>);

/// The nodes whose directories are looked at, by the token of the operation.
#[derive(Debug, Default)]
pub(super) struct Holds(HashMap<u64, Hold>);

#[derive(Debug)]
struct Hold {
    nodes: BTreeSet<NodeId>,
    unlinks: Vec<Unlinks>,
}

impl Holds {
    pub(super) fn begin(&mut self, token: u64, nodes: BTreeSet<NodeId>) {
        self.0.insert(token, Hold { nodes, unlinks: Vec::new() });
    }

    /// What was held, to be removed now.
    pub(super) fn end(&mut self, token: u64) -> Vec<Unlinks> {
        self.0.remove(&token).map(|hold| hold.unlinks).unwrap_or_default()
    }

    pub(super) fn covers(&self, node: NodeId) -> bool {
        self.0.values().any(|hold| hold.nodes.contains(&node))
    }

    /// Takes names until the node's directory is no longer looked at, or gives them back.
    pub(super) fn take(&mut self, unlinks: Unlinks) -> Option<Unlinks> {
        match self.0.values_mut().find(|hold| hold.nodes.contains(&unlinks.0)) {
            Some(hold) => {
                hold.unlinks.push(unlinks);
                None
            }
            None => Some(unlinks),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
