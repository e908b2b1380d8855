//! A message that the server delivered to this node.

use crate::error::Error;
use crate::task::Control;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

/// What a delivered message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A post, a ping or an invitation to a list.
    Deliver,
    /// The user's aliases were replaced.
    Registered,
    /// The members of a list changed; `etc` says how.
    ListEdited,
}

/// A message from this node's queue. It stays there, and takes up a place in the
/// [window](crate::Config::window), until it is [acked](Self::ack).
///
/// Dropped without that, it comes again, behind those that were on their way: 10 s after it was
/// sent, the next times 20, 40 … up to 300 s later; in version 1 always 10 s. While the application
/// has it, what comes again of it is not shown.
#[derive(Debug)]
#[non_exhaustive]
pub struct Delivery {
    /// The server's id of the message.
    pub id: String,
    /// The user who sent it.
    pub from: String,
    /// What it is.
    pub kind: Kind,
    /// When it was posted, by the server's clock: ISO 8601 with milliseconds, in UTC. None in
    /// version 1.
    pub posted: Option<String>,
    /// How often the server sent it on this link before; 0 the first time, and always in version 1.
    /// A new link begins anew: it is no proof that the message was never shown.
    pub redelivered: u32,
    /// The text of the JSON value that the sender put beside the data.
    pub etc: Option<Bytes>,
    /// The data.
    pub data: Bytes,
    /// Says what becomes of the message.
    pub(crate) stub: Stub,
}

impl Delivery {
    /// Tells the server that it may forget the message; in any order. It need not be awaited: what is
    /// returned tells when the link has taken the ack, or, with a [memory](crate::Config::memory), when
    /// a restart of the program will not show the message again.
    ///
    /// If the link is lost before the server hears of it, the message comes again and the client acks
    /// it by itself; after a restart only if it has a memory.
    pub fn ack(self) -> Acking {
        let Self { stub, .. } = self;
        stub.ack()
    }

    /// `etc` as a Rust value; `None` if there is none.
    ///
    /// # Errors
    /// It is another JSON value than `T` has a place for.
    pub fn etc_as<T: DeserializeOwned>(&self) -> serde_json::Result<Option<T>> {
        self.etc.as_deref().map(serde_json::from_slice).transpose()
    }
}

/// An ack on its way. Dropped, the ack goes on.
///
/// # Errors
/// [`Error::Closed`]: the client ended first, and the message comes again. [`Error::Disk`]: it cannot be
/// remembered; it is acked all the same, but if the server does not hear of it and the program is
/// restarted, it is shown again.
#[derive(Debug)]
pub struct Acking(oneshot::Receiver<Result<(), Error>>);

impl Future for Acking {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|result| result.unwrap_or(Err(Error::Closed)))
    }
}

/// What remains to be said about a delivery: acked, or, if this is dropped, released.
#[derive(Debug)]
pub(crate) struct Stub {
    id: Option<String>,
    control: UnboundedSender<Control>,
}

impl Stub {
    pub(crate) fn new(id: String, control: UnboundedSender<Control>) -> Self {
        Self { id: Some(id), control }
    }

    fn ack(mut self) -> Acking {
        let (said, acking) = oneshot::channel();
        if let Some(id) = self.id.take() {
            // Without a client the message stays in the queue, as it must.
            let _ = self.control.send(Control::Ack(id, said));
        }
        Acking(acking)
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        if let Some(id) = self.id.take() {
            let _ = self.control.send(Control::Release(id));
        }
    }
}
