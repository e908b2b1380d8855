//! The oracle: what was promised, and what arrived.
//!
//! An acked post is promised to every node that its recipients were known to have when it was posted.
//! The ledger is told of each event in the order in which it became known, and finds
//! - **lost**: promised to a node and not arrived there when the run was over;
//! - **out of order**: the first arrival at a node of a post that its sender had posted before
//!   another which arrived there earlier. A post that arrives again is a duplicate, and those are
//!   allowed: version 1 promises *at least* once;
//! - **corrupted**: not what was posted, to the byte;
//! - **astray**: at a node of somebody who was no recipient.
//!
//! It knows neither sockets nor time, and forgets a post as soon as it is acked and arrived
//! everywhere, so that its memory follows what is on its way and not the length of the run.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

/// How many broken promises are told in words; the rest are counted.
const EXAMPLES: usize = 10;
/// How many posts of unknown fate one sender may have in the books before the oldest is forgotten.
const ABANDONED: usize = 256;

/// A node: which user's, and which of that user's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NodeRef {
    pub(crate) user: u32,
    pub(crate) node: u32,
}

impl fmt::Display for NodeRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "user {} node {}", self.user, self.node)
    }
}

/// Which post: its sender, and its number among that sender's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PostRef {
    pub(crate) from: NodeRef,
    pub(crate) seq: u64,
}

impl fmt::Display for PostRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "post {} of {}", self.seq, self.from)
    }
}

/// Whom a post is for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Audience {
    /// All nodes of these users.
    pub(crate) users: BTreeSet<u32>,
    /// Users who may or may not be among the recipients: somebody else is changing a list.
    pub(crate) perhaps: BTreeSet<u32>,
    /// The sender's other nodes get a copy.
    pub(crate) copies: bool,
}

/// What the books say at the end, in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Counts {
    /// Posts handed over to be posted.
    pub(crate) posts: u64,
    /// Of those, acked.
    pub(crate) acked: u64,
    /// Of those, ended without an answer; they may have arrived or not.
    pub(crate) abandoned: u64,
    /// First arrivals.
    pub(crate) deliveries: u64,
    /// Further arrivals of the same post at the same node.
    pub(crate) duplicates: u64,
    /// Broken promises of the four kinds.
    pub(crate) lost: u64,
    /// See the module.
    pub(crate) out_of_order: u64,
    /// See the module.
    pub(crate) corrupted: u64,
    /// See the module.
    pub(crate) astray: u64,
}

impl Counts {
    /// Was every promise kept?
    pub(crate) fn are_clean(&self) -> bool {
        self.lost + self.out_of_order + self.corrupted + self.astray == 0
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    InFlight,
    Acked,
    Abandoned,
}

#[derive(Debug)]
struct Post {
    fate: Fate,
    /// Nodes that are promised it, if it is acked, and do not have it.
    missing: Vec<NodeRef>,
    /// Users at whose nodes it is in the right place.
    audience: BTreeSet<u32>,
}

/// The books of one run.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// How many nodes are known of each user.
    nodes: HashMap<u32, BTreeSet<u32>>,
    /// What is not settled, of each sender.
    posts: HashMap<NodeRef, BTreeMap<u64, Post>>,
    /// The latest first arrival, by sender and receiving node.
    latest: HashMap<(NodeRef, NodeRef), u64>,
    in_flight: usize,
    missing: usize,
    counts: Counts,
    examples: Vec<String>,
}

impl Ledger {
    /// The server has said that `node` exists. What is posted from now on is promised to it.
    pub(crate) fn joined(&mut self, node: NodeRef) {
        self.nodes.entry(node.user).or_default().insert(node.node);
    }

    /// `post` is about to be handed over.
    pub(crate) fn posted(&mut self, post: PostRef, audience: Audience) {
        let Audience { users, mut perhaps, copies } = audience;
        let sender = post.from;
        let mut missing: Vec<_> = users.iter().flat_map(|&user| self.nodes_of(user)).collect();
        if copies && !users.contains(&sender.user) {
            missing.extend(self.nodes_of(sender.user).filter(|&node| node != sender));
            perhaps.insert(sender.user);
        }
        perhaps.extend(users);
        self.in_flight += 1;
        self.counts.posts += 1;
        let entry = Post { fate: Fate::InFlight, missing, audience: perhaps };
        self.posts.entry(sender).or_default().insert(post.seq, entry);
    }

    /// The server has acked `post`: from here on it is promised.
    pub(crate) fn acked(&mut self, post: PostRef) {
        self.counts.acked += 1;
        self.close(post, Fate::Acked);
    }

    /// The client ended before it learned what became of `post`.
    pub(crate) fn abandoned(&mut self, post: PostRef) {
        self.counts.abandoned += 1;
        self.close(post, Fate::Abandoned);
        let posts = self.posts.entry(post.from).or_default();
        let lingering = posts.iter().filter(|(_, post)| post.fate == Fate::Abandoned);
        if lingering.clone().count() > ABANDONED
            && let Some(oldest) = lingering.map(|(&seq, _)| seq).next()
        {
            posts.remove(&oldest);
        }
    }

    /// `post` has arrived at the node `at`, whole.
    pub(crate) fn arrived(&mut self, at: NodeRef, post: PostRef) {
        let entry = self.posts.get_mut(&post.from).and_then(|posts| posts.get_mut(&post.seq));
        let astray = entry.as_ref().is_some_and(|entry| !entry.audience.contains(&at.user));
        let mut was_missing = false;
        let mut settled = false;
        if let Some(entry) = entry {
            let before = entry.missing.len();
            entry.missing.retain(|&node| node != at);
            was_missing = entry.missing.len() < before;
            if was_missing && entry.fate == Fate::Acked {
                self.missing -= 1;
            }
            settled = entry.missing.is_empty() && entry.fate != Fate::InFlight;
        }
        if settled {
            self.forget(post);
        }
        let latest = self.latest.entry((post.from, at)).or_default();
        if post.seq > *latest {
            *latest = post.seq;
            self.counts.deliveries += 1;
        } else if was_missing {
            let latest = *latest;
            self.counts.deliveries += 1;
            self.counts.out_of_order += 1;
            self.example(format!(
                "out of order: {post} at {at}, where its post {latest} had arrived"
            ));
        } else {
            self.counts.duplicates += 1;
        }
        if astray {
            self.counts.astray += 1;
            self.example(format!("astray: {post} at {at}"));
        }
    }

    /// Something arrived at the node `at` that nobody posted like that.
    pub(crate) fn corrupted(&mut self, at: NodeRef, what: &str) {
        self.counts.corrupted += 1;
        self.example(format!("corrupted: at {at}: {what}"));
    }

    /// Arrivals that are promised and outstanding.
    pub(crate) fn missing(&self) -> usize {
        self.missing
    }

    /// Posts that are neither acked nor abandoned.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// The numbers so far; lost is only counted at the end.
    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// Closes the books when all has been waited for: what is outstanding now is lost. The counts,
    /// and some broken promises in words.
    pub(crate) fn close_books(mut self) -> (Counts, Vec<String>) {
        let posts = std::mem::take(&mut self.posts);
        let mut lost: Vec<_> = posts
            .into_iter()
            .flat_map(|(from, posts)| {
                posts.into_iter().map(move |(seq, post)| (PostRef { from, seq }, post))
            })
            .filter(|(_, post)| post.fate == Fate::Acked)
            .collect();
        lost.sort_by_key(|&(post, _)| post);
        for (post, entry) in lost {
            for node in entry.missing {
                self.counts.lost += 1;
                self.example(format!("lost: {post} never arrived at {node}"));
            }
        }
        (self.counts, self.examples)
    }

    /// Gives up on what is outstanding, which was not waited for, so that nobody calls it lost.
    pub(crate) fn forgive(&mut self) {
        self.posts.clear();
        self.in_flight = 0;
        self.missing = 0;
    }

    fn nodes_of(&self, user: u32) -> impl Iterator<Item = NodeRef> + use<'_> {
        let nodes = self.nodes.get(&user).into_iter().flatten();
        nodes.map(move |&node| NodeRef { user, node })
    }

    fn close(&mut self, post: PostRef, fate: Fate) {
        let entry = self.posts.get_mut(&post.from).and_then(|posts| posts.get_mut(&post.seq));
        let Some(entry) = entry.filter(|entry| entry.fate == Fate::InFlight) else { return };
        entry.fate = fate;
        self.in_flight -= 1;
        if fate == Fate::Acked {
            self.missing += entry.missing.len();
        }
        if entry.missing.is_empty() {
            self.forget(post);
        }
    }

    fn forget(&mut self, post: PostRef) {
        if let Some(posts) = self.posts.get_mut(&post.from) {
            posts.remove(&post.seq);
        }
    }

    fn example(&mut self, text: String) {
        if self.examples.len() < EXAMPLES {
            self.examples.push(text);
        }
    }
}
