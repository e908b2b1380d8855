//! A message that the server delivered to this node.

use crate::task::Control;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc::UnboundedSender;

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

/// A message from this node's queue. It stays there, and holds back the next, until it is
/// [acked](Self::ack); dropped without that, it comes again after 10 s.
#[derive(Debug)]
#[non_exhaustive]
pub struct Delivery {
    /// The server's id of the message.
    pub id: String,
    /// The user who sent it.
    pub from: String,
    /// What it is.
    pub kind: Kind,
    /// The text of the JSON value that the sender put beside the data.
    pub etc: Option<Bytes>,
    /// The data.
    pub data: Bytes,
    /// Says what becomes of the message.
    pub(crate) stub: Stub,
}

impl Delivery {
    /// Tells the server that it may forget the message. If the link is lost before the server hears
    /// of it, the message comes again and the client acks it by itself, unless it was restarted.
    pub fn ack(self) {
        let Self { stub, .. } = self;
        stub.ack();
    }

    /// `etc` as a Rust value; `None` if there is none.
    ///
    /// # Errors
    /// It is another JSON value than `T` has a place for.
    pub fn etc_as<T: DeserializeOwned>(&self) -> serde_json::Result<Option<T>> {
        self.etc.as_deref().map(serde_json::from_slice).transpose()
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

    fn ack(mut self) {
        if let Some(id) = self.id.take() {
            // Without a client the message stays in the queue, as it must.
            let _ = self.control.send(Control::Ack(id));
        }
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        if let Some(id) = self.id.take() {
            let _ = self.control.send(Control::Release(id));
        }
    }
}
