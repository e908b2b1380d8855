//! The limits of the queue, by name. Those of a link are wsstream's; those of a store are its
//! configuration.

use std::time::Duration;

/// What one client, message or queue may take.
#[derive(Debug, Clone)]
pub struct Limits {
    /// A connection that has not logged in after this time is closed.
    pub login_timeout: Duration,
    /// The largest message that is taken, in bytes. The doors see to it; clients are told.
    pub max_message: usize,
    /// A delivery that was not acked is sent again after this time; in version 2 after twice as
    /// long each further time.
    pub redelivery: Duration,
    /// But never after more than this.
    pub redelivery_max: Duration,
    /// How many nodes one message goes to at most.
    pub recipients: usize,
    /// A body of more bytes than this is staged: written to its file before it is committed.
    pub large: usize,
    /// How many bytes of messages a node's queue keeps in memory; the rest is read when its turn
    /// comes.
    pub warm: usize,
    /// How many messages a node's queue knows in memory; the rest is listed when its turn comes.
    pub pending: usize,
    /// How many bytes of messages are in flight to a node, about: when there are more, the next
    /// message waits for an ack, whatever the window.
    pub flying: usize,
    /// How many bytes of deliveries a link is given that its socket has not taken: behind them
    /// messages wait in the store. One message is more if it is larger.
    pub unwritten: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            login_timeout: Duration::from_secs(6),
            max_message: 16 << 20,
            redelivery: Duration::from_secs(10),
            redelivery_max: Duration::from_secs(300),
            recipients: 20_000,
            large: 512 << 10,
            warm: 32 << 10,
            pending: 65_536,
            flying: 1 << 20,
            unwritten: 16 << 10,
        }
    }
}
