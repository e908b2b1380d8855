//! What each use of a segment of the journal is still needed for.

use crate::journal::Epoch;
use std::collections::BTreeMap;

#[derive(Debug, Default)]
struct Use {
    /// Messages neither acked by all nor filed, and names to be unlinked, that stand here.
    pending: usize,
    /// Was a file written or removed for something that stands here?
    touched: bool,
    /// Large bodies that have their links, but not for certain.
    staged: Vec<u64>,
    /// A checkpoint is under way.
    syncing: bool,
}

/// Is a use of a segment still needed?
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Settled {
    /// It is, or a checkpoint is under way.
    No,
    /// All of it was acked before it was filed.
    Untouched,
    /// Not once the file system is synced; then these large bodies are not needed either.
    Touched(Vec<u64>),
}

/// The uses of the journal's segments.
#[derive(Debug, Default)]
pub(super) struct Usage {
    uses: BTreeMap<Epoch, Use>,
}

impl Usage {
    pub(super) fn begin(&mut self, epoch: Epoch) {
        self.uses.entry(epoch).or_default();
    }

    fn of(&mut self, epoch: Epoch) -> &mut Use {
        self.uses.entry(epoch).or_default()
    }

    pub(super) fn add(&mut self, epoch: Epoch) {
        self.of(epoch).pending += 1;
    }

    pub(super) fn done(&mut self, epoch: Epoch) {
        let used = self.of(epoch);
        debug_assert!(used.pending > 0, "what is done was to be done");
        used.pending -= 1;
    }

    pub(super) fn touch(&mut self, epoch: Epoch) {
        self.of(epoch).touched = true;
    }

    pub(super) fn stage(&mut self, epoch: Epoch, number: u64) {
        self.of(epoch).staged.push(number);
    }

    pub(super) fn end(&mut self, epoch: Epoch) {
        self.uses.remove(&epoch);
    }

    /// Ends the use if nothing needs it; with a sync to be done first, if files were touched.
    pub(super) fn end_if_settled(&mut self, epoch: Epoch) -> Settled {
        let used = self.of(epoch);
        if used.pending > 0 || used.syncing {
            return Settled::No;
        }
        if used.touched {
            used.syncing = true;
            return Settled::Touched(std::mem::take(&mut used.staged));
        }
        self.end(epoch);
        Settled::Untouched
    }

    /// Are all segments in use, or all but one?
    pub(super) fn is_short_of(&self, segments: usize) -> bool {
        self.uses.len() + 1 >= segments.max(3)
    }
}
