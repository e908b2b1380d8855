//! Queues that are looked through, to be cleared: what is there, and of whom.
//!
//! A look begins when all that it is to find has its file in the node's directory, so that one listing
//! has all of it: messages are filed first, and what comes from other nodes is waited for.

use super::op::SpoolDone;
use super::{Entry, Store};
use crate::id::MessageId;
use crate::node::NodeId;
use crate::spool::{Glanced, Job};
use std::collections::HashMap;

/// A part of a queue that is looked through.
#[derive(Debug, Clone, Copy)]
pub(super) struct Finding {
    pub(super) token: u64,
    pub(super) node: NodeId,
    pub(super) after: MessageId,
    pub(super) up_to: MessageId,
}

/// All that are under way.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Something is to come to its end first.
    waiting: Vec<Finding>,
    listing: HashMap<u64, Finding>,
}

impl Findings {
    /// These are to begin when they can.
    pub(super) fn wait(&mut self, findings: Vec<Finding>) {
        self.waiting.extend(findings);
    }

    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.listing.is_empty()
    }
}

impl Store {
    /// Goes on with those that nothing is in the way of.
    pub(super) fn find(&mut self) {
        for finding in std::mem::take(&mut self.findings.waiting) {
            let Finding { token, node, after, up_to } = finding;
            let Some(directory) = self.directory(node) else {
                self.done.push_back(SpoolDone::Found(token, Vec::new(), None));
                continue;
            };
            let unfiled = |entry: &Entry| entry.id <= up_to && entry.waits_for(node);
            let is_busy = self.copies.iter().any(|copying| copying.to == node)
                || self.drops.iter().any(|dropping| dropping.heir() == Some(node))
                || self.holds.covers(node)
                || self.index.iter().any(unfiled);
            if is_busy {
                self.findings.waiting.push(finding);
                continue;
            }
            self.findings.listing.insert(token, finding);
            let max = self.config.listing;
            self.jobs.push_back(Job::List { token, directory, after, max });
        }
    }

    /// A directory was listed.
    pub(super) fn found(&mut self, token: u64, mut found: Vec<(MessageId, bool)>, more: bool) {
        let Some(finding) = self.findings.listing.remove(&token) else { return };
        let end = found.last().map(|(id, _)| *id).filter(|end| more && *end < finding.up_to);
        found.retain(|(id, _)| *id <= finding.up_to && !self.deleting.contains(finding.node, *id));
        self.done.push_back(SpoolDone::Found(token, found, end));
    }

    pub(super) fn glance(
        &mut self,
        token: u64,
        node: NodeId,
        wanted: Vec<(MessageId, bool)>,
        headers: bool,
    ) {
        match self.directory(node) {
            Some(directory) => {
                self.jobs.push_back(Job::Glance { token, node, directory, wanted, headers });
            }
            None => self.done.push_back(SpoolDone::Glanced(token, Vec::new())),
        }
    }

    pub(super) fn glanced(&mut self, token: u64, node: NodeId, glanced: Glanced) {
        let Glanced { seen, damaged } = glanced;
        for (id, to_one, len, why) in damaged {
            self.lost(node, id, &why, len, to_one);
        }
        self.done.push_back(SpoolDone::Glanced(token, seen));
    }
}
