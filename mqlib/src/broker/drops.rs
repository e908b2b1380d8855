//! Nodes that are dropped: gone from the directory first, and then from the disk.
//!
//! The edit that takes a node out of the directory is the moment when it is gone; it also notes the
//! offset as dropped. From then on nobody logs in as that node and nothing is posted to it. The store
//! empties its queue, and when nothing of it is left anywhere, the offset is free for another node,
//! and whoever dropped it gets the ack. A crash in between leaves the note, and the next life goes on.
//!
//! What only one node of the user was to have goes to an heir, another node. Where there is none, for
//! it is the user's last node, nobody has what waits for it: all of that is bounced first.

use super::bounces::Reason;
use super::clearing::{Clearing, End};
use super::{Answer, Broker, LinkId, Operated, Output, Why};
use crate::node::{NodeId, UserId};
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
    by: By,
}

/// Who asked for a node to be dropped, in this life.
#[derive(Debug, Clone)]
pub(super) enum By {
    /// A client: its link, and its own id for the request.
    Client(LinkId, String),
    /// The operator, by the number of the operation.
    Operator(u64),
    /// An earlier life, or who deletes the user.
    Nobody,
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
            self.end(holder, Quit::NodeDropped);
        }
        self.left(now, node);
        let heir = Some(own).filter(|own| *own != node);
        self.remove_node(node, heir, By::Client(link, id));
    }

    /// Goes on with what an earlier life began.
    pub(super) fn go_on_dropping(&mut self) {
        let users = self.directory.users().chain(self.directory.leaving());
        let users = users.map(|(user, _)| user);
        let dropped: Vec<_> = users.flat_map(|user| self.directory.dropped(user)).collect();
        for node in dropped {
            self.remove_node(node, None, By::Nobody);
        }
    }

    /// Ends the link of a node that the directory knows no more, and its session.
    pub(super) fn log_out(&mut self, now: Now, node: NodeId, why: Quit) {
        if let Some(link) = self.sessions.get(&node).map(|session| session.link) {
            self.end(link, why);
        }
        self.left(now, node);
    }

    /// Has all that is left of a node removed, which the directory knows no more.
    pub(super) fn remove_node(&mut self, node: NodeId, heir: Option<NodeId>, by: By) {
        self.give_up_purges(node);
        match heir.or_else(|| self.directory.heir(node)) {
            Some(heir) => self.empty(node, Some(heir), by),
            None => {
                let is_deleted = self.directory.user(node.user).is_some_and(|user| user.deleted);
                let why = if is_deleted { Reason::UserDeleted } else { Reason::NoNodes };
                let up_to = self.ids.last();
                self.clear(Clearing::new(node, up_to, Some(why), End::Drop(by)));
            }
        }
    }

    /// Has the store remove all that is left of a node.
    pub(super) fn empty(&mut self, node: NodeId, heir: Option<NodeId>, by: By) {
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
        self.nothing_left(node.user);
        match by {
            By::Client(link, id) => {
                self.send(link, reply::ack(&id, true, AckError::Absent));
                self.settle(link);
                match self.links.get(&link).and_then(|link| link.node) {
                    Some(own) if own == node => self.end(link, Quit::NodeDropped),
                    _ => self.go_on(now, link),
                }
            }
            By::Operator(number) => {
                self.out.push_back(Output::Operated(number, Ok(Operated::Done)));
            }
            By::Nobody => {}
        }
    }

    /// If that was the last node of a user's, and nothing is left of any other, there is nothing to
    /// count, and who deleted the user is answered.
    pub(super) fn nothing_left(&mut self, user: UserId) {
        let is_left = self.directory.nodes(user).next().is_some()
            || self.is_clearing(user)
            || self.answers.values().any(|answer| answer.removed() == Some(user));
        if !is_left {
            self.tally.gone(user);
            if let Some(number) = self.deleting.remove(&user) {
                self.out.push_back(Output::Operated(number, Ok(Operated::Done)));
            }
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

    /// Ends the link of a node that is no more, or may not be logged in.
    pub(super) fn end(&mut self, id: LinkId, why: Quit) {
        self.close(id, why);
        if let Some(link) = self.links.get_mut(&id) {
            link.node = None;
        }
    }
}

impl Dropped {
    pub(super) fn user(&self) -> UserId {
        self.node.user
    }
}
