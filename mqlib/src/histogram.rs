//! How many were how large: a histogram, kept by its only owner, who hands out copies.

use std::time::Duration;

/// Buckets at most; the one behind the last bound is for all that is larger.
const BUCKETS: usize = 40;

const US: u64 = 1_000;
const MS: u64 = 1_000 * US;
const S: u64 = 1_000 * MS;

/// Bounds for times, in nanoseconds: 50 µs to 10 s, six for each factor of ten, so that a quantile
/// is known to a quarter or better.
#[rustfmt::skip]
pub const TIMES: &[u64] = &[
    50 * US, 70 * US,
    100 * US, 150 * US, 200 * US, 300 * US, 500 * US, 700 * US,
    MS, 1_500 * US, 2 * MS, 3 * MS, 5 * MS, 7 * MS,
    10 * MS, 15 * MS, 20 * MS, 30 * MS, 50 * MS, 70 * MS,
    100 * MS, 150 * MS, 200 * MS, 300 * MS, 500 * MS, 700 * MS,
    S, 1_500 * MS, 2 * S, 3 * S, 5 * S, 7 * S,
    10 * S,
];

/// A histogram of whole numbers, which are nanoseconds where they are times.
#[derive(Debug, Clone, Copy)]
pub struct Histogram {
    bounds: &'static [u64],
    counts: [u64; BUCKETS],
    sum: u64,
}

impl Histogram {
    /// An empty one with these bounds, which ascend.
    ///
    /// # Panics
    /// There are more than 39 of them.
    pub const fn new(bounds: &'static [u64]) -> Self {
        assert!(bounds.len() < BUCKETS, "a histogram has 39 bounds at most");
        Self { bounds, counts: [0; BUCKETS], sum: 0 }
    }

    /// Counts one of this size.
    pub fn add(&mut self, size: u64) {
        // A bound belongs to the bucket below it.
        let bucket = self.bounds.partition_point(|bound| *bound < size);
        self.counts[bucket] += 1;
        self.sum = self.sum.saturating_add(size);
    }

    /// Counts one that took so long.
    pub fn add_time(&mut self, time: Duration) {
        self.add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The sum of their sizes.
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// How many are in each bucket, with its upper bound; the last one has none.
    pub fn buckets(&self) -> impl Iterator<Item = (Option<u64>, u64)> {
        let bounds = self.bounds.iter().copied().map(Some).chain([None]);
        bounds.zip(self.counts)
    }

    /// What was counted since an earlier copy was taken.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut since = *self;
        for (count, before) in since.counts.iter_mut().zip(earlier.counts) {
            *count = count.saturating_sub(before);
        }
        since.sum = since.sum.saturating_sub(earlier.sum);
        since
    }

    /// The size that such a share of them (0–1) does not exceed, as if they were spread evenly in
    /// their bucket; what is beyond all bounds is taken for the last bound. `None` if there are none.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let wanted = self.count() as f64 * share;
        let (mut before, mut lower) = (0.0, 0.0);
        for (bound, count) in self.buckets() {
            let (count, upper) = (count as f64, bound.map_or(lower, |bound| bound as f64));
            if count > 0.0 && before + count >= wanted {
                return Some(lower + (upper - lower) * ((wanted - before) / count).max(0.0));
            }
            before += count;
            lower = upper;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: &[u64] = &[10, 20, 40];

    fn of(sizes: &[u64]) -> Histogram {
        let mut histogram = Histogram::new(BOUNDS);
        sizes.iter().for_each(|size| histogram.add(*size));
        histogram
    }

    #[test]
    fn a_bound_belongs_to_the_bucket_below_it_and_the_last_bucket_has_none() {
        let histogram = of(&[0, 10, 11, 40, 41, 1000]);
        let buckets: Vec<_> = histogram.buckets().collect();
        assert_eq!(buckets, [(Some(10), 2), (Some(20), 1), (Some(40), 1), (None, 2)]);
        assert_eq!((histogram.count(), histogram.sum()), (6, 1102));
    }

    #[test]
    fn a_quantile_lies_in_its_bucket_and_there_is_none_of_nothing() {
        assert_eq!(of(&[]).quantile(0.5), None);
        let even = of(&[15; 10]);
        assert_eq!(even.quantile(0.5), Some(15.0));
        assert_eq!(even.quantile(1.0), Some(20.0));
        let two = of(&[5, 5, 5, 30]);
        assert!(two.quantile(0.5) <= Some(10.0), "{:?}", two.quantile(0.5));
        assert!(two.quantile(0.99) > Some(20.0), "{:?}", two.quantile(0.99));
        assert_eq!(of(&[1000]).quantile(0.5), Some(40.0));
    }

    #[test]
    fn what_was_counted_since_is_counted_alone() {
        let earlier = of(&[5, 30]);
        let mut later = earlier;
        later.add(31);
        let since = later.since(&earlier);
        assert_eq!((since.count(), since.sum()), (1, 31));
        assert!(since.quantile(0.5) > Some(20.0));
    }

    #[test]
    fn the_bounds_of_times_ascend_from_50_microseconds_to_10_seconds() {
        assert!(TIMES.is_sorted());
        let mut times = Histogram::new(TIMES);
        times.add_time(Duration::from_micros(50));
        times.add_time(Duration::from_secs(10));
        let all: Vec<_> = times.buckets().filter(|(_, count)| *count > 0).collect();
        assert_eq!(all, [(Some(50_000), 1), (Some(10_000_000_000), 1)]);
    }
}
