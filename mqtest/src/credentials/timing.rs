//! Does the clock tell an unknown user from a known one?
//!
//! The statistic is that of Mann and Whitney: how often a login of an unknown user takes longer than
//! one of a known user with a wrong node. One half says that nothing is to be learned. It may be off
//! by a hundredth, and by what chance does to so many trials: four times its standard deviation.

use super::stranger::{self, User};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use serde_json::{Value, json};
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

/// How far off one half is of no use to anyone.
const NEGLIGIBLE: f64 = 0.01;
/// How many standard deviations are still chance: a false alarm in 15,000 runs.
const DEVIATIONS: f64 = 4.0;
/// Logins before the first that counts.
const WARM_UP: usize = 10;

/// What was measured, in microseconds, sorted.
pub(super) struct Timing {
    unknown: Vec<f64>,
    known: Vec<f64>,
}

/// Times so many logins, half of an unknown user, with names that `name` makes.
pub(super) async fn measure(
    server: SocketAddr,
    user: &User,
    trials: u32,
    name: fn() -> anyhow::Result<String>,
) -> anyhow::Result<Timing> {
    let mut order: Vec<bool> = (0..trials).map(|trial| trial % 2 == 0).collect();
    order.shuffle(&mut StdRng::seed_from_u64(u64::from(trials)));
    let (mut unknown, mut known) = (Vec::new(), Vec::new());
    let warm_up = order[..WARM_UP].to_vec();
    for (trial, is_known) in warm_up.into_iter().chain(order).enumerate() {
        let node = name()?;
        // Made in both cases, so that all is the same here, too.
        let stranger = stranger::fresh()?;
        let (user, why) = match is_known {
            true => (&user.name, "nodeId unknown"),
            false => (&stranger, "userId unknown"),
        };
        let took = stranger::refused(server, user, &node, why).await?;
        if trial >= WARM_UP {
            let times = if is_known { &mut known } else { &mut unknown };
            times.push(micros(took));
        }
    }
    Ok(Timing::new(unknown, known))
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

impl Timing {
    fn new(mut unknown: Vec<f64>, mut known: Vec<f64>) -> Self {
        unknown.sort_unstable_by(f64::total_cmp);
        known.sort_unstable_by(f64::total_cmp);
        Self { unknown, known }
    }

    /// How often an unknown user takes longer than a known one.
    fn longer(&self) -> f64 {
        let beaten = |time: &f64| {
            let below = self.known.partition_point(|known| known < time);
            let up_to = self.known.partition_point(|known| known <= time);
            (below + up_to) as f64 / 2.0
        };
        let pairs = self.unknown.len() * self.known.len();
        self.unknown.iter().map(beaten).sum::<f64>() / pairs as f64
    }

    /// How far off one half that may be.
    fn bound(&self) -> f64 {
        let (n, m) = (self.unknown.len() as f64, self.known.len() as f64);
        NEGLIGIBLE + DEVIATIONS * ((n + m + 1.0) / (12.0 * n * m)).sqrt()
    }

    /// Does the clock tell nothing?
    pub(super) fn is_silent(&self) -> bool {
        (self.longer() - 0.5).abs() <= self.bound()
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "unknown_user_us": median(&self.unknown),
            "wrong_node_us": median(&self.known),
            "unknown_takes_longer": self.longer(),
            "bound": self.bound(),
            "trials": self.unknown.len() + self.known.len(),
        })
    }
}

fn median(sorted: &[f64]) -> f64 {
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

impl fmt::Display for Timing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unknown, known) = (median(&self.unknown), median(&self.known));
        let (longer, bound) = (self.longer(), self.bound());
        let trials = self.unknown.len() + self.known.len();
        write!(
            f,
            "unknown user {unknown:.0} µs, wrong node {known:.0} µs in the median of {trials}; the \
             first takes longer in {longer:.3} of all pairs, 0.5 ± {bound:.3} is allowed"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(from: u32, count: u32) -> Vec<f64> {
        (from..from + count).map(f64::from).collect()
    }

    #[test]
    fn the_same_times_tell_nothing_and_a_small_shift_of_many_does() {
        assert!(Timing::new(times(0, 200), times(0, 200)).is_silent());
        assert_eq!(Timing::new(times(0, 200), times(0, 200)).longer(), 0.5);
        assert!(!Timing::new(times(0, 200), times(60, 200)).is_silent());
        assert!(!Timing::new(times(60, 200), times(0, 200)).is_silent());
        assert!(Timing::new(times(500, 10_000), times(0, 10_000)).longer() > 0.54);
        assert!(!Timing::new(times(500, 10_000), times(0, 10_000)).is_silent());
    }

    #[test]
    fn the_longer_is_the_larger_share() {
        assert_eq!(Timing::new(times(10, 5), times(0, 5)).longer(), 1.0);
        assert_eq!(Timing::new(times(0, 5), times(10, 5)).longer(), 0.0);
    }
}
