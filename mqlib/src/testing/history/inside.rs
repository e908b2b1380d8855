//! What a harness tells that sees the server's inside: messages, deletes and copies on their way to
//! the disk.

use super::audience::{Fate, Message};
use super::receiver::Receiver;
use super::{History, NodeRef, PostRef, Violation};
use crate::id::MessageId;

impl History {
    /// The server hands a message to its disk: what `post` becomes, or a part of it (a notice is no
    /// post's), for all of `nodes`, or for the first of them that takes it.
    pub fn committing(
        &mut self,
        post: Option<PostRef>,
        id: MessageId,
        nodes: &[NodeRef],
        to_one: bool,
    ) {
        if let Some(last) = self.last_id.filter(|last| *last >= id) {
            return self.broken(Violation::Id { id, last });
        }
        self.last_id = Some(id);
        let message = Message::committed(post, nodes, to_one);
        if let Some(post) = post
            && let Some(since) =
                self.post_mut(post).filter(|entry| entry.again).map(|entry| entry.since)
        {
            // The attempts before came to nothing, or they will be strays: all that they were to
            // become, for this one may be for fewer.
            let same = message.purpose();
            let before = |id: &MessageId| since.is_some_and(|since| *id <= since);
            self.messages.retain(|id, other| {
                let of_it = other.post == Some(post) && before(id) || other.purpose() == same;
                other.got_somewhere() || !of_it
            });
        }
        self.messages.insert(id, message);
    }

    /// The disk has not taken a message: nobody is promised it. Its post may come again, and then be
    /// for nobody, for the queues are full.
    pub fn not_stored(&mut self, id: MessageId) {
        self.messages.remove(&id);
    }

    /// The server hands `node`'s ack of a message to its disk.
    pub fn deleting(&mut self, node: NodeRef, id: MessageId) {
        self.deleting.push((node, id));
    }

    /// All that was handed to the disk so far is durable.
    pub fn deletes_are_durable(&mut self) {
        for (node, id) in std::mem::take(&mut self.deleting) {
            self.receivers.entry(node).or_default().deleted.insert(id);
        }
    }

    /// The server went down, and came back knowing of ids up to `last_id`, if the harness knows
    /// that: acks that were not durable may be forgotten, ids that nobody saw may come again.
    pub fn crashed(&mut self, last_id: Option<MessageId>) {
        self.deleting.clear();
        self.receivers.values_mut().for_each(Receiver::crashed);
        let Some(last_id) = last_id else { return };
        let posts = &self.posts;
        let acked = |post: PostRef| {
            let post = posts.get(&post.from).and_then(|posts| posts.get(&post.seq));
            post.is_some_and(|post| post.fate == Fate::Acked)
        };
        let seen = |message: &Message| message.post.is_some_and(acked) || !message.got.is_empty();
        self.messages.retain(|id, message| *id <= last_id || seen(message));
        self.last_id = Some(last_id);
    }

    /// A queue is copied to a node, that may get anything from now on.
    pub fn copying(&mut self, to: NodeRef) {
        self.receivers.entry(to).or_default().copied_to = true;
    }

    /// A queue is about to be copied: what waits for `from` now. The answer is to be confirmed.
    pub fn waiting_for(&self, from: NodeRef) -> Vec<MessageId> {
        let waits = |(_, message): &(&MessageId, &Message)| {
            self.is_acked(message.post) && message.missing.contains(&from)
        };
        self.messages.iter().filter(waits).map(|(id, _)| *id).collect()
    }

    /// `node` is being dropped: what one node of its user is to have may come to `heir` from now on.
    pub fn dropping(&mut self, node: NodeRef, heir: NodeRef) {
        for message in self.messages.values_mut() {
            message.may_pass(node, heir);
        }
    }

    /// Is a message for `node`, which has not acked it?
    pub fn misses(&self, node: NodeRef, id: MessageId) -> bool {
        self.messages.get(&id).is_some_and(|message| message.missing.contains(&node))
    }

    /// Has a node of this user got a message and acked it, or is it no more?
    pub fn came_to(&self, user: u32, id: MessageId) -> bool {
        self.messages.get(&id).is_some_and(|message| message.came_to(user))
    }

    /// A message of the server's own is durable that is as good as a post.
    pub fn promised(&mut self, id: MessageId) {
        if let Some(message) = self.messages.get_mut(&id) {
            message.is_promised = true;
        }
    }

    /// A message is about to be removed for `node`, that is not to miss it any more. `Some` if it has
    /// not acked it: with its post, if it is one.
    pub fn removed(&mut self, node: NodeRef, id: MessageId) -> Option<Option<PostRef>> {
        if let Some(receiver) = self.receivers.get_mut(&node) {
            receiver.purged(id);
        }
        let message = self.messages.get_mut(&id)?;
        message.removed_for(node).then_some(message.post)
    }

    /// What was acked to its sender, and `node` has not acked.
    pub fn promised_to(&self, node: NodeRef) -> Vec<(MessageId, PostRef)> {
        let waits = self
            .messages
            .iter()
            .filter(|(_, message)| self.is_acked(message.post) && message.missing.contains(&node));
        waits.filter_map(|(id, message)| Some((*id, message.post?))).collect()
    }

    /// Nothing is left of `node`: it is promised nothing any more, and whoever is called so next is
    /// another one.
    pub fn dropped(&mut self, node: NodeRef, heir: Option<NodeRef>) {
        for message in self.messages.values_mut() {
            // Committed since it began, and copied to it meanwhile.
            if let Some(heir) = heir {
                message.may_pass(node, heir);
            }
            message.dropped(node, heir);
        }
        self.deleting.retain(|(other, _)| *other != node);
        self.receivers.remove(&node);
    }

    /// A queue was copied: of what waited, all that `from` has not acked meanwhile is `to`'s.
    pub fn copied(&mut self, from: NodeRef, to: NodeRef, waiting: &[MessageId]) {
        for id in waiting {
            if let Some(message) = self.messages.get_mut(id)
                && message.missing.contains(&from)
                && !message.to_one
            {
                message.copied_to(to);
            }
        }
    }
}
