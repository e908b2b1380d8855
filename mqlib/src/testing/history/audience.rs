//! Nodes and posts by number, and whom a post is for.

use crate::id::MessageId;
use crate::node::NodeId;
use std::collections::{BTreeSet, HashMap};
use std::fmt;

/// A node: which user's, and which of that user's. Both are the harness's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeRef {
    /// Whose.
    pub user: u32,
    /// Which of theirs.
    pub node: u32,
}

impl From<NodeId> for NodeRef {
    fn from(node: NodeId) -> Self {
        Self { user: node.user.0, node: node.offset.into() }
    }
}

impl fmt::Display for NodeRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "user {} node {}", self.user, self.node)
    }
}

/// Which post: its sender, and its number among that sender's, which increases from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PostRef {
    /// The node that posts.
    pub from: NodeRef,
    /// The number.
    pub seq: u64,
}

impl fmt::Display for PostRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "post {} of {}", self.seq, self.from)
    }
}

/// Whom a post is for.
#[derive(Debug, Clone, Default)]
pub struct Audience {
    /// All nodes of these users.
    pub users: BTreeSet<u32>,
    /// Users who may or may not be among the recipients: somebody else is changing a list.
    pub perhaps: BTreeSet<u32>,
    /// The sender's other nodes get a copy.
    pub copies: bool,
}

impl Audience {
    /// The one message that such a post is, given the nodes of each user.
    pub(super) fn message(self, sender: NodeRef, nodes: &HashMap<u32, BTreeSet<u32>>) -> Message {
        let Self { users, mut perhaps, copies } = self;
        let nodes_of = |user: u32| {
            let nodes = nodes.get(&user).into_iter().flatten();
            nodes.map(move |&node| NodeRef { user, node })
        };
        let mut missing: BTreeSet<_> = users.iter().flat_map(|&user| nodes_of(user)).collect();
        if copies && !users.contains(&sender.user) {
            missing.extend(nodes_of(sender.user).filter(|&node| node != sender));
            perhaps.insert(sender.user);
        }
        perhaps.extend(users);
        Message { meant: Meant::Users(perhaps), missing, ..Message::default() }
    }
}

/// What became of a post.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    InFlight,
    Acked,
    Refused,
    Abandoned,
}

/// A post that is not settled.
#[derive(Debug, Clone)]
pub(super) struct Post {
    pub(super) fate: Fate,
    /// It was posted more than once.
    pub(super) again: bool,
    /// The last id when it was posted last, where ids are seen as they are given.
    pub(super) since: Option<MessageId>,
    /// It came to nothing at first, unknown to its sender, and has lost its place in the order.
    pub(super) displaced: bool,
    /// How many acks its sender had sent before it.
    pub(super) acks_before: u64,
    /// What it becomes, where the harness does not see the messages themselves.
    pub(super) promise: Option<Message>,
}

/// Where a message is in the right place.
#[derive(Debug, Clone)]
enum Meant {
    Nodes(BTreeSet<NodeRef>),
    Users(BTreeSet<u32>),
}

/// A message, for some nodes.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) post: Option<PostRef>,
    meant: Meant,
    /// The first node that takes it has it alone.
    pub(super) to_one: bool,
    /// Whose node that is.
    one_of: Option<u32>,
    /// It is promised, whatever became of its post.
    pub(super) is_promised: bool,
    /// Nodes that got it.
    pub(super) got: BTreeSet<NodeRef>,
    /// Nodes that are promised it, if the post is acked, and have not acked it.
    pub(super) missing: BTreeSet<NodeRef>,
    /// Nodes that have.
    done: BTreeSet<NodeRef>,
    /// Nodes for which it was removed and that had not acked it. If a crash brings it back, it may
    /// come behind later ones.
    removed: BTreeSet<NodeRef>,
}

impl Default for Message {
    fn default() -> Self {
        Self {
            post: None,
            meant: Meant::Nodes(BTreeSet::new()),
            to_one: false,
            one_of: None,
            is_promised: false,
            got: BTreeSet::new(),
            missing: BTreeSet::new(),
            done: BTreeSet::new(),
            removed: BTreeSet::new(),
        }
    }
}

impl Message {
    /// A message of which the harness knows for which nodes it is.
    pub(super) fn committed(post: Option<PostRef>, nodes: &[NodeRef], to_one: bool) -> Self {
        let nodes: BTreeSet<_> = nodes.iter().copied().collect();
        let one_of = nodes.first().map(|node| node.user).filter(|_| to_one);
        let (missing, meant) = (nodes.clone(), Meant::Nodes(nodes));
        Self { post, missing, meant, to_one, one_of, ..Self::default() }
    }

    /// A node of this user has got it and acked it, or is no more.
    pub(super) fn came_to(&self, user: u32) -> bool {
        let open = |node: &NodeRef| self.missing.contains(node) || self.removed.contains(node);
        self.got.iter().any(|node| node.user == user && !open(node))
    }

    /// What of its post it is: all of one post that were stored once have different ones.
    pub(super) fn purpose(&self) -> (Option<PostRef>, Option<u32>) {
        (self.post, self.one_of)
    }

    pub(super) fn got_somewhere(&self) -> bool {
        !self.got.is_empty()
    }

    pub(super) fn is_meant_for(&self, node: NodeRef) -> bool {
        match &self.meant {
            Meant::Nodes(nodes) => nodes.contains(&node),
            Meant::Users(users) => users.contains(&node.user),
        }
    }

    /// A node acks it. Was it missing there?
    pub(super) fn acked_by(&mut self, node: NodeRef) -> bool {
        self.done.insert(node);
        if self.to_one {
            return !std::mem::take(&mut self.missing).is_empty();
        }
        self.missing.remove(&node)
    }

    /// It is removed for a node, to which it may be copied again or not. Was it missing there?
    pub(super) fn removed_for(&mut self, node: NodeRef) -> bool {
        self.done.insert(node);
        let was_missing = self.missing.remove(&node);
        if was_missing {
            self.removed.insert(node);
        }
        was_missing
    }

    /// Has it its place in the order at a node?
    pub(super) fn is_ordered_for(&self, node: NodeRef) -> bool {
        !self.to_one && !self.removed.contains(&node)
    }

    /// It was copied to a node while it waited.
    pub(super) fn copied_to(&mut self, node: NodeRef) {
        if !self.done.contains(&node) {
            self.missing.insert(node);
        }
    }

    /// What is for one node may pass from a node that is dropped, which may have got it by a copy, to
    /// another.
    pub(super) fn may_pass(&mut self, node: NodeRef, heir: NodeRef) {
        if let Meant::Nodes(nodes) = &mut self.meant
            && self.to_one
            && nodes.iter().any(|other| other.user == node.user)
        {
            nodes.insert(heir);
        }
    }

    /// A node is no more; what was for it alone of its user's is another's.
    pub(super) fn dropped(&mut self, node: NodeRef, heir: Option<NodeRef>) {
        if self.missing.remove(&node) && self.to_one && self.missing.is_empty() {
            self.missing.extend(heir);
        }
        self.done.remove(&node);
        if let Meant::Nodes(nodes) = &mut self.meant {
            nodes.remove(&node);
        }
    }

    /// Where it is lost, at the end.
    pub(super) fn lost(&self, post: PostRef) -> impl Iterator<Item = (PostRef, NodeRef)> {
        let nodes = if self.to_one { 1 } else { usize::MAX };
        self.missing.iter().take(nodes).map(move |&node| (post, node))
    }
}
