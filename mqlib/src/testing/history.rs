//! The oracle: what was promised, and what happened.

use crate::id::MessageId;
use crate::node::NodeId;
use std::collections::{BTreeMap, HashMap, HashSet};

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A post was acked, and a node that it was for never got it.
    #[error("post {post} was acked, but {node:?} never got message {id}")]
    Lost {
        /// The poster's number for it.
        post: u64,
        /// The message.
        id: MessageId,
        /// The node.
        node: NodeId,
    },
    /// A node got a message that was not for it, or none that was ever committed.
    #[error("{node:?} got message {id}, which is not for it")]
    Stray {
        /// The message.
        id: MessageId,
        /// The node.
        node: NodeId,
    },
    /// A message was not what was posted.
    #[error("message {id} is not what was posted")]
    Corrupted {
        /// The message.
        id: MessageId,
    },
    /// A node got messages in another order than they were committed in.
    #[error("{node:?} got message {id} after the later {later}")]
    Order {
        /// The node.
        node: NodeId,
        /// The message.
        id: MessageId,
        /// What it had got before.
        later: MessageId,
    },
    /// A node got a message again after its delete was durable.
    #[error("{node:?} got message {id} after its delete was durable")]
    Deleted {
        /// The node.
        node: NodeId,
        /// The message.
        id: MessageId,
    },
    /// An id was given again, or a smaller one than before.
    #[error("id {id} is not larger than {last}")]
    Id {
        /// The id.
        id: MessageId,
        /// An earlier one.
        last: MessageId,
    },
    /// A user, node or member that was confirmed is gone.
    #[error("forgotten: {0}")]
    Forgotten(String),
    /// Something still waits although all that wait for it are there.
    #[error("stuck: {0}")]
    Stuck(String),
    /// A post was acked, and a recipient neither has it nor is said to have a full queue.
    #[error("post {post} was acked, but is not stored for {node:?}, and nobody was told")]
    Untold {
        /// The poster's number for it.
        post: u64,
        /// The node.
        node: NodeId,
    },
    /// What is counted as waiting does not wait.
    #[error("nothing waits, but is counted: {0}")]
    Miscounted(String),
    /// The server could not start again.
    #[error("the store does not open: {0}")]
    Closed(String),
}

/// What is known of a message.
#[derive(Debug)]
struct Message {
    post: Option<u64>,
    nodes: Vec<NodeId>,
    to_one: bool,
    /// Nodes that must get it because they were added while it waited.
    copied_to: HashSet<NodeId>,
    delivered: HashSet<NodeId>,
    acked: HashSet<NodeId>,
}

/// All that happened, over all lives of the server.
#[derive(Debug, Default)]
pub(super) struct History {
    messages: BTreeMap<MessageId, Message>,
    /// Posts whose posters were told that all is well.
    acked: HashSet<u64>,
    /// Per node, the latest message that it got in order.
    latest: HashMap<NodeId, MessageId>,
    /// Nodes that may get older messages, for a queue was copied to them.
    copies: HashSet<NodeId>,
    /// Acks that were submitted, and those that are durable.
    deleting: HashSet<(NodeId, MessageId)>,
    deleted: HashSet<(NodeId, MessageId)>,
    last_id: Option<MessageId>,
    pub(super) deliveries: u64,
}

impl History {
    pub(super) fn acked_posts(&self) -> u64 {
        self.acked.len() as u64
    }

    /// The broker hands a message to the store.
    pub(super) fn committing(
        &mut self,
        post: Option<u64>,
        id: MessageId,
        nodes: &[NodeId],
        to_one: bool,
    ) -> Result<(), Violation> {
        if let Some(last) = self.last_id.filter(|last| *last >= id) {
            return Err(Violation::Id { id, last });
        }
        self.last_id = Some(id);
        let message = Message {
            post,
            nodes: nodes.to_vec(),
            to_one,
            copied_to: HashSet::new(),
            delivered: HashSet::new(),
            acked: HashSet::new(),
        };
        self.messages.insert(id, message);
        Ok(())
    }

    pub(super) fn acked(&mut self, post: u64) {
        self.acked.insert(post);
    }

    /// Was a message of the post committed for the node?
    pub(super) fn is_for(&self, post: u64, node: NodeId) -> bool {
        let mut messages = self.messages.values();
        messages.any(|message| message.post == Some(post) && message.nodes.contains(&node))
    }

    pub(super) fn delivered(&mut self, node: NodeId, id: MessageId) -> Result<(), Violation> {
        self.deliveries += 1;
        if self.deleted.contains(&(node, id)) && !self.copies.contains(&node) {
            return Err(Violation::Deleted { node, id });
        }
        let message = self.messages.get_mut(&id).ok_or(Violation::Stray { id, node })?;
        let meant = message.nodes.contains(&node);
        if !meant && !self.copies.contains(&node) {
            return Err(Violation::Stray { id, node });
        }
        let first = message.delivered.insert(node);
        if first && meant && !message.to_one && !self.copies.contains(&node) {
            match self.latest.insert(node, id) {
                Some(later) if later > id => return Err(Violation::Order { node, id, later }),
                _ => {}
            }
        }
        Ok(())
    }

    /// A node's ack of a message is handed to the store.
    pub(super) fn deleting(&mut self, node: NodeId, id: MessageId) {
        self.deleting.insert((node, id));
    }

    /// A node acks a message that it got.
    pub(super) fn client_acked(&mut self, node: NodeId, id: MessageId) {
        if let Some(message) = self.messages.get_mut(&id) {
            message.acked.insert(node);
        }
    }

    /// All acks so far are durable.
    pub(super) fn deletes_are_durable(&mut self) {
        self.deleted.extend(self.deleting.drain());
    }

    /// The server went down: acks that were not durable may be forgotten, ids that were not either.
    pub(super) fn crashed(&mut self, last_id: MessageId) {
        self.deleting.clear();
        // An id that nobody saw may come again.
        let acked = &self.acked;
        let seen = |message: &Message| {
            message.post.is_some_and(|post| acked.contains(&post)) || !message.delivered.is_empty()
        };
        self.messages.retain(|id, message| *id <= last_id || seen(message));
        self.last_id = Some(last_id);
    }

    /// A queue is copied to a node, that may get anything from now on.
    pub(super) fn copying(&mut self, to: NodeId) {
        self.copies.insert(to);
    }

    /// A queue is about to be copied: what waits for `from` now. The answer is to be confirmed.
    pub(super) fn waiting_for(&self, from: NodeId) -> Vec<MessageId> {
        let waits = |(_, message): &(&MessageId, &Message)| {
            let acked = message.post.is_some_and(|post| self.acked.contains(&post));
            acked && message.nodes.contains(&from) && !message.acked.contains(&from)
        };
        self.messages.iter().filter(waits).map(|(id, _)| *id).collect()
    }

    /// A queue was copied: of what waited, all that `from` has not acked meanwhile is `to`'s.
    pub(super) fn copied(&mut self, from: NodeId, to: NodeId, waiting: &[MessageId]) {
        for id in waiting {
            if let Some(message) = self.messages.get_mut(id)
                && !message.acked.contains(&from)
                && !message.to_one
            {
                message.copied_to.insert(to);
            }
        }
    }

    /// Everyone was there and has acked all: was anything lost?
    pub(super) fn check(&self) -> Result<(), Violation> {
        for (&id, message) in &self.messages {
            let Some(post) = message.post.filter(|post| self.acked.contains(post)) else {
                continue;
            };
            if message.to_one {
                if message.acked.is_empty()
                    && let Some(&node) = message.nodes.first()
                {
                    return Err(Violation::Lost { post, id, node });
                }
                continue;
            }
            let meant = message.nodes.iter().chain(&message.copied_to);
            if let Some(&node) = meant.into_iter().find(|node| !message.acked.contains(node)) {
                return Err(Violation::Lost { post, id, node });
            }
        }
        Ok(())
    }
}
