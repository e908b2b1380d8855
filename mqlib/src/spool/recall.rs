//! The files of what nodes have posted, [`posted`](crate::posted), as jobs read and write them.

use super::fault::{exists, is_full, is_planted, missing};
use super::shop::Shop;
use crate::node::NodeId;
use crate::posted::{self, Entry, Next, Slots};
use std::io;
use std::sync::Arc;

/// What a node has posted, to be put into its file.
#[derive(Debug)]
pub struct Remember {
    /// The node.
    pub node: NodeId,
    /// Its file.
    pub path: Arc<str>,
    /// Where the next entry goes, if that is known.
    pub next: Option<Next>,
    /// The posts, the oldest first.
    pub entries: Vec<Entry>,
}

/// For each node where its next entry goes, if that is known now.
pub type Remembered = Vec<(NodeId, Option<Next>)>;

impl Shop<'_> {
    /// Puts posts into the files of their nodes. Not synced.
    pub(super) fn remember(&mut self, nodes: &[Remember]) -> io::Result<Remembered> {
        nodes.iter().map(|node| Ok((node.node, self.remember_node(node)?))).collect()
    }

    fn remember_node(&mut self, node: &Remember) -> io::Result<Option<Next>> {
        let Remember { path, next, entries, .. } = node;
        if let (Some(Next { slot, after }), [(_, first), ..]) = (*next, &entries[..])
            && *first > after
            && entries.len() <= posted::REMEMBERED
        {
            match self.write_at(path, slot, entries) {
                Ok(()) => {
                    let slot = (slot + entries.len()) % posted::REMEMBERED;
                    return Ok(Some(Next {
                        slot,
                        after: entries.last().map_or(after, |(_, last)| *last),
                    }));
                }
                Err(error) if is_full(&error) => return Err(error),
                // It is no longer what it was.
                Err(_) => {}
            }
        }
        let mut slots = self.slots(path)?;
        let changed = slots.put(entries);
        let whole = slots.encode();
        let disk = self.disk;
        match self.in_directory(path, || disk.create(path, 0, &[&whole])) {
            Err(error) if exists(&error) => {
                for slot in changed {
                    let at = posted::offset(slot) as usize;
                    disk.patch(path, at as u64, &whole[at..][..posted::SLOT])?;
                }
            }
            result => result?,
        }
        Ok(slots.next())
    }

    fn write_at(&mut self, path: &str, slot: usize, entries: &[Entry]) -> io::Result<()> {
        let (here, wrapped) = entries.split_at((posted::REMEMBERED - slot).min(entries.len()));
        self.disk.patch(path, posted::offset(slot), &posted::encode(here))?;
        if !wrapped.is_empty() {
            self.disk.patch(path, 0, &posted::encode(wrapped))?;
        }
        Ok(())
    }

    /// What a node has posted lately: what its file says, and what does not stand there yet.
    pub(super) fn recall(&mut self, path: &str, recent: &[Entry]) -> io::Result<Vec<Entry>> {
        let mut slots = self.slots(path)?;
        slots.put(recent);
        Ok(slots.entries())
    }

    fn slots(&mut self, path: &str) -> io::Result<Slots> {
        match self.disk.read(path) {
            Err(error) if missing(&error) => Ok(Slots::default()),
            Err(error) if is_planted(&error) || error.kind() == io::ErrorKind::InvalidData => {
                self.set_aside(path)?;
                Ok(Slots::default())
            }
            content => {
                let slots = Slots::parse(&content?);
                if slots.damaged > 0 {
                    (self.note)(format!(
                        "{path}: {} of the posts there cannot be read, and would be stored again",
                        slots.damaged
                    ));
                }
                Ok(slots)
            }
        }
    }
}
