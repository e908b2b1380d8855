//! Nodes that are dropped: gone from the directory first, and then from the disk.
//!
//! The edit that takes a node out of the directory is the moment when it is gone; it also notes the
//! offset as dropped. From then on nobody logs in as that node and nothing is posted to it. The store
//! empties its queue, and when nothing of it is left anywhere, the offset is free for another node,
//! and whoever dropped it gets the ack. A crash in between leaves the note, and the next life goes on.

use super::{Answer, Broker, LinkId, Why};
use crate::node::NodeId;
use crate::now::Now;
use crate::quit::Quit;
use crate::reply::{self, AckError};
use crate::store::SpoolOp;

/// A node that is being dropped.
#[derive(Debug)]
pub(super) struct Dropped {
    node: NodeId,
    /// The node of the same user that gets what only one of the user's nodes was to have.
    heir: Option<NodeId>,
    /// Who asked for it, in this life: the link, and its own id for the request.
    by: Option<(LinkId, String)>,
}

impl Broker {
    pub(super) fn drop_node(
        &mut self,
        now: Now,
        link: LinkId,
        own: NodeId,
        id: String,
        offset: u64,
    ) {
        let (node, edits) = match self.directory.drop_node(own.user, offset) {
            Ok(dropped) => dropped,
            Err(error) => {
                self.totals.refuse(Why::Request);
                self.send(link, reply::ack(&id, false, AckError::Text(error.to_string())));
                return self.settle(link);
            }
        };
        let token = self.next_token();
        self.spool(SpoolOp::Edit(token, edits));
        self.set_busy(link);
        let holder = self.sessions.get(&node).map(|session| session.link);
        // Whoever drops itself gets the ack first.
        if let Some(holder) = holder.filter(|holder| *holder != link) {
            self.end(holder);
        }
        self.left(now, node);
        let heir = Some(own).filter(|own| *own != node);
        self.empty(node, heir, Some((link, id)));
    }

    /// Goes on with what an earlier life began.
    pub(super) fn go_on_dropping(&mut self) {
        let users = self.directory.users().map(|(user, _)| user);
        let dropped: Vec<_> = users.flat_map(|user| self.directory.dropped(user)).collect();
        for node in dropped {
            self.empty(node, None, None);
        }
    }

    /// Has the store remove all that is left of a node.
    fn empty(&mut self, node: NodeId, heir: Option<NodeId>, by: Option<(LinkId, String)>) {
        let heir = heir.or_else(|| self.directory.nodes(node.user).next());
        let token = self.next_token();
        self.answers.insert(token, Answer::Dropped(Dropped { node, heir, by }));
        self.spool(SpoolOp::Drop(token, node, heir));
    }

    /// Nothing is left of a node.
    pub(super) fn dropped(&mut self, now: Now, dropped: Dropped) {
        let Dropped { node, heir, by } = dropped;
        self.tally.dropped(node);
        self.gone.push(node);
        self.free_offsets();
        if let Some(heir) = heir {
            self.relist(now, heir);
        }
        self.forget(node.user);
        let Some((link, id)) = by else { return };
        self.send(link, reply::ack(&id, true, AckError::Absent));
        self.settle(link);
        match self.links.get(&link).and_then(|link| link.node) {
            Some(own) if own == node => self.end(link),
            _ => self.go_on(now, link),
        }
    }

    /// Makes the offsets of nodes that are gone free for others, if the directory may be changed now.
    pub(super) fn free_offsets(&mut self) {
        if self.full {
            return;
        }
        for node in std::mem::take(&mut self.gone) {
            let edits = self.directory.free(node);
            let token = self.next_token();
            self.spool(SpoolOp::Edit(token, edits));
        }
    }

    /// Ends the link of a node that is no more.
    fn end(&mut self, id: LinkId) {
        self.close(id, Quit::NodeDropped);
        if let Some(link) = self.links.get_mut(&id) {
            link.node = None;
        }
    }
}
