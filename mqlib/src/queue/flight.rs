//! A message in flight.

use crate::id::MessageId;
use bytes::Bytes;
use std::time::Duration;

/// Where a message in flight is.
#[derive(Debug)]
pub(super) enum Place {
    /// To be read from the store, and sent again.
    Due,
    /// Being read from the store.
    Reading,
    /// To be sent.
    Ready(Bytes),
    /// Sent.
    Sent,
    /// Sent, and removed since: it keeps its place in the window until it is acked, or would be sent
    /// again.
    Purged,
}

impl Place {
    /// Is it to be sent, now or when it is read?
    pub(super) fn is_unsent(&self) -> bool {
        !matches!(self, Self::Sent | Self::Purged)
    }
}

#[derive(Debug)]
pub(super) struct Flight {
    pub(super) id: MessageId,
    pub(super) to_one: bool,
    pub(super) place: Place,
    /// When it was sent last.
    pub(super) sent_at: Option<Duration>,
    /// How often.
    pub(super) sent: u32,
    /// Its length in bytes, once it was sent.
    pub(super) len: usize,
    /// When its request was read, if that is known, and it was not sent.
    pub(super) read: Option<Duration>,
}
