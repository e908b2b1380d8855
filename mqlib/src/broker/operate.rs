//! What the operator does to users, nodes and queues, while all goes on.

use super::bounces::Reason;
use super::clearing::{Clearing, End};
use super::drops::By;
use super::{Answer, Broker, Output};
use crate::credential::InvitationKey;
use crate::directory::Edit;
use crate::id::MessageId;
use crate::node::{NodeId, UserId};
use crate::now::Now;
use crate::quit::Quit;
use crate::store::{Refusal, SpoolOp};
use std::time::Duration;

/// Something that the operator wants done. Each is durable when it is answered.
#[derive(Debug)]
pub enum Operation {
    /// Make invitations with these tokens, good for so long.
    Invite(Vec<InvitationKey>, Duration),
    /// Delete a user: its links end, its nodes are dropped, its aliases are free, and it leaves its
    /// lists, whose members are told. What none of its nodes has is bounced. The name is free when
    /// nothing of it is left; then the operation is answered.
    DeleteUser(String),
    /// Disable a user, or enable it. Nobody logs in as a user that is disabled, or adds nodes to it, and
    /// its links end; what is posted to it waits.
    Disable(String, bool),
    /// Drop a node, by its user's name and its offset. What waits for a user's last one is bounced; then
    /// the user stays, without nodes, and only its name is of use to anyone: nobody else has it.
    DropNode(String, u8),
    /// Remove what waits for a node, as if it had acked it. What is for one node of the user is removed
    /// for all of them. What is in flight may arrive all the same; and after a crash before the answer,
    /// anything may, even behind what was posted later. Answered by how many it were.
    Purge {
        /// The user's name.
        user: String,
        /// The node's offset.
        offset: u8,
        /// Later messages stay. None: all that were posted before the operation are meant.
        up_to: Option<MessageId>,
        /// Tell the senders.
        bounce: bool,
    },
}

/// What an [`Operation`] came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operated {
    /// It is done.
    Done,
    /// So many messages were removed.
    Purged(u64),
}

/// Why an [`Operation`] was not carried out. Told to the operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OperateError {
    /// There is no user of this name.
    #[error("no user {0}")]
    NoUser(String),
    /// The user has no node at this offset.
    #[error("{0} has no node {1}")]
    NoNode(String, u8),
    /// There is no room for it; worth another try when there is.
    #[error(transparent)]
    NoRoom(#[from] Refusal),
    /// The node was dropped while its queue was purged.
    #[error("the node was dropped when {0} messages were purged")]
    Dropped(u64),
}

impl Broker {
    /// Does what the operator wants, or begins to; answered by `Operated` with the same number.
    pub(super) fn operate(&mut self, now: Now, number: u64, operation: Operation) {
        if let Err(error) = self.begin(now, number, operation) {
            self.out.push_back(Output::Operated(number, Err(error)));
        }
    }

    fn begin(&mut self, now: Now, number: u64, operation: Operation) -> Result<(), OperateError> {
        if self.full && !matches!(operation, Operation::Purge { bounce: false, .. }) {
            return Err(Refusal::DiskFull.into());
        }
        match operation {
            Operation::Invite(keys, lifetime) => self.invite(now, number, &keys, lifetime),
            Operation::DeleteUser(name) => {
                let user = self.known(&name)?;
                self.delete_user(now, number, user);
            }
            Operation::Disable(name, disabled) => {
                let user = self.known(&name)?;
                let edits = self.directory.disable(user, disabled);
                self.edit_for_operator(number, edits);
                for node in self.nodes_of(user).into_iter().filter(|_| disabled) {
                    self.log_out(now, node, Quit::UserDisabled);
                }
            }
            Operation::DropNode(name, offset) => {
                let user = self.known(&name)?;
                let dropped = self.directory.take_node(user, offset.into());
                let (node, edits) = dropped.map_err(|_| OperateError::NoNode(name, offset))?;
                let token = self.next_token();
                self.spool(SpoolOp::Edit(token, edits));
                self.log_out(now, node, Quit::NodeDropped);
                self.remove_node(node, None, By::Operator(number));
            }
            Operation::Purge { user: name, offset, up_to, bounce } => {
                let node = NodeId { user: self.known(&name)?, offset };
                if !self.directory.nodes(node.user).any(|known| known == node) {
                    return Err(OperateError::NoNode(name, offset));
                }
                self.meet([node.user]);
                let last = self.ids.last();
                let up_to = up_to.unwrap_or(last).min(last);
                let bounce = bounce.then_some(Reason::Purged);
                self.clear(Clearing::new(node, up_to, bounce, End::Purge(number)));
            }
        }
        Ok(())
    }

    fn known(&self, name: &str) -> Result<UserId, OperateError> {
        self.directory.user_id(name).ok_or_else(|| OperateError::NoUser(name.to_owned()))
    }

    /// Answers the operator once the edits are durable.
    pub(super) fn edit_for_operator(&mut self, number: u64, edits: Vec<Edit>) {
        let token = self.next_token();
        self.answers.insert(token, Answer::Operated(number));
        self.spool(SpoolOp::Edit(token, edits));
    }

    fn delete_user(&mut self, now: Now, number: u64, user: UserId) {
        self.leave_lists(now, user);
        let nodes = self.nodes_of(user);
        for node in &nodes {
            if self.sessions.contains_key(node) {
                self.directory.saw(*node, now.wall);
            }
        }
        let edits = self.directory.delete_user(user);
        let token = self.next_token();
        self.answers.insert(token, Answer::Deleted(user));
        self.spool(SpoolOp::Edit(token, edits));
        self.deleting.insert(user, number);
        for node in &nodes {
            self.log_out(now, *node, Quit::UserDeleted);
        }
        // In their order: the last is the heir of the others.
        let dropped: Vec<_> = self.directory.dropped(user).collect();
        for node in dropped.into_iter().filter(|node| nodes.contains(node)) {
            self.remove_node(node, None, By::Nobody);
        }
    }
}
