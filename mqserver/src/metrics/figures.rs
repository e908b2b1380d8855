//! What is asked of those who own it: the broker's task, and the thread that commits.

use mqlib::broker::{self, Counts};
use mqlib::histogram::{Histogram, TIMES};
use mqlib::store::{self, State};

/// Bounds for how many messages a batch has.
const MESSAGES: &[u64] = &[0, 1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 300, 500, 1_000, 2_000, 5_000];
/// Bounds for how many bytes a batch has, in whole blocks.
const BYTES: &[u64] =
    &[4 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10, 128 << 10, 256 << 10, 512 << 10, 1 << 20];

/// What the broker's task knows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BrokerFigures {
    pub(crate) counts: Counts,
    pub(crate) totals: broker::Totals,
}

/// What the thread that commits knows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StoreFigures {
    pub(crate) totals: store::Totals,
    pub(crate) state: State,
    pub(crate) work: StoreWork,
}

/// How long the disk took, and for how much.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StoreWork {
    /// A batch, from its first record to the end of the write, in nanoseconds.
    pub(crate) commits: Histogram,
    /// Messages in it.
    pub(crate) messages: Histogram,
    /// Bytes of the journal that it took.
    pub(crate) bytes: Histogram,
    /// A sync of the file system, in nanoseconds.
    pub(crate) syncs: Histogram,
}

impl StoreWork {
    pub(crate) fn new() -> Self {
        let times = Histogram::new(TIMES);
        let (messages, bytes) = (Histogram::new(MESSAGES), Histogram::new(BYTES));
        Self { commits: times, messages, bytes, syncs: times }
    }
}
