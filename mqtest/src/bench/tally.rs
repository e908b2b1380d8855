//! What happened: counts of the whole run, and the latencies of its measured part.

use super::arrivals::Arrivals;
use super::report::Report;
use super::stamp::Stamp;
use anyhow::Context;
use hdrhistogram::Histogram;

/// The longest latency told apart from a longer one, in µs: ten minutes.
const LONGEST: u64 = 600_000_000;

/// Counts and latencies.
#[derive(Debug)]
pub(crate) struct Tally {
    /// Posts sent.
    pub(crate) sent: u64,
    /// Posts acked, without any error.
    pub(crate) acked: u64,
    /// Posts refused.
    pub(crate) refused: u64,
    /// What the first refusal said.
    refusal: Option<String>,
    /// When the last ack came.
    pub(crate) acked_at: u64,
    /// Messages received, each once.
    pub(crate) received: u64,
    /// When the first of them came.
    pub(crate) first_received_at: Option<u64>,
    /// When the last of them came.
    pub(crate) received_at: u64,
    /// Messages received again, or out of order.
    pub(crate) repeated: u64,
    /// From when a post was due until it was sent, in µs, while it is measured.
    pub(crate) late: Histogram<u64>,
    /// From a post to its ack, in µs, while it is measured.
    pub(crate) to_ack: Histogram<u64>,
    /// From a post to its delivery, in µs, while it is measured.
    pub(crate) to_receive: Histogram<u64>,
    arrivals: Arrivals,
    measuring: bool,
}

impl Tally {
    /// For so many receivers and posters.
    pub(crate) fn new(receivers: u32, posters: u32) -> anyhow::Result<Self> {
        let histogram = || Histogram::new_with_bounds(1, LONGEST, 3).context("no histogram");
        Ok(Self {
            sent: 0,
            acked: 0,
            refused: 0,
            refusal: None,
            acked_at: 0,
            received: 0,
            first_received_at: None,
            received_at: 0,
            repeated: 0,
            late: histogram()?,
            to_ack: histogram()?,
            to_receive: histogram()?,
            arrivals: Arrivals::new(receivers, posters),
            measuring: false,
        })
    }

    /// Latencies count from now on, or no longer.
    pub(crate) fn measure(&mut self, measuring: bool) {
        self.measuring = measuring;
    }

    /// A post is sent, so long after it was due, if it was.
    pub(crate) fn posted(&mut self, late: Option<u64>) {
        self.sent += 1;
        if let Some(late) = late.filter(|_| self.measuring) {
            self.late.saturating_record(late / 1000);
        }
    }

    /// A post was acked.
    pub(crate) fn acked(&mut self, sent: u64, now: u64) {
        self.acked += 1;
        self.acked_at = now;
        if self.measuring {
            self.to_ack.saturating_record(now.saturating_sub(sent) / 1000);
        }
    }

    /// A post was refused.
    pub(crate) fn refused(&mut self, text: String) {
        self.refused += 1;
        self.refusal.get_or_insert(text);
    }

    /// Puts what was refused into a report: nothing should have been.
    pub(crate) fn tell_refusals(&self, report: &mut Report) {
        report.broken_if(self.refused, "posts refused");
        if let Some(refusal) = &self.refusal {
            report.broken(format!("the first refusal says: {refusal}"));
        }
    }

    /// A message was received. `false` if it was no news.
    pub(crate) fn received(
        &mut self,
        receiver: u32,
        stamp: Stamp,
        now: u64,
    ) -> anyhow::Result<bool> {
        if !self.arrivals.note(receiver, stamp)? {
            self.repeated += 1;
            return Ok(false);
        }
        self.received += 1;
        self.first_received_at.get_or_insert(now);
        self.received_at = now;
        if self.measuring {
            self.to_receive.saturating_record(now.saturating_sub(stamp.sent) / 1000);
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_measured_is_in_the_histograms() {
        let mut tally = Tally::new(1, 1).unwrap();
        tally.acked(0, 5_000_000);
        tally.posted(Some(1_000_000));
        tally.measure(true);
        tally.acked(1, 1_000_001);
        tally.posted(Some(2_000_000));
        tally.posted(None);
        let stamp = Stamp { sent: 2_000_000, poster: 0, number: 0 };
        assert!(tally.received(0, stamp, 5_000_000).unwrap());
        assert!(!tally.received(0, stamp, 6_000_000).unwrap());
        tally.measure(false);
        tally.acked(0, 5_000_000);
        assert_eq!((tally.sent, tally.acked, tally.received, tally.repeated), (3, 3, 1, 1));
        assert_eq!((tally.late.len(), tally.late.max()), (1, 2000));
        assert_eq!((tally.to_ack.len(), tally.to_receive.len()), (1, 1));
        assert_eq!(tally.first_received_at, Some(5_000_000));
        // Three digits are kept.
        assert!(tally.to_receive.equivalent(tally.to_receive.max(), 3000));
    }

    #[test]
    fn the_first_refusal_is_remembered() {
        let mut tally = Tally::new(1, 1).unwrap();
        tally.refused("first".into());
        tally.refused("second".into());
        let mut report = Report::new("test", "c".into());
        tally.tell_refusals(&mut report);
        assert_eq!(report.faults(), ["2 posts refused", "the first refusal says: first"]);
    }
}
