//! What the broker's task is told.

use crate::config::Config;
use crate::post_office::LinkHandle;
use crate::status::Overview;
use mqlib::broker::{Asked, LinkId};
use mqlib::credential::InvitationKey;
use mqlib::quit::Quit;
use mqlib::store::{Fatal, Refusal, SpoolDone};
use std::sync::Arc;
use std::time::{Duration, Instant};
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
    /// The operator invites with these tokens, for so long; is to be told when they are good.
    Invite(Vec<InvitationKey>, Duration, oneshot::Sender<Result<(), Refusal>>),
    /// The configuration is another one now.
    Configured(Arc<Config>),
    /// The store has done something.
    Spool(Vec<SpoolDone>),
    /// The store has failed.
    Fatal(Fatal),
    /// Somebody wants to know how things are, with so many users by name.
    Overview(usize, oneshot::Sender<Overview>),
}
