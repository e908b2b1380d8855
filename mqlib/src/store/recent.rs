//! What nodes have posted and the journal alone remembers, by the use of the journal that does.
//!
//! When a segment is full, its posts go to the nodes' files, one segment after the other; then it
//! can be freed.

use crate::journal::Epoch;
use crate::node::NodeId;
use crate::posted::{Entry, Next};
use crate::spool::Remembered;
use std::collections::{BTreeMap, HashMap};

/// Nodes of which the place in their file is remembered; then all are forgotten.
const PLACES: usize = 65_536;

#[derive(Debug, Default)]
struct Use {
    /// The oldest first.
    posts: HashMap<NodeId, Vec<Entry>>,
    full: bool,
    /// They are being put into files.
    leaving: bool,
}

/// A node, where its next post goes in its file if that is known, and its posts.
pub(super) type Leaving = (NodeId, Option<Next>, Vec<Entry>);

/// What nodes have posted lately.
#[derive(Debug, Default)]
pub(super) struct Recent {
    uses: BTreeMap<Epoch, Use>,
    /// Where in its file a node's next post goes.
    places: HashMap<NodeId, Next>,
}

impl Recent {
    /// A post was committed. Is it the first in its use?
    pub(super) fn add(&mut self, epoch: Epoch, node: NodeId, entry: Entry) -> bool {
        let first = !self.uses.contains_key(&epoch);
        self.uses.entry(epoch).or_default().posts.entry(node).or_default().push(entry);
        first
    }

    /// No more posts will come to this use, or an earlier one.
    pub(super) fn close(&mut self, epoch: Epoch) {
        self.uses.range_mut(..=epoch).for_each(|(_, used)| used.full = true);
    }

    /// The oldest use, if its posts are to be put into files now.
    pub(super) fn leave(&mut self) -> Option<(Epoch, Vec<Leaving>)> {
        let (epoch, used) = self.uses.first_key_value()?;
        if !used.full || used.leaving {
            return None;
        }
        let posts = used.posts.iter();
        let posts =
            posts.map(|(node, posts)| (*node, self.places.get(node).copied(), posts.clone()));
        let (epoch, mut posts) = (*epoch, posts.collect::<Vec<_>>());
        // In one order, so that a simulated life can be repeated.
        posts.sort_unstable_by_key(|(node, ..)| *node);
        self.uses.entry(epoch).or_default().leaving = true;
        Some((epoch, posts))
    }

    /// The posts of a use are in files.
    pub(super) fn left(&mut self, epoch: Epoch, places: Remembered) {
        self.uses.remove(&epoch);
        if self.places.len() + places.len() > PLACES {
            self.places.clear();
        }
        for (node, place) in places {
            match place {
                Some(place) => self.places.insert(node, place),
                None => self.places.remove(&node),
            };
        }
    }

    /// What a node has posted that may not be in its file.
    pub(super) fn of(&self, node: NodeId) -> Vec<Entry> {
        self.uses.values().filter_map(|used| used.posts.get(&node)).flatten().copied().collect()
    }

    /// What all nodes have posted that may not be in their files.
    pub(super) fn all(&self) -> HashMap<NodeId, Vec<Entry>> {
        let mut all: HashMap<NodeId, Vec<Entry>> = HashMap::new();
        for (node, posts) in self.uses.values().flat_map(|used| &used.posts) {
            all.entry(*node).or_default().extend(posts);
        }
        all
    }

    /// Are posts of a node's being put into its file?
    pub(super) fn is_leaving(&self, node: NodeId) -> bool {
        self.uses.values().any(|used| used.leaving && used.posts.contains_key(&node))
    }

    /// A node is no more.
    pub(super) fn forget(&mut self, node: NodeId) {
        self.places.remove(&node);
        for used in self.uses.values_mut() {
            used.posts.remove(&node);
        }
    }

    /// Are all in files that are to be?
    pub(super) fn is_settled(&self) -> bool {
        self.uses.values().all(|used| !used.full)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::MessageId;
    use crate::node::UserId;
    use crate::posted::PostKey;

    #[test]
    fn uses_leave_one_after_the_other_and_are_known_until_they_have_left() {
        let node = NodeId { user: UserId(1), offset: 0 };
        let entry = |number: u128| (PostKey::of("x"), MessageId::from_bits(number));
        let mut recent = Recent::default();
        assert!(recent.add(1, node, entry(1)));
        assert!(!recent.add(1, node, entry(2)));
        assert!(recent.leave().is_none());
        assert!(recent.add(2, node, entry(3)));
        recent.close(2);
        assert_eq!(recent.leave(), Some((1, vec![(node, None, vec![entry(1), entry(2)])])));
        assert!(recent.leave().is_none());
        assert_eq!(recent.of(node), [1, 2, 3].map(entry));
        let next = Some(Next { slot: 2, after: MessageId::from_bits(2) });
        recent.left(1, vec![(node, next)]);
        assert_eq!(recent.leave(), Some((2, vec![(node, next, vec![entry(3)])])));
        assert!(!recent.is_settled());
        recent.left(2, vec![(node, None)]);
        assert!(recent.is_settled() && recent.of(node).is_empty());
    }
}
