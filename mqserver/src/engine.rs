//! What the broker's task is told.

use crate::post_office::LinkHandle;
use crate::status::Overview;
use mqlib::broker::{Asked, LinkId, OperateError, Operated, Operation};
use mqlib::quit::Quit;
use mqlib::store::{Fatal, SpoolDone};
use std::time::Instant;
use tokio::sync::oneshot;

/// An event for the broker's task.
#[derive(Debug)]
pub(crate) enum Event {
    /// A connection is ready, that was made at this time.
    Opened(LinkId, LinkHandle, Instant),
    /// It has asked for something that has to be hashed first.
    Asking(LinkId),
    /// It asks for something.
    Requests(LinkId, Vec<Asked>),
    /// What it sent is no request.
    Invalid(LinkId, Quit),
    /// Its socket has taken all deliveries up to a mark, of so many bytes.
    Written(LinkId, usize),
    /// It is gone.
    Closed(LinkId),
    /// The operator wants something done, and is to be told when it is.
    Operate(Operation, oneshot::Sender<Result<Operated, OperateError>>),
    /// The store has done something.
    Spool(Vec<SpoolDone>),
    /// The store has failed.
    Fatal(Fatal),
    /// Somebody wants to know how things are, with so many users by name.
    Overview(usize, oneshot::Sender<Overview>),
}
