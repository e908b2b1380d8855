//! What the broker wants done.

use super::{LinkId, OperateError, Operated};
use crate::quit::Quit;
use crate::reply::Delivery;
use crate::store::SpoolOp;
use bytes::Bytes;

/// What the broker wants done.
#[derive(Debug)]
pub enum Output {
    /// Send a message.
    Send(LinkId, Bytes),
    /// Send a message of the queue. One that was sent on this connection before is pointless if
    /// the first copy still waits for the socket.
    Deliver(LinkId, Delivery),
    /// When the socket has taken all that was to be sent before this, say so with these bytes.
    Mark(LinkId, usize),
    /// So many of the link's requests are settled: it may send as many more.
    Settled(LinkId, usize),
    /// Close the connection, with a last word.
    Close(LinkId, Quit),
    /// Hand this to the store.
    Spool(SpoolOp),
    /// What the operator wanted is done, and durable; or cannot be.
    Operated(u64, Result<Operated, OperateError>),
    /// The operator should know.
    Trouble(String),
}
