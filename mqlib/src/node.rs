//! Users and nodes by number: what the broker, the journal and the spool pass around.

/// A user, by a number that is never given again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(pub u32);

/// A node: a user's device, by its offset 0–99.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId {
    /// Whose.
    pub user: UserId,
    /// Which.
    pub offset: u8,
}

/// How many nodes a user has at most.
pub const MAX_NODES: usize = 100;
