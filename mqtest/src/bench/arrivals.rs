//! What has arrived where: the server promises the order of commit to every node, so of each poster
//! the numbers that a node receives increase, and one number a pair tells a repetition.

use super::stamp::Stamp;
use anyhow::Context;

/// The last number of every poster at every receiver.
#[derive(Debug)]
pub(crate) struct Arrivals {
    /// One more than the number; 0 before the first.
    last: Vec<u32>,
    posters: usize,
}

impl Arrivals {
    /// Nothing has arrived yet.
    pub(crate) fn new(receivers: u32, posters: u32) -> Self {
        let posters = posters as usize;
        Self { last: vec![0; receivers as usize * posters], posters }
    }

    /// Notes an arrival. `false` if it is a repetition, or out of order.
    pub(crate) fn note(&mut self, receiver: u32, stamp: Stamp) -> anyhow::Result<bool> {
        let at = receiver as usize * self.posters + stamp.poster as usize;
        let last = self.last.get_mut(at).filter(|_| (stamp.poster as usize) < self.posters);
        let last = last.with_context(|| format!("receiver {receiver} got {stamp:?}"))?;
        if stamp.number < *last {
            return Ok(false);
        }
        *last = stamp.number.saturating_add(1);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(poster: u32, number: u32) -> Stamp {
        Stamp { sent: 0, poster, number }
    }

    #[test]
    fn an_arrival_counts_once_and_in_order() {
        let mut arrivals = Arrivals::new(2, 3);
        for (receiver, poster, number, new) in [
            (0, 2, 0, true),
            (0, 2, 0, false),
            (1, 2, 0, true),
            (0, 2, 7, true),
            (0, 2, 6, false),
            (0, 1, 6, true),
        ] {
            assert_eq!(arrivals.note(receiver, stamp(poster, number)).unwrap(), new);
        }
    }

    #[test]
    fn a_poster_that_does_not_exist_is_an_error() {
        let mut arrivals = Arrivals::new(2, 3);
        assert!(arrivals.note(0, stamp(3, 0)).is_err());
        assert!(arrivals.note(2, stamp(0, 0)).is_err());
    }
}
