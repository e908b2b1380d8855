//! The time, which the core is told and never asks for.

use std::time::Duration;

/// A moment, on two clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Since the server started; never goes back. Timers use this one.
    pub mono: Duration,
    /// Milliseconds since 1970 by the wall clock, which may step. Ids and dates use this one.
    pub wall: u64,
}

/// The date as the protocol writes it: ISO 8601 with milliseconds, in UTC.
pub fn date(millis: u64) -> String {
    // The last date that the formatter takes; no clock shows a later one in earnest.
    let bounded = millis.min(253_402_300_799_999);
    let time = std::time::UNIX_EPOCH + Duration::from_millis(bounded);
    humantime::format_rfc3339_millis(time).to_string()
}

/// The dates of moments that mostly are the same: one is written once for all messages of a
/// millisecond.
#[derive(Debug, Default)]
pub struct Dates {
    last: Option<(u64, String)>,
}

impl Dates {
    /// As [`date`].
    pub fn of(&mut self, millis: u64) -> &str {
        let same = self.last.take().filter(|(last, _)| *last == millis);
        &self.last.insert(same.unwrap_or_else(|| (millis, date(millis)))).1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_has_milliseconds_and_z_even_when_the_clock_is_mad() {
        assert_eq!(date(1_291_161_600_007), "2010-12-01T00:00:00.007Z");
        assert_eq!(date(u64::MAX), "9999-12-31T23:59:59.999Z");
        let mut dates = Dates::default();
        for millis in [7, 7, 8, 7] {
            assert_eq!(dates.of(millis), date(millis));
        }
    }
}
