//! What a session takes over from an earlier one.

use bytes::Bytes;
use std::time::Instant;

/// How many ids a session has for its posts before it meets those of another.
pub(crate) const IDS: u64 = 1 << 20;

/// What an earlier session left on disk; by default nothing.
#[derive(Debug, Default)]
pub(crate) struct Saved {
    /// No id of a post up to here is used again: the server would take it for a repeat.
    pub(crate) last_id: u64,
    /// The posts that are not acked, in the order of their ids.
    pub(crate) posts: Vec<SavedPost>,
    /// The ids of the messages acked lately, the latest last.
    pub(crate) acked: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct SavedPost {
    pub(crate) id: u64,
    /// As it was sent, or was to be sent.
    pub(crate) message: Bytes,
    pub(crate) deadline: Option<Instant>,
}

/// The end of a range of ids that most likely no other session had. `random` is any number.
pub(crate) fn anywhere(random: u32) -> u64 {
    // Exact in a float, as some read numbers.
    u64::from(random) * IDS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_that_begin_anywhere_have_different_ids_that_a_float_holds() {
        let ends = [0, 1, u32::MAX].map(anywhere);
        assert!(ends.windows(2).all(|pair| pair[1] - pair[0] >= IDS), "{ends:?}");
        assert!(ends[2] + IDS < 1 << 53);
    }
}
