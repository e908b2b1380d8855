//! The time of a run: nanoseconds since it began, on the kernel's monotonic clock.

use rustix::time::{ClockId, Timespec, clock_gettime};

/// Nanoseconds in a second.
const SECOND: u64 = 1_000_000_000;

/// A clock. Copies agree.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: u64,
}

impl Clock {
    /// A clock that begins now.
    pub(crate) fn start() -> Self {
        Self { start: monotonic() }
    }

    /// Nanoseconds since the beginning.
    pub(crate) fn now(self) -> u64 {
        monotonic() - self.start
    }

    /// A time of the run, as the kernel's timers take it.
    pub(crate) fn timespec(self, at: u64) -> Timespec {
        let at = self.start + at;
        Timespec { tv_sec: (at / SECOND) as _, tv_nsec: (at % SECOND) as _ }
    }
}

fn monotonic() -> u64 {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::Monotonic);
    // 584 years fit.
    tv_sec as u64 * SECOND + tv_nsec as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_told_the_same_time() {
        let clock = Clock::start();
        let before = clock.now();
        let Timespec { tv_sec, tv_nsec } = clock.timespec(before);
        let told = tv_sec as u64 * SECOND + tv_nsec as u64;
        assert!(told <= monotonic() && monotonic() - told < SECOND);
        assert!(clock.now() >= before);
    }
}
