//! What a user may know of itself: its nodes and what waits for them, its aliases, its lists.

use super::pace::Pace;
use super::{Broker, LinkId};
use crate::limits::Limit;
use crate::node::{NodeId, UserId};
use crate::now::{self, Now};
use crate::reply::{self, AckError, NodeStatus, Status};
use bytes::Bytes;

impl Broker {
    /// Answers a status, at once or when the store has measured what waits.
    pub(super) fn status(&mut self, now: Now, link: LinkId, own: NodeId, id: String) {
        if !self.pace.admit(now.mono, own.user, &self.limits) {
            let why = Pace::refusal(&self.limits);
            self.totals.refuse(Limit::PostsPerSecond);
            self.send(link, reply::ack(&id, false, AckError::Text(why)));
            return self.settle(link);
        }
        self.meet([own.user]);
        match self.status_of(now, own.user, &id) {
            Some(status) => {
                self.send(link, status);
                self.settle(link);
            }
            None => {
                self.set_busy(link);
                self.asking_status.push((link, id));
            }
        }
    }

    /// Answers those whose users' queues are known by now.
    pub(super) fn tell_status(&mut self, now: Now) {
        for (link, id) in std::mem::take(&mut self.asking_status) {
            let user = self.links.get(&link).and_then(|link| link.node).map(|node| node.user);
            // Who has left needs no answer.
            let Some(user) = user else { continue };
            match self.status_of(now, user, &id) {
                Some(status) => {
                    self.send(link, status);
                    self.settle(link);
                    self.go_on(now, link);
                }
                None => self.asking_status.push((link, id)),
            }
        }
    }

    fn status_of(&self, now: Now, id: UserId, asked: &str) -> Option<Bytes> {
        let user = self.directory.user(id)?;
        let offsets: Vec<u8> = user.nodes.iter().map(|node| node.offset).collect();
        let waiting = self.tally.waiting(id, &offsets)?;
        let nodes = user.nodes.iter().zip(waiting).map(|(node, waiting)| {
            let online = self.sessions.contains_key(&NodeId { user: id, offset: node.offset });
            let seen = node.seen.map(|seconds| u64::from(seconds.get()) * 1000);
            let seen = if online { Some(now.wall) } else { seen };
            NodeStatus {
                offset: node.offset,
                online,
                queued: waiting.messages,
                bytes: waiting.bytes,
                last_seen: seen.map(now::date),
            }
        });
        let aliases = user.aliases.iter().map(|alias| &**alias).collect();
        let lists = self.directory.lists_of(id);
        Some(reply::status(asked, &Status { nodes: nodes.collect(), aliases, lists }))
    }
}
