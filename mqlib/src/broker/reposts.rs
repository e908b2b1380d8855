//! Reposts: what a node of version 2 posts again after a cut is stored once, and acked as the first
//! was.
//!
//! The first post on a connection waits until the store has told what the node posted before. From
//! then on tags say of nearly every post that it is new. One that they know waits until the store,
//! which knows for certain, has been asked again.

use super::{Asked, Broker, LinkId};
use crate::node::NodeId;
use crate::now::Now;
use crate::posted::{Entry, PostKey, Tags};
use crate::reply;
use crate::request::{Request, Version};
use crate::store::SpoolOp;

/// What is known of a node's posts, on one connection.
#[derive(Debug, Default)]
pub(super) struct Posted {
    /// None before the first post.
    tags: Option<Tags>,
    /// The store was asked; the answer that counts.
    asked: Option<u64>,
    /// The answer, for the post that waits for it.
    recalled: Option<Vec<Entry>>,
}

impl Broker {
    /// Is this the repeat of a post? Then it is answered. The request comes back if it is to be
    /// carried out, with its key if it is a post that may be repeated.
    pub(super) fn recognise(
        &mut self,
        id: LinkId,
        asked: Asked,
    ) -> Option<(Asked, Option<PostKey>)> {
        let v2 = |id| {
            let link = self.links.get(id)?;
            link.node.filter(|_| link.version != Version::V1)
        };
        let (Some(own), Ok(Request::Post { id: post, .. } | Request::Ping { id: post, .. })) =
            (v2(&id), &asked.incoming.request)
        else {
            return Some((asked, None));
        };
        let key = PostKey::of(post);
        let Some(session) = self.sessions.get_mut(&own) else { return Some((asked, None)) };
        let posted = &mut session.posted;
        let recalled = posted.recalled.take();
        let first = |entries: &[Entry]| {
            let found = entries.iter().rev().find(|(there, _)| *there == key);
            found.map(|(_, message)| *message)
        };
        match (&mut posted.tags, recalled) {
            (Some(tags), recalled) if recalled.is_some() || !tags.may_have(key) => {
                if let Some(message) = recalled.as_deref().and_then(first) {
                    let posted = self.dates.of(message.millis());
                    let reply = reply::acked_again(post, message, posted);
                    self.totals.repeated += 1;
                    self.send(id, reply);
                    self.settle(id);
                    return None;
                }
                tags.insert(key);
                Some((asked, Some(key)))
            }
            _ => {
                let token = self.next_token();
                if let Some(session) = self.sessions.get_mut(&own) {
                    session.posted.asked = Some(token);
                }
                if let Some(link) = self.links.get_mut(&id) {
                    link.waiting.push_front(Ok(asked));
                }
                self.set_busy(id);
                self.spool(SpoolOp::Recall(token, own));
                None
            }
        }
    }

    /// The store has told what a node posted lately.
    pub(super) fn recalled(&mut self, now: Now, token: u64, node: NodeId, entries: Vec<Entry>) {
        let Some(session) = self.sessions.get_mut(&node) else { return };
        if session.posted.asked != Some(token) {
            return;
        }
        let link = session.link;
        session.posted.asked = None;
        session.posted.tags.get_or_insert_with(|| Tags::new(&entries));
        session.posted.recalled = Some(entries);
        self.go_on(now, link);
    }
}
