//! What the broker's task is told.

use crate::config::Config;
use crate::metrics::figures::BrokerFigures;
use crate::post_office::LinkHandle;
use mqlib::broker::{Asked, Broker, LinkId, OperateError, Operated, Operation};
use mqlib::now::Now;
use mqlib::quit::Quit;
use mqlib::store::{Fatal, SpoolDone};
use std::fmt;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::oneshot;

/// An event for the broker's task.
#[derive(Debug)]
pub(crate) enum Event {
    /// A connection is ready, that was made at this time.
    Opened(LinkId, LinkHandle, Instant),
    /// It has asked for something that has to be hashed first.
    Asking(LinkId),
    /// It asks for something that was read at this time.
    Requests(LinkId, Vec<Asked>, Instant),
    /// What it sent is no request.
    Invalid(LinkId, Quit),
    /// Its socket has taken all deliveries up to a mark, of so many bytes.
    Written(LinkId, usize),
    /// It is gone.
    Closed(LinkId),
    /// The operator wants something done, and is to be told when it is.
    Operate(Operation, oneshot::Sender<Result<Operated, OperateError>>),
    /// The configuration is another one now.
    Configured(Arc<Config>),
    /// The store has done something.
    Spool(Vec<SpoolDone>),
    /// The store has failed.
    Fatal(Fatal),
    /// The metrics want to know what was done and how things are.
    Figures(oneshot::Sender<BrokerFigures>),
    /// Somebody wants to have a look at the broker. Nobody is served meanwhile.
    Look(Look),
}

type Looking = dyn FnOnce(&Broker, Now) + Send;

/// A look at the broker, which tells what it sees to whoever asked.
pub(crate) struct Look(pub(crate) Box<Looking>);

impl fmt::Debug for Look {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Look")
    }
}
