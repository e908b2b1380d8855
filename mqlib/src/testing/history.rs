//! The oracle: what was promised, and what happened, over all lives of a server.
//!
//! Every harness feeds this one: the simulation, the load run, and the programs that crash servers.
//! It is told of each event in the order in which it became known, and finds what [`Violation`]
//! lists: acked posts that are lost, messages astray, damaged, out of order (for a node by the ids,
//! and by each sender's own numbers), delivered after a durable delete or a refusal, ids that come
//! again or go back, posts that were stored twice, windows that were exceeded, repeats without a
//! mark. What arrives again is no violation by itself: *at least* once is promised; the
//! [`Counts`] have it.
//!
//! Two kinds of harness, one set of rules:
//! - Who sees only clients says whom a post is for ([`Audience`]), in terms of the nodes that have
//!   [joined](History::joined). Such a post is forgotten as soon as it is answered and acked
//!   everywhere, so that memory follows what is on its way and not the length of the run.
//! - Who sees the server's inside says which messages a post became, and for which nodes
//!   ([`committing`](History::committing)). Those are kept for the whole run.
//!
//! **When is a delete durable?** Nobody answers a client's ack. But a node's requests become durable
//! in their order: when a post of the node's is acked, all that it had acked before it posted, on
//! the same connection, is deleted for good. A harness whose clients may mix up that order tells
//! [`client_acked`](History::client_acked) no ids.
//!
//! It knows neither sockets nor time. Users, nodes and posts are the harness's own numbers.

mod arrival;
mod audience;
mod counts;
mod inside;
mod receiver;
#[cfg(test)]
mod tests;
mod violation;

pub use arrival::Arrival;
pub use audience::{Audience, NodeRef, PostRef};
pub use counts::Counts;
pub use violation::Violation;

use crate::id::MessageId;
use audience::{Fate, Message, Post};
use receiver::Receiver;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// How many violations are kept; the rest are counted.
const EXAMPLES: usize = 10;
/// How many posts of unknown fate, or refused ones, of a sender are kept before the oldest is
/// forgotten.
const ABANDONED: usize = 256;

/// All that happened.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// The server knows a repost by its id, so that no post may be stored twice.
    stored_once: bool,
    /// How many nodes are known of each user.
    nodes: HashMap<u32, BTreeSet<u32>>,
    /// What is not settled, of each sender.
    posts: HashMap<NodeRef, BTreeMap<u64, Post>>,
    /// What the harness has seen inside the server.
    messages: BTreeMap<MessageId, Message>,
    receivers: HashMap<NodeRef, Receiver>,
    /// The latest ack of each sender's posts: the post's number, the message's id.
    latest_ack: HashMap<NodeRef, (u64, MessageId)>,
    /// Deletes that were handed to the store.
    deleting: Vec<(NodeRef, MessageId)>,
    last_id: Option<MessageId>,
    in_flight: usize,
    missing: usize,
    counts: Counts,
    violations: Vec<Violation>,
}

impl History {
    /// A history of a server that knows reposts by their ids (version 2).
    pub fn of_reposts() -> Self {
        Self { stored_once: true, ..Self::default() }
    }

    /// The server has said that `node` exists. What is posted from now on is promised to it.
    pub fn joined(&mut self, node: NodeRef) {
        self.nodes.entry(node.user).or_default().insert(node.node);
    }

    /// `node` has logged in on a new connection, with that many deliveries in flight at most, and no more
    /// that come again. A harness that tells of one login tells of all, and of ids in every arrival and
    /// ack.
    pub fn logged_in(&mut self, node: NodeRef, window: usize) {
        self.receivers.entry(node).or_default().logged_in(window);
    }

    /// `node` has logged in in version 1, where acks of the last moment may be undone, whatever the
    /// window.
    pub fn may_repeat(&mut self, node: NodeRef) {
        self.receivers.entry(node).or_default().widest = usize::MAX;
    }

    /// `post` is about to be handed over. Without an audience the harness tells of the messages
    /// that it becomes ([`committing`](Self::committing)).
    pub fn posted(&mut self, post: PostRef, audience: Option<Audience>) {
        let promise = audience.map(|audience| audience.message(post.from, &self.nodes));
        let acks_before = self.receivers.get(&post.from).map_or(0, |receiver| receiver.acked);
        self.in_flight += 1;
        self.counts.posts += 1;
        let (fate, since) = (Fate::InFlight, self.last_id);
        let entry = Post { fate, again: false, since, displaced: false, acks_before, promise };
        self.posts.entry(post.from).or_default().insert(post.seq, entry);
    }

    /// `post`, whose fate is unknown, is handed over once more under the same id. One that is
    /// settled needs no books.
    pub fn reposted(&mut self, post: PostRef) {
        let acked = self.receivers.get(&post.from).map_or(0, |receiver| receiver.acked);
        let since = self.last_id;
        let Some(entry) = self.post_mut(post) else { return };
        (entry.again, entry.since) = (true, since);
        if entry.fate != Fate::InFlight {
            if entry.fate == Fate::Acked {
                return;
            }
            entry.fate = Fate::InFlight;
            entry.acks_before = acked;
            self.in_flight += 1;
        }
    }

    /// The server has acked `post`, as this message if it says so: from here on it is promised.
    pub fn acked(&mut self, post: PostRef, id: Option<MessageId>) {
        let Some(entry) = self.post_mut(post) else { return };
        if entry.fate == Fate::Acked {
            return;
        }
        // What came to nothing at first, and whose ack was lost, comes behind what was taken.
        let out_of_place = entry.displaced || entry.again;
        let acks = entry.acks_before;
        self.counts.acked += 1;
        self.answered(post, Fate::Acked);
        // Who sees inside knows it for certain; there, what became no message was not stored either.
        if self.last_id.is_none()
            && let Some(receiver) = self.receivers.get_mut(&post.from)
        {
            receiver.durable(acks);
        }
        let Some(id) = id.filter(|_| !out_of_place) else { return };
        match self.latest_ack.get(&post.from) {
            Some(&(seq, _)) if seq > post.seq => {}
            Some(&(_, last)) if last >= id => self.broken(Violation::Id { id, last }),
            _ => drop(self.latest_ack.insert(post.from, (post.seq, id))),
        }
    }

    /// The server has not stored `post`, refused or for nobody, and has said so on a link that its
    /// sender had left: posted again, it comes behind what was posted later, and stored.
    pub fn came_to_nothing(&mut self, post: PostRef) {
        if let Some(entry) = self.post_mut(post) {
            entry.displaced = true;
        }
    }

    /// The server says that it has not stored `post`, and never will.
    pub fn refused(&mut self, post: PostRef) {
        self.counts.refused += 1;
        self.answered(post, Fate::Refused);
        self.forget_oldest(post.from, Fate::Refused);
    }

    /// The client ended before it learned what became of `post`, or the server does not know it.
    pub fn abandoned(&mut self, post: PostRef) {
        self.counts.abandoned += 1;
        self.answered(post, Fate::Abandoned);
        self.forget_oldest(post.from, Fate::Abandoned);
    }

    /// Something arrived at `node` that nobody posted like that.
    pub fn corrupted(&mut self, node: NodeRef, what: &str) {
        self.broken(Violation::Corrupted { what: what.to_owned(), node });
    }

    /// Arrivals that are promised and outstanding, of posts with an audience.
    pub fn missing(&self) -> usize {
        self.missing
    }

    /// Posts that are neither answered nor abandoned.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// The numbers so far; lost is only counted at the [end](Self::close).
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The promise that was broken first, if one was.
    ///
    /// # Errors
    /// That one.
    pub fn verdict(&self) -> Result<(), Violation> {
        self.violations.first().map_or(Ok(()), |violation| Err(violation.clone()))
    }

    /// Everyone was there and has acked all: what is outstanding now is lost.
    pub fn settle(&mut self) {
        let mut lost = Vec::new();
        for (&from, posts) in &self.posts {
            for (&seq, post) in posts.iter().filter(|(_, post)| post.fate == Fate::Acked) {
                let post_ref = PostRef { from, seq };
                lost.extend(post.promise.iter().flat_map(|message| message.lost(post_ref)));
            }
        }
        for message in self.messages.values().filter(|message| self.is_acked(message.post)) {
            lost.extend(message.post.iter().flat_map(|&post| message.lost(post)));
        }
        let promised = self.messages.iter().filter(|(_, message)| message.is_promised);
        let bounces = promised.flat_map(|(&id, message)| {
            message.missing.iter().map(move |&node| Violation::LostBounce { id, node })
        });
        for violation in bounces.collect::<Vec<_>>() {
            self.broken(violation);
        }
        if self.stored_once {
            self.find_doubles();
        }
        lost.sort_unstable();
        for (post, node) in lost {
            self.broken(Violation::Lost { post, node });
        }
    }

    /// Finds posts that became two messages for the same nodes, or for one of the same user's.
    fn find_doubles(&mut self) {
        let mut seen = BTreeSet::new();
        let mut twice = Vec::new();
        for message in self.messages.values() {
            if let (Some(post), Some(&node)) = (message.post, message.got.first())
                && !seen.insert(message.purpose())
            {
                twice.push((post, node));
            }
        }
        for (post, node) in twice {
            self.broken(Violation::Twice { post, node });
        }
    }

    /// [Settles](Self::settle), and says what there is to say: the counts, and some broken promises.
    pub fn close(mut self) -> (Counts, Vec<Violation>) {
        self.settle();
        (self.counts, self.violations)
    }

    /// Gives up on what is outstanding, which was not waited for, so that nobody calls it lost.
    pub fn forgive(&mut self) {
        self.posts.clear();
        self.in_flight = 0;
        self.missing = 0;
    }

    fn is_acked(&self, post: Option<PostRef>) -> bool {
        let entry = post.and_then(|post| self.posts.get(&post.from)?.get(&post.seq));
        entry.is_some_and(|entry| entry.fate == Fate::Acked)
    }

    fn post_mut(&mut self, post: PostRef) -> Option<&mut Post> {
        self.posts.get_mut(&post.from)?.get_mut(&post.seq)
    }

    fn message_mut(
        &mut self,
        post: Option<PostRef>,
        id: Option<MessageId>,
    ) -> Option<&mut Message> {
        if let Some(message) = id.and_then(|id| self.messages.get_mut(&id)) {
            return Some(message);
        }
        let post = post?;
        self.posts.get_mut(&post.from)?.get_mut(&post.seq)?.promise.as_mut()
    }

    fn answered(&mut self, post: PostRef, fate: Fate) {
        let Some(entry) = self.post_mut(post) else { return };
        let was_in_flight = entry.fate == Fate::InFlight;
        entry.fate = fate;
        let missing = entry.promise.as_ref().map(|message| message.missing.len());
        if was_in_flight {
            self.in_flight -= 1;
        }
        match (fate, missing) {
            (Fate::Acked | Fate::Abandoned, Some(0)) => self.forget(post),
            (Fate::Acked, Some(missing)) => self.missing += missing,
            _ => {}
        }
    }

    fn forget(&mut self, post: PostRef) {
        if let Some(posts) = self.posts.get_mut(&post.from) {
            posts.remove(&post.seq);
        }
    }

    /// Posts of unknown fate do not pile up.
    fn forget_oldest(&mut self, sender: NodeRef, fate: Fate) {
        let Some(posts) = self.posts.get_mut(&sender) else { return };
        let lingering =
            posts.iter().filter(|(_, post)| post.fate == fate && post.promise.is_some());
        if lingering.clone().count() > ABANDONED
            && let Some(oldest) = lingering.map(|(&seq, _)| seq).next()
        {
            posts.remove(&oldest);
        }
    }

    fn broken(&mut self, violation: Violation) {
        self.counts.count(&violation);
        if self.violations.len() < EXAMPLES {
            self.violations.push(violation);
        }
    }
}
