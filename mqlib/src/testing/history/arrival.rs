//! What arrives at a node, and what the node acks.

use super::audience::{Fate, Post};
use super::receiver::Sent;
use super::{History, NodeRef, PostRef, Violation};
use crate::id::MessageId;
use std::cmp::Ordering;

/// Something arrived at a node.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    /// Where.
    pub node: NodeRef,
    /// Which post it is; none: a notice of the server's.
    pub post: Option<PostRef>,
    /// The message's id, if the harness knows it.
    pub id: Option<MessageId>,
    /// Whether it says that it is sent again; none in version 1, which cannot.
    pub marked: Option<bool>,
}

impl History {
    /// A message has arrived, whole.
    pub fn delivered(&mut self, arrival: Arrival) {
        let Arrival { node, post, id, marked } = arrival;
        let receiver = self.receivers.entry(node).or_default();
        if let Some(id) = id {
            if receiver.deleted.contains(&id) && !receiver.copied_to {
                return self.broken(Violation::Deleted { id, node });
            }
            match receiver.delivered(node, id, marked) {
                Ok(Sent::New) => {}
                Ok(Sent::Again) => {
                    self.counts.duplicates += 1;
                    return;
                }
                Err(violation) => return self.broken(violation),
            }
        }
        let copied_to = receiver.copied_to;
        let latest_of = post.and_then(|post| receiver.latest_of.get(&post.from).copied());
        let latest = receiver.latest;
        if let Some(post) = post
            && self.post_mut(post).is_some_and(|entry| entry.fate == Fate::Refused)
        {
            return self.broken(Violation::Refused { post, node });
        }
        let seen_inside = self.last_id.is_some();
        let (first, ordered) = match self.message_mut(post, id) {
            Some(message) => {
                let meant = message.is_meant_for(node);
                if !meant && !copied_to {
                    let what = what(post, id);
                    return self.broken(Violation::Stray { what, node });
                }
                (message.got.insert(node), meant && message.is_ordered_for(node) && !copied_to)
            }
            None if seen_inside => {
                return self.broken(Violation::Stray { what: what(post, id), node });
            }
            // It is settled, and forgotten; or a notice.
            None => {
                let later = post.is_some_and(|post| latest_of.is_none_or(|seq| post.seq > seq));
                (later || (post.is_none() && id > latest), !copied_to)
            }
        };
        if !first {
            return self.repeated(node, post.filter(|_| id > latest), ordered);
        }
        self.counts.deliveries += 1;
        if ordered {
            self.in_order(node, post, id);
        }
    }

    /// The first arrival of a message that has its place in the order.
    fn in_order(&mut self, node: NodeRef, post: Option<PostRef>, id: Option<MessageId>) {
        let stored_once = self.stored_once;
        // What was given up, or came to nothing at first, has no place among what its sender posted
        // later.
        let out_of_place = |entry: &mut Post| entry.fate == Fate::Abandoned || entry.displaced;
        let out_of_place = post.is_some_and(|post| self.post_mut(post).is_some_and(out_of_place));
        // In the simulation a post may find all queues full, have its ack lost, and be stored when
        // it is posted again, behind what was posted later.
        let seen_inside = self.last_id.is_some();
        let again = seen_inside
            && post.is_some_and(|post| self.post_mut(post).is_some_and(|entry| entry.again));
        let receiver = self.receivers.entry(node).or_default();
        let mut broken = None;
        if let Some(id) = id {
            match receiver.latest {
                Some(later) if later == id => broken = Some(Violation::Id { id, last: later }),
                Some(later) if later > id => broken = Some(Violation::Order { id, node, later }),
                _ => receiver.latest = Some(id),
            }
        }
        if let Some(post) = post {
            let latest = receiver.latest_of.entry(post.from).or_default();
            match post.seq.cmp(latest) {
                Ordering::Greater => *latest = post.seq,
                _ if out_of_place => {}
                Ordering::Equal if stored_once => {
                    broken = broken.or(Some(Violation::Twice { post, node }));
                }
                Ordering::Equal => {}
                Ordering::Less if again => {}
                Ordering::Less => {
                    let later = *latest;
                    broken = broken.or(Some(Violation::SenderOrder { post, node, later }));
                }
            }
        }
        if let Some(violation) = broken {
            self.broken(violation);
        }
    }

    /// A node got something that it had got before; `anew`, if under an id that it had not got. What has
    /// no place in the order says nothing of its window, nor of what was stored.
    fn repeated(&mut self, node: NodeRef, anew: Option<PostRef>, ordered: bool) {
        self.counts.duplicates += 1;
        if !ordered {
            return;
        }
        let receiver = self.receivers.entry(node).or_default();
        let (again, window) = (receiver.repeated(), receiver.widest);
        self.counts.most_duplicates = self.counts.most_duplicates.max(again);
        if again > window as u64 {
            self.broken(Violation::Again { node, again, window });
        }
        if let Some(post) = anew.filter(|_| self.stored_once) {
            self.broken(Violation::Twice { post, node });
        }
    }

    /// `node` sends its ack of a message: it will not be missed there.
    pub fn client_acked(&mut self, node: NodeRef, post: Option<PostRef>, id: Option<MessageId>) {
        if let Some(id) = id {
            self.receivers.entry(node).or_default().acks(id);
        }
        let Some(message) = self.message_mut(post, id) else { return };
        let was_missing = message.acked_by(node);
        let settled = message.missing.is_empty();
        let Some(post) = post else { return };
        let Some(entry) = self.post_mut(post).filter(|entry| entry.promise.is_some()) else {
            return;
        };
        let fate = entry.fate;
        if was_missing && fate == Fate::Acked {
            self.missing -= 1;
        }
        if settled && matches!(fate, Fate::Acked | Fate::Abandoned) {
            self.forget(post);
        }
    }
}

/// A message in words.
fn what(post: Option<PostRef>, id: Option<MessageId>) -> String {
    match (post, id) {
        (Some(post), _) => post.to_string(),
        (None, Some(id)) => format!("message {id}"),
        (None, None) => "a notice".into(),
    }
}
