//! How large and how patient a store is.

use std::time::Duration;

/// Sizes and times of a store.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// Segments of the journal; at least 2.
    pub segments: usize,
    /// Length of a segment in bytes, a multiple of 4096, and more than a message in memory has
    /// (`Limits::large`).
    pub segment_len: u64,
    /// A batch is not extended beyond this many bytes.
    pub batch_max: usize,
    /// How long a message may wait for its acks before it is filed.
    pub linger: Duration,
    /// How many messages may wait to be filed; beyond, posters wait.
    pub backlog: usize,
    /// Bytes that stay free on the disk for what must go on when it is full: with less, posts and
    /// registrations are refused. A full disk ends nothing that has begun.
    pub min_free: u64,
    /// How many messages a listing gives at most.
    pub listing: usize,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            segments: 4,
            segment_len: 32 << 20,
            batch_max: 4 << 20,
            linger: Duration::from_millis(100),
            backlog: 10_000,
            min_free: 4 << 20,
            listing: 65_536,
        }
    }
}
