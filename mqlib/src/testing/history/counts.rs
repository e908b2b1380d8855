//! A history in numbers.

use super::Violation;

/// What happened, in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// Posts handed over to be posted.
    pub posts: u64,
    /// Of those, acked.
    pub acked: u64,
    /// Of those, refused: the server said that it did not store them.
    pub refused: u64,
    /// Of those, ended without an answer; they may have arrived or not.
    pub abandoned: u64,
    /// First arrivals.
    pub deliveries: u64,
    /// Further arrivals of the same post at the same node.
    pub duplicates: u64,
    /// The most of those that one node got on one connection that had not sent them before.
    pub most_duplicates: u64,
    /// Promised and not kept, at the end.
    pub lost: u64,
    /// At a node that they were not for, or posted by nobody.
    pub astray: u64,
    /// Not what was posted, to the byte.
    pub corrupted: u64,
    /// Behind a later message, or a later post of the same sender.
    pub out_of_order: u64,
    /// Delivered after the delete was durable.
    pub deleted: u64,
    /// Ids given again, or smaller than an earlier one.
    pub ids: u64,
    /// One post stored as two messages.
    pub stored_twice: u64,
    /// Delivered although the post was refused.
    pub refused_and_delivered: u64,
    /// More in flight than the window, or more that came again.
    pub beyond_window: u64,
    /// Sent again without a mark.
    pub unmarked: u64,
}

impl Counts {
    /// Was every promise kept?
    pub fn are_clean(&self) -> bool {
        self.broken() == 0
    }

    /// Broken promises of all kinds.
    pub fn broken(&self) -> u64 {
        self.lost
            + self.astray
            + self.corrupted
            + self.out_of_order
            + self.deleted
            + self.ids
            + self.stored_twice
            + self.refused_and_delivered
            + self.beyond_window
            + self.unmarked
    }

    pub(super) fn count(&mut self, violation: &Violation) {
        let count = match violation {
            Violation::Lost { .. } | Violation::LostBounce { .. } => &mut self.lost,
            Violation::Stray { .. } => &mut self.astray,
            Violation::Corrupted { .. } => &mut self.corrupted,
            Violation::Order { .. } | Violation::SenderOrder { .. } => &mut self.out_of_order,
            Violation::Deleted { .. } => &mut self.deleted,
            Violation::Id { .. } => &mut self.ids,
            Violation::Twice { .. } => &mut self.stored_twice,
            Violation::Refused { .. } => &mut self.refused_and_delivered,
            Violation::Window { .. } | Violation::Again { .. } => &mut self.beyond_window,
            Violation::Unmarked { .. } => &mut self.unmarked,
            // Those are of a harness, which does not hand them in here.
            Violation::Removed(_)
            | Violation::Forgotten(_)
            | Violation::Stuck(_)
            | Violation::Untold { .. }
            | Violation::Miscounted(_)
            | Violation::Closed(_) => return,
        };
        *count += 1;
    }
}

/// Of several histories together.
impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.posts += other.posts;
        self.acked += other.acked;
        self.refused += other.refused;
        self.abandoned += other.abandoned;
        self.deliveries += other.deliveries;
        self.duplicates += other.duplicates;
        self.most_duplicates = self.most_duplicates.max(other.most_duplicates);
        self.lost += other.lost;
        self.astray += other.astray;
        self.corrupted += other.corrupted;
        self.out_of_order += other.out_of_order;
        self.deleted += other.deleted;
        self.ids += other.ids;
        self.stored_twice += other.stored_twice;
        self.refused_and_delivered += other.refused_and_delivered;
        self.beyond_window += other.beyond_window;
        self.unmarked += other.unmarked;
    }
}
