//! What an operator may know of a store at work; nothing is changed by it.

use super::Store;
use super::index::Entry;
use crate::id::MessageId;
use crate::journal::Record;
use crate::node::NodeId;
use crate::spool::Content;
use std::collections::HashSet;

/// What of a node's queue the names in its directory do not tell.
///
/// Ask this first, and look at the directory then: what is filed in between is in both.
#[derive(Debug, Default)]
pub struct Unfiled {
    /// What has no file for certain: the message, whether it is for one node of its user only, and
    /// what it says; in order.
    pub waiting: Vec<(MessageId, bool, Content)>,
    /// What is acked, though its name may still be there.
    pub acked: HashSet<MessageId>,
}

impl Unfiled {
    /// The same of a store that is stopped, from all records of its journal. Some of what waits may
    /// have its file.
    pub fn of(records: &[Record], node: NodeId) -> Self {
        let mut unfiled = Self::default();
        for record in records {
            match record {
                Record::Post(post) if post.nodes.contains(&node) => {
                    unfiled.waiting.push((post.id, post.to_one, post.content.clone()));
                }
                Record::Delete(ids, nodes) if nodes.contains(&node) => {
                    unfiled.waiting.retain(|(id, ..)| !ids.contains(id));
                    unfiled.acked.extend(ids);
                }
                Record::Drop(dropped) if *dropped == node => unfiled = Self::default(),
                _ => {}
            }
        }
        unfiled
    }
}

impl Store {
    /// What waits for a node and is not filed, and what no longer waits though it is.
    pub fn unfiled_of(&self, node: NodeId) -> Unfiled {
        let entries = self.index.iter().filter(|entry| entry.waits_for(node));
        let of = |entry: &Entry| (entry.id, entry.to_one, entry.content.clone());
        Unfiled {
            waiting: entries.map(of).collect(),
            acked: self.deleting.of(node).into_iter().collect(),
        }
    }
}
