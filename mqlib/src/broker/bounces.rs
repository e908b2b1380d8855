//! Bounces: what a sender is told of a message that was removed before anybody had it.
//!
//! A bounce is a delivery to all nodes of the sender, from nobody: `from` is empty, which is no user's
//! name. It is as durable as a post, and whoever removes the message waits for that. So a crash in
//! between may repeat a bounce, or leave the message to be delivered after all; it does not lose both.
//! Full queues take bounces, too: they are no more than what their user has posted.
//!
//! What nobody posted does not bounce: notices, and bounces. Nor is told who is no more, or has
//! a name that another had when the message was posted, or who posted to itself.

use super::Broker;
use super::clearing::Bounced;
use crate::id::MessageId;
use crate::journal::Post;
use crate::json;
use crate::node::{NodeId, UserId};
use crate::now::{self, Now};
use crate::reply::{self, Queued, Reply};
use crate::spool::{Content, Glance};
use serde::Serialize;

/// Why a message was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// The operator has deleted its recipient.
    UserDeleted,
    /// The last node of its recipient was dropped.
    NoNodes,
    /// The operator has removed it.
    Purged,
    /// Its recipient's last node has stayed away for as long as the operator allows.
    Inactive,
    /// It has waited for as long as the operator allows.
    TooOld,
}

impl Reason {
    fn text(self) -> &'static str {
        match self {
            Self::UserDeleted => "user deleted",
            Self::NoNodes => "no nodes",
            Self::Purged => "purged",
            Self::Inactive => "inactive",
            Self::TooOld => "too old",
        }
    }
}

/// The `etc` of a bounce.
#[derive(Serialize)]
struct Etc<'a> {
    bounce: Told<'a>,
}

#[derive(Serialize)]
struct Told<'a> {
    id: String,
    to: &'a str,
    reason: &'static str,
    posted: &'a str,
}

impl Broker {
    /// Who is to be told that a message is removed, which waits for `user`.
    pub(super) fn bounces_to(&self, user: UserId, message: &Glance) -> Option<UserId> {
        let header: Reply = serde_json::from_slice(&message.header).ok()?;
        let from = header.from.filter(|_| header.op == "deliver")?;
        let sender = self.directory.user_id(&from).filter(|sender| *sender != user)?;
        let entry = self.directory.user(sender)?;
        let is_its_own = entry.since.as_deref().is_none_or(|since| message.id > *since);
        (is_its_own && !entry.nodes.is_empty()).then_some(sender)
    }

    /// Tells `sender` that a message is removed which waits for `node`.
    pub(super) fn bounce(
        &mut self,
        now: Now,
        node: NodeId,
        sender: UserId,
        of: MessageId,
        why: Reason,
        bounced: Bounced,
    ) {
        let to = self.directory.user(node.user).map(|user| user.name.clone());
        let posted = now::date(of.millis());
        let told = Told {
            id: of.to_string(),
            to: to.as_deref().unwrap_or_default(),
            reason: why.text(),
            posted: &posted,
        };
        let mut etc = Vec::new();
        json::write(&mut etc, &Etc { bounce: told });
        let nodes = self.nodes_of(sender);
        self.tell(now, node, nodes, &etc, Some(Box::new(bounced)));
    }

    /// Tells nodes something about another one, in a message from nobody.
    pub(super) fn tell(
        &mut self,
        now: Now,
        about: NodeId,
        nodes: Vec<NodeId>,
        etc: &[u8],
        bounced: Option<Box<Bounced>>,
    ) {
        self.meet(nodes.iter().map(|node| node.user));
        let id = self.next_id(now);
        let posted = self.dates.of(id.millis());
        let message = reply::queued(Queued::Deliver, id, posted, "", Some(etc.len()), etc);
        let content = Content::Whole(message);
        let post =
            Post { id, origin: about, nodes, to_one: false, content, key: None, goes_on: false };
        self.commit_post(post, None, bounced);
    }
}
