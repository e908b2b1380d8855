//! Queues that are looked through, to be cleared: what is there, how long it is, and who sent it.

use super::op::SpoolDone;
use super::{Entry, Store};
use crate::header;
use crate::id::MessageId;
use crate::node::NodeId;
use crate::spool::{Content, Glance, Glanced, Job, Others};
use bytes::Bytes;

/// A queue that is to be listed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Finding {
    pub(super) token: u64,
    pub(super) node: NodeId,
    pub(super) after: MessageId,
}

impl Store {
    /// Lists the queues to which nothing is on its way from another node.
    pub(super) fn find(&mut self) {
        for finding in std::mem::take(&mut self.findings) {
            let Finding { token, node, after } = finding;
            let is_on_its_way = self.copies.iter().any(|copying| copying.to == node)
                || self.drops.iter().any(|dropping| dropping.heir() == Some(node))
                || self.holds.covers(node);
            match is_on_its_way {
                true => self.findings.push(finding),
                false => self.list(token, node, after),
            }
        }
    }

    /// Looks at messages: what is not filed is here, the rest is for a worker. Also whether what is not
    /// filed waits for other nodes, for they may have been copied to before the crash that brought it
    /// back here: then they have a file of a message that was not posted to them.
    pub(super) fn glance(
        &mut self,
        token: u64,
        node: NodeId,
        mut wanted: Vec<(MessageId, bool)>,
        headers: bool,
        others: &[NodeId],
    ) {
        let asked = self.others(&wanted, others);
        let mut unfiled = Vec::new();
        wanted.retain(|(id, _)| {
            let entry = self.index.get(*id).filter(|entry| entry.waits_for(node));
            unfiled.extend(entry.map(glance_at));
            entry.is_none()
        });
        match self.directory(node) {
            Some(directory) if !wanted.is_empty() || !others.is_empty() => {
                let others = asked;
                let job = Job::Glance { token, node, directory, wanted, headers, others, unfiled };
                self.jobs.push_back(job);
            }
            _ => self.done.push_back(SpoolDone::Glanced(token, unfiled)),
        }
    }

    /// What is known here of other nodes that are asked about.
    fn others(&self, wanted: &[(MessageId, bool)], nodes: &[NodeId]) -> Others {
        let mut others = Others::default();
        for &node in nodes {
            let Some(directory) = self.directory(node) else { continue };
            for (id, _) in wanted {
                if self.deleting.contains(node, *id) {
                    others.acked.insert(*id);
                } else if self.index.get(*id).is_some_and(|entry| entry.waits_for(node)) {
                    others.unfiled.insert((directory.clone(), *id));
                }
            }
            others.directories.push(directory);
        }
        others
    }

    pub(super) fn glanced(&mut self, token: u64, node: NodeId, glanced: Glanced) {
        let Glanced { seen, damaged } = glanced;
        for (id, to_one, len, why) in damaged {
            self.lost(node, id, &why, len, to_one);
        }
        self.done.push_back(SpoolDone::Glanced(token, seen));
    }
}

/// What is to be seen of a message that is not filed; of other nodes, as if none were asked about.
fn glance_at(entry: &Entry) -> Glance {
    let begin = match &entry.content {
        Content::Whole(message) => message,
        Content::Staged(staged) => &staged.header,
    };
    let header = header::split(begin).map(|(header, _)| header).unwrap_or_default();
    let (id, to_one, len) = (entry.id, entry.to_one, entry.content.message_len());
    Glance { id, to_one, len, header: Bytes::copy_from_slice(header), by_others: true }
}
