//! What is posted, to whom, and what the server's ack said.

use bytes::Bytes;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::time::Duration;

/// The contents of a post, ping or invitation: an optional JSON value, and any bytes.
#[derive(Debug, Clone, Default)]
pub struct Message {
    /// JSON that travels beside the data.
    pub etc: Option<Box<RawValue>>,
    /// Any bytes.
    pub data: Bytes,
    /// How long it may take until it is acked, from the call that posts it; `None`: for ever. See
    /// [`within`](Self::within).
    pub within: Option<Duration>,
}

impl Message {
    /// A message of data alone.
    pub fn data(data: impl Into<Bytes>) -> Self {
        Self { data: data.into(), ..Self::default() }
    }

    /// A message with `etc`, any value that has a JSON form.
    ///
    /// # Errors
    /// The value has none, for instance a map whose keys are no strings.
    pub fn new<T: Serialize + ?Sized>(etc: &T, data: impl Into<Bytes>) -> serde_json::Result<Self> {
        let etc = Some(serde_json::value::to_raw_value(etc)?);
        Ok(Self { etc, ..Self::data(data) })
    }

    /// Gives it a deadline: without an ack by then the post fails with [`Error::Deadline`], and is not
    /// sent any more. Not more than 100 years.
    ///
    /// [`Error::Deadline`]: crate::Error::Deadline
    pub fn within(mut self, time: Duration) -> Self {
        self.within = Some(time);
        self
    }

    pub(crate) fn etc_len(&self) -> Option<usize> {
        self.etc.as_ref().map(|etc| etc.get().len())
    }
}

impl From<&'static str> for Message {
    fn from(text: &'static str) -> Self {
        Self::data(text)
    }
}

/// The recipients of a post: users and lists.
///
/// Unless [`no_copies`](Self::no_copies) is asked for, the sender's other nodes get a copy too.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct To {
    recipients: Vec<(String, u8)>,
    no_copies: bool,
}

impl To {
    /// All nodes of `user`.
    pub fn user(user: impl Into<String>) -> Self {
        Self::own_nodes().and_user(user)
    }

    /// One node of `user`, whichever takes it first.
    pub fn one_node(user: impl Into<String>) -> Self {
        Self::own_nodes().and_one_node(user)
    }

    /// The members of `list` except oneself.
    pub fn list(list: impl Into<String>) -> Self {
        Self::own_nodes().and_list(list)
    }

    /// The members of `list`, oneself included.
    pub fn list_and_me(list: impl Into<String>) -> Self {
        Self::own_nodes().and(list, 3)
    }

    /// Nobody but one's own other nodes.
    pub fn own_nodes() -> Self {
        Self::default()
    }

    /// And all nodes of `user`.
    pub fn and_user(self, user: impl Into<String>) -> Self {
        self.and(user, 1)
    }

    /// And the members of `list` except oneself.
    pub fn and_list(self, list: impl Into<String>) -> Self {
        self.and(list, 2)
    }

    /// And one node of `user`, whichever takes it first.
    pub fn and_one_node(self, user: impl Into<String>) -> Self {
        self.and(user, 0)
    }

    /// No copies to one's own other nodes.
    pub fn no_copies(mut self) -> Self {
        self.no_copies = true;
        self
    }

    pub(crate) fn wants_no_copies(&self) -> bool {
        self.no_copies
    }

    fn and(mut self, name: impl Into<String>, kind: u8) -> Self {
        self.recipients.push((name.into(), kind));
        self
    }
}

impl Serialize for To {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.recipients.iter().map(|(name, kind)| (name, kind)))
    }
}

/// The server's ack: the request is done and stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// Recipients that the message did not reach, a line each, such as `userId unknown`,
    /// `list friends not found` or `bob: queue full, limit 1000 messages`. The others have it.
    pub warnings: Vec<String>,
    /// The same recipients by name, each with the reason; of more than 1000 the first. Empty in
    /// version 1.
    pub failed: BTreeMap<String, String>,
    /// The message's id, as its recipients see it in [`Delivery::id`](crate::Delivery::id). None in
    /// version 1, and if nobody gets it. A message to one node of each of several users becomes
    /// several; this is the last one's.
    pub msgid: Option<String>,
    /// When the server took it, by the server's clock: ISO 8601 with milliseconds, in UTC. None
    /// where there is no `msgid`.
    pub posted: Option<String>,
    /// The server had it already: an earlier ack was lost on its way. It is stored once.
    pub dup: bool,
    /// What else the answer says, in JSON.
    pub(crate) etc: Option<Bytes>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipients_are_written_with_their_types() {
        let to = To::user("a").and_list("l").and("n", 0);
        assert_eq!(serde_json::to_string(&to).unwrap(), r#"{"a":1,"l":2,"n":0}"#);
        assert_eq!(serde_json::to_string(&To::own_nodes()).unwrap(), "{}");
    }
}
