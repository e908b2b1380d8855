//! How much waits for nodes, for a broker that has not counted from the beginning.
//!
//! What is counted is what waited when the question came: names in the nodes' directories, and what
//! a crash left in the journal and is not filed yet. What was committed since has a larger id, and of
//! what was acked since the names stay until the answer is there.

use super::Store;
use super::op::SpoolDone;
use crate::id::MessageId;
use crate::node::NodeId;
use crate::spool::{Job, Measured, ToMeasure};
use std::collections::{BTreeSet, HashMap, HashSet};

/// A measurement under way.
#[derive(Debug)]
pub(super) struct Measuring {
    nodes: Vec<NodeId>,
    /// Others, of which only what is for one node counts.
    dropped: Vec<NodeId>,
    /// What is in the journal only.
    unfiled: Measured,
}

impl Store {
    pub(super) fn measure(
        &mut self,
        token: u64,
        up_to: MessageId,
        nodes: Vec<NodeId>,
        dropped: Vec<NodeId>,
    ) {
        // Those that are dropped first: what they leave to others goes there before it goes here.
        let all: Vec<NodeId> = dropped.iter().chain(&nodes).copied().collect();
        let mut unfiled = Measured::default();
        let mut except: HashMap<NodeId, HashSet<MessageId>> = HashMap::new();
        let mut to_one = HashSet::new();
        for node in &all {
            let deleting = self.deleting.of(*node);
            if !deleting.is_empty() {
                to_one.extend(deleting.iter().copied());
                except.entry(*node).or_default().extend(deleting);
            }
        }
        let set: BTreeSet<NodeId> = all.iter().copied().collect();
        // What was committed in this life, for users that were met before, is acked: else they would
        // still be counted.
        for entry in self.index.iter().take_while(|entry| entry.id <= self.recovered_to) {
            let len = entry.content.message_len() as u64;
            for node in entry.nodes().iter().filter(|node| set.contains(node)) {
                if entry.to_one {
                    if to_one.insert(entry.id) {
                        unfiled.add_to_one(node.user, len);
                    }
                } else if except.entry(*node).or_default().insert(entry.id) {
                    unfiled.add(*node, len);
                }
            }
        }
        let mut directories = Vec::with_capacity(all.len());
        for &node in &all {
            // A user that is gone has nothing.
            let Some(directory) = self.directory(node) else { continue };
            let except = except.remove(&node).unwrap_or_default();
            directories.push(ToMeasure { node, directory, except });
        }
        self.holds.begin(token, set);
        self.measuring.insert(token, Measuring { nodes, dropped, unfiled });
        self.jobs.push_back(Job::Measure { token, up_to, directories, to_one });
    }

    /// The directories have been counted.
    pub(super) fn measured(&mut self, token: u64, mut found: Measured) {
        let Some(measuring) = self.measuring.remove(&token) else { return };
        let Measuring { nodes, dropped, unfiled } = measuring;
        found.merge(unfiled);
        found.nodes.retain(|node, _| !dropped.contains(node));
        self.done.push_back(SpoolDone::Measured(nodes, found));
        self.release(token);
    }
}
