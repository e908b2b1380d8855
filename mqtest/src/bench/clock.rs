//! The time of a run: nanoseconds since it began, on this process's monotonic clock.

use std::time::Instant;

/// A clock. Copies agree.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that begins now.
    pub(crate) fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// Nanoseconds since the beginning.
    pub(crate) fn now(self) -> u64 {
        // 584 years fit.
        self.start.elapsed().as_nanos() as u64
    }
}
