//! How fast a user may post: so many a second in the long run, and so many at once.
//!
//! This is the generic cell rate algorithm (ITU-T I.371, Annex A): one moment is kept for each user,
//! at which all its posts so far would be paid for at the steady rate; a post is refused when that
//! lies further ahead than a burst may. A moment that has passed says nothing and is swept away.

use crate::limits::Limits;
use crate::node::UserId;
use std::collections::HashMap;
use std::time::Duration;

/// Below so many users nothing is swept.
const SWEEP: usize = 1024;

/// What users have posted of late.
#[derive(Debug, Default)]
pub(super) struct Pace {
    paid: HashMap<UserId, Duration>,
    /// How many users were left by the last sweep.
    left: usize,
}

impl Pace {
    /// What a user is told that may not post now.
    pub(super) fn refusal(limits: &Limits) -> String {
        format!("too many posts: limit {} per second", limits.posts_per_second)
    }

    /// May the user post now? If so, it has.
    pub(super) fn admit(&mut self, now: Duration, user: UserId, limits: &Limits) -> bool {
        if limits.posts_per_second == 0 {
            return true;
        }
        let interval = Duration::from_secs(1) / limits.posts_per_second;
        let ahead = interval * limits.posts_burst.saturating_sub(1);
        if self.paid.len() >= SWEEP.max(2 * self.left) {
            self.paid.retain(|_, paid| *paid > now);
            self.left = self.paid.len();
        }
        let paid = self.paid.entry(user).or_insert(now);
        *paid = (*paid).max(now);
        let admitted = *paid - now <= ahead;
        if admitted {
            *paid += interval;
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_the_rate_for_each_user() {
        let limits = Limits { posts_per_second: 10, posts_burst: 3, ..Limits::default() };
        let mut pace = Pace::default();
        let mut admitted = |millis, user, asked| {
            let now = Duration::from_millis(millis);
            (0..asked).filter(|_| pace.admit(now, UserId(user), &limits)).count()
        };
        assert_eq!(admitted(0, 1, 9), 3);
        assert_eq!(admitted(99, 1, 9), 0);
        assert_eq!(admitted(100, 1, 9), 1);
        assert_eq!(admitted(100, 2, 9), 3);
        assert_eq!(admitted(350, 1, 9), 2);
        assert_eq!(admitted(10_000, 1, 9), 3);
    }

    #[test]
    fn who_has_not_posted_for_a_while_costs_nothing() {
        let limits = Limits { posts_per_second: 10, posts_burst: 3, ..Limits::default() };
        let mut pace = Pace::default();
        for user in 0..100_000 {
            assert!(pace.admit(Duration::from_millis(user.into()), UserId(user), &limits));
        }
        assert!(pace.paid.len() <= 2 * SWEEP, "{}", pace.paid.len());
    }
}
