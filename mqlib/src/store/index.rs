//! What is in the journal only: committed, neither acked by all nor filed, in order of ids.

use crate::id::MessageId;
use crate::journal::{Epoch, Post};
use crate::node::NodeId;
use crate::spool::Content;
use std::collections::VecDeque;
use std::time::Duration;

/// A message that is in the journal only.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: MessageId,
    /// In order.
    nodes: Vec<NodeId>,
    pub(super) to_one: bool,
    pub(super) content: Content,
    /// The use of the journal that holds it.
    pub(super) epoch: Epoch,
    /// Found at a start: there may be a file of it.
    pub(super) recovered: bool,
    /// Nodes that acked it while it was being filed, and where that stands.
    pub(super) after: Vec<(NodeId, Epoch)>,
    due: Duration,
    filing: bool,
}

impl Entry {
    pub(super) fn new(post: Post, epoch: Epoch, due: Duration, recovered: bool) -> Self {
        let mut nodes = post.nodes;
        nodes.sort_unstable();
        Self {
            id: post.id,
            nodes,
            to_one: post.to_one,
            content: post.content,
            epoch,
            recovered,
            after: Vec::new(),
            due,
            filing: false,
        }
    }

    pub(super) fn is_filing(&self) -> bool {
        self.filing
    }

    pub(super) fn may_be_filed(&self) -> bool {
        self.filing || self.recovered
    }

    pub(super) fn staged(&self) -> Option<u64> {
        match &self.content {
            Content::Whole(_) => None,
            Content::Staged(staged) => Some(staged.number),
        }
    }

    /// The nodes that have not acked it.
    pub(super) fn nodes(&self) -> &[NodeId] {
        &self.nodes
    }

    pub(super) fn waits_for(&self, node: NodeId) -> bool {
        self.nodes.binary_search(&node).is_ok()
    }

    /// The node has acked it.
    pub(super) fn forget(&mut self, node: NodeId) {
        if let Ok(position) = self.nodes.binary_search(&node) {
            self.nodes.remove(position);
        }
    }
}

#[derive(Debug)]
struct Slot {
    id: MessageId,
    /// `None` once it is settled; slots leave from the front.
    entry: Option<Entry>,
}

/// The messages in the journal only. Ids increase from front to back.
#[derive(Debug, Default)]
pub(super) struct Index {
    slots: VecDeque<Slot>,
    /// How many slots have left at the front.
    left: u64,
    /// The first slot that was not yet given out to be filed, counted from the first ever.
    unfiled: u64,
    live: usize,
}

impl Index {
    pub(super) fn push(&mut self, entry: Entry) {
        debug_assert!(self.slots.back().is_none_or(|last| last.id < entry.id), "ids increase");
        self.live += 1;
        self.slots.push_back(Slot { id: entry.id, entry: Some(entry) });
    }

    /// How many messages are not settled.
    pub(super) fn live(&self) -> usize {
        self.live
    }

    fn position(&self, id: MessageId) -> Option<usize> {
        self.slots.binary_search_by_key(&id, |slot| slot.id).ok()
    }

    pub(super) fn get(&self, id: MessageId) -> Option<&Entry> {
        self.slots[self.position(id)?].entry.as_ref()
    }

    pub(super) fn get_mut(&mut self, id: MessageId) -> Option<&mut Entry> {
        let position = self.position(id)?;
        self.slots[position].entry.as_mut()
    }

    /// The message is acked by all, or filed.
    pub(super) fn settle(&mut self, id: MessageId) -> Option<Entry> {
        let position = self.position(id)?;
        let entry = self.slots[position].entry.take()?;
        self.live -= 1;
        Some(entry)
    }

    /// Gives up the slots at the front that are settled.
    pub(super) fn pop_settled(&mut self) {
        while self.slots.front().is_some_and(|slot| slot.entry.is_none()) {
            self.slots.pop_front();
            self.left += 1;
        }
        self.unfiled = self.unfiled.max(self.left);
        if self.slots.is_empty() && self.slots.capacity() > 1 << 16 {
            self.slots = VecDeque::new();
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.slots.iter().filter_map(|slot| slot.entry.as_ref())
    }

    /// The next message to be filed, marked as given out, if it is due or filing is `urgent`.
    pub(super) fn next_to_file(&mut self, now: Duration, urgent: bool) -> Option<&Entry> {
        loop {
            let position = (self.unfiled - self.left) as usize;
            match &self.slots.get(position)?.entry {
                Some(entry) if !entry.filing => {
                    if entry.due > now && !urgent {
                        return None;
                    }
                    break;
                }
                _ => self.unfiled += 1,
            }
        }
        let position = (self.unfiled - self.left) as usize;
        self.unfiled += 1;
        let entry = self.slots[position].entry.as_mut()?;
        entry.filing = true;
        Some(entry)
    }

    /// The message could not be filed: it is to be given out again.
    pub(super) fn file_again(&mut self, id: MessageId) {
        let Some(position) = self.position(id) else { return };
        if let Some(entry) = &mut self.slots[position].entry {
            entry.filing = false;
            // A part of it may have been written.
            entry.recovered = true;
            self.unfiled = self.unfiled.min(self.left + position as u64);
        }
    }

    /// All that waits is due by then at the latest.
    pub(super) fn hasten(&mut self, by: Duration) {
        for entry in self.slots.iter_mut().filter_map(|slot| slot.entry.as_mut()) {
            entry.due = entry.due.min(by);
        }
    }

    /// When the next message is due to be filed.
    pub(super) fn next_due(&self) -> Option<Duration> {
        let position = (self.unfiled - self.left) as usize;
        let unfiled = self.slots.iter().skip(position).filter_map(|slot| slot.entry.as_ref());
        unfiled.filter(|entry| !entry.filing).map(|entry| entry.due).next()
    }
}
