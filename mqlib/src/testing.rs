//! The queue under simulation: a disk that forgets what was not synced, and a world that drives
//! broker and store with clients, crashes, full disks and mad clocks.
//!
//! One seed decides everything: which client does what, when a job is done, what survives a power
//! cut. [`simulate`] runs a seed and says what promise was broken, if one was; the same seed breaks
//! it again. To show that the checks can fail, a [`Mutation`] breaks the server on purpose.

mod client;
pub mod disk;
pub mod history;
mod world;

pub use history::Violation;
use world::World;

/// How the server is broken on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutation {
    /// It is not.
    None,
    /// The disk says that it has synced, and has not.
    DropSync,
    /// Posters are answered before the commit.
    AckBeforeCommit,
    /// What nodes have posted is forgotten.
    ForgetPosts,
    /// Posters are not told whom their posts did not reach.
    DropSilently,
    /// The queue of a node that is dropped stays.
    KeepQueues,
    /// Senders are not told of messages that are removed.
    ForgetBounces,
}

/// What happened in a run that broke no promise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Report {
    /// Posts that were acked.
    pub acked: u64,
    /// Deliveries.
    pub delivered: u64,
    /// Times the server went down.
    pub crashes: u64,
    /// Nodes that a link took from another.
    pub takeovers: u64,
    /// Times a poster was told that a queue is full.
    pub full: u64,
    /// Nodes that were dropped.
    pub dropped: u64,
    /// Users that were deleted.
    pub deleted: u64,
    /// Messages that were purged.
    pub purged: u64,
    /// Messages of which the sender was told that they are removed.
    pub bounced: u64,
}

impl std::ops::AddAssign for Report {
    fn add_assign(&mut self, other: Self) {
        self.acked += other.acked;
        self.delivered += other.delivered;
        self.crashes += other.crashes;
        self.takeovers += other.takeovers;
        self.full += other.full;
        self.dropped += other.dropped;
        self.deleted += other.deleted;
        self.purged += other.purged;
        self.bounced += other.bounced;
    }
}

/// Runs one seed.
///
/// # Errors
/// The promise that was broken.
pub fn simulate(seed: u64, mutation: Mutation) -> Result<Report, Violation> {
    World::new(seed, mutation).run()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_hundred_seeds_keep_every_promise() {
        let mut total = Report::default();
        for seed in 0..300 {
            total += simulate(seed, Mutation::None)
                .unwrap_or_else(|violation| panic!("seed {seed}: {violation}"));
        }
        let lively = total.takeovers > 100 && total.full > 100 && total.dropped > 100;
        let operated = total.deleted > 30 && total.purged > 10 && total.bounced > 100;
        let busy = total.acked > 1000 && total.crashes > 100;
        assert!(busy && lively && operated, "the world has gone quiet: {total:?}");
    }

    #[test]
    fn a_seed_is_the_same_run_again() {
        for seed in 0..20 {
            let first = simulate(seed, Mutation::None);
            assert_eq!(first, simulate(seed, Mutation::None));
        }
    }

    #[test]
    fn a_server_broken_on_purpose_is_found_out() {
        use Mutation::{
            AckBeforeCommit, DropSilently, DropSync, ForgetBounces, ForgetPosts, KeepQueues,
        };
        for mutation in
            [DropSync, AckBeforeCommit, ForgetPosts, DropSilently, KeepQueues, ForgetBounces]
        {
            let found = (0..1000).any(|seed| simulate(seed, mutation).is_err());
            assert!(found, "{mutation:?} goes unnoticed");
        }
    }
}
