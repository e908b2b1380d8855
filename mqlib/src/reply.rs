//! What the server says: the messages it writes, and their form as a client reads them.
//!
//! Field order and absent fields are the original's, to the byte. What version 2 has more stands
//! behind them, so that version 1's form of a [`Delivery`] is a shorter one of the same bytes.

#[cfg(test)]
mod tests;

use crate::header;
use crate::id::MessageId;
use crate::quit::Quit;
use crate::request::{NodeName, Version};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The error text of an ack: absent, `null`, or lines.
///
/// Version 1 writes `null` for a ping, and for a post whose recipients were all of type 0.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum AckError {
    /// No field.
    #[default]
    Absent,
    /// The field is `null`.
    Null,
    /// What went wrong, a line each.
    Text(String),
}

/// The op of a message that is queued for nodes, who ack it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queued {
    /// A post, a ping or an invitation.
    Deliver,
    /// A user's aliases were replaced.
    Registered,
    /// A list's members changed.
    ListEdited,
}

impl Queued {
    fn name(self) -> &'static str {
        match self {
            Self::Deliver => "deliver",
            Self::Registered => "registered",
            Self::ListEdited => "listEdited",
        }
    }
}

/// A queued message, whole: as it is stored, and as version 2 gets it the first time. `posted` is the
/// date of its id.
pub fn queued(
    op: Queued,
    id: MessageId,
    posted: &str,
    from: &str,
    etc: Option<usize>,
    body: &[u8],
) -> Bytes {
    // By hand, as acks are: these two are most of what a server writes.
    let mut out = header::begin(160 + from.len() + body.len());
    put(&mut out, &["{\"op\":\"", op.name(), "\",\"id\":\""]);
    out.extend_from_slice(&id.text());
    put(&mut out, &["\",\"from\":"]);
    crate::json::write(&mut out, &from);
    if let Some(etc) = etc {
        put(&mut out, &[",\"etc\":"]);
        crate::json::write(&mut out, &etc);
    }
    put(&mut out, &[",\"posted\":\"", posted, "\"}"]);
    // Its parts are all of limited length.
    header::finish(out, &[body]).unwrap_or_default()
}

fn put(out: &mut Vec<u8>, parts: &[&str]) {
    for part in parts {
        out.extend_from_slice(part.as_bytes());
    }
}

/// A queued message on its way to a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The message as it is stored.
    pub message: Bytes,
    /// What the link speaks.
    pub version: Version,
    /// How often it was sent on this connection before.
    pub redelivered: u32,
}

/// What version 1 does not get, at the end of a stored message's header.
const POSTED: &str = r#","posted":"2026-11-21T08:00:00.000Z"}"#;

impl Delivery {
    /// The message as the link gets it, in two parts, the second of which is the stored one's.
    pub fn parts(&self) -> (Bytes, Bytes) {
        let whole = || (self.message.clone(), Bytes::new());
        let Ok((header, body)) = header::split(&self.message) else { return whole() };
        let again = self.redelivered;
        let head = match self.version {
            Version::V2 { .. } if again == 0 => return whole(),
            Version::V2 { .. } => match header.strip_suffix(b"}") {
                Some(open) => {
                    header::framed(open, format!(",\"redelivered\":{again}}}").as_bytes())
                }
                None => return whole(),
            },
            Version::V1 => {
                let at = header.len().saturating_sub(POSTED.len());
                match header.split_at_checked(at) {
                    Some((first, posted)) if posted.starts_with(&POSTED.as_bytes()[..11]) => {
                        header::framed(first, b"}")
                    }
                    _ => return whole(),
                }
            }
        };
        head.map_or_else(whole, |head| (head, body))
    }

    /// The message as the link gets it, in one part.
    pub fn to_bytes(&self) -> Bytes {
        match self.parts() {
            (whole, rest) if rest.is_empty() => whole,
            (head, body) => [head, body].concat().into(),
        }
    }
}

/// The answer to a register before login: the aliases accepted, as a JSON string, and the node's
/// name if it was issued.
pub fn registered(aliases: Option<&str>, error: Option<&str>, issued: Option<&NodeName>) -> Bytes {
    #[derive(Serialize)]
    struct Header<'a> {
        op: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        etc: Option<usize>,
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<&'a str>,
        #[serde(rename = "nodeId", skip_serializing_if = "Option::is_none")]
        issued: Option<&'a str>,
    }
    let body = aliases.map(json_string).unwrap_or_default();
    let etc = aliases.map(|_| body.len());
    let issued = issued.map(NodeName::reveal);
    whole(&Header { op: "registered", etc, error, issued }, &[&body])
}

/// The answer to an addNode: the new node's offset, or that of the one that exists, and its name if
/// it was issued.
pub fn added(offset: Option<u8>, error: Option<&str>, issued: Option<&NodeName>) -> Bytes {
    #[derive(Serialize)]
    struct Header<'a> {
        op: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        offset: Option<u8>,
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<&'a str>,
        #[serde(rename = "nodeId", skip_serializing_if = "Option::is_none")]
        issued: Option<&'a str>,
    }
    let issued = issued.map(NodeName::reveal);
    whole(&Header { op: "added", offset, error, issued }, &[])
}

/// The answer to a login of version 1.
pub fn logged_in() -> Bytes {
    note("info", LOGGED_IN)
}

const LOGGED_IN: &str = "ok login";

/// What a login of version 2 is told besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Welcome<'a> {
    /// The version that the link speaks from now on.
    pub v: u8,
    /// The server's name and version.
    pub server: &'a str,
    /// The node's offset.
    pub node: u8,
    /// Deliveries in flight at most.
    pub window: usize,
    /// Messages that wait, about: some may be acked or posted just now.
    pub queued: usize,
    /// The largest message that is taken, in bytes.
    pub max_message: usize,
    /// The server's time.
    pub time: &'a str,
}

/// The answer to a login of version 2.
pub fn welcome(welcome: &Welcome<'_>) -> Bytes {
    #[derive(Serialize)]
    struct Header<'a> {
        op: &'a str,
        info: &'a str,
        #[serde(flatten)]
        welcome: &'a Welcome<'a>,
    }
    whole(&Header { op: "info", info: LOGGED_IN, welcome }, &[])
}

/// The last message before the server closes.
pub fn quit(why: &Quit) -> Bytes {
    note("quit", &why.to_string())
}

fn note(op: &str, info: &str) -> Bytes {
    #[derive(Serialize)]
    struct Header<'a> {
        op: &'a str,
        info: &'a str,
    }
    whole(&Header { op, info }, &[])
}

/// The answer to a post, ping or listEdit: `ok`, perhaps with what did not work, or failed whole.
pub fn ack(id: &str, ok: bool, error: AckError) -> Bytes {
    acked(id, ok, error, None)
}

/// The answer to a post on a link of version 2, with the id that the message got and the date of it,
/// if it got one.
pub fn acked(id: &str, ok: bool, error: AckError, message: Option<(MessageId, &str)>) -> Bytes {
    ack_of(id, ok, error, message, false, None)
}

/// The answer to a post that was posted before, and became this message then.
pub fn acked_again(id: &str, message: MessageId, posted: &str) -> Bytes {
    ack_of(id, true, AckError::Absent, Some((message, posted)), true, None)
}

/// As [`acked`], of a post that some did not get, whom `etc` names.
pub fn acked_but(
    id: &str,
    error: AckError,
    message: Option<(MessageId, &str)>,
    etc: &[u8],
) -> Bytes {
    ack_of(id, true, error, message, false, Some(etc))
}

/// A node of a user's, as the answer to a status tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeStatus {
    /// Its offset.
    pub offset: u8,
    /// Is it logged in?
    pub online: bool,
    /// How many messages wait for it.
    pub queued: u64,
    /// Their bytes, as they are delivered.
    pub bytes: u64,
    /// When it was last online, as ISO 8601, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<String>,
}

/// What a user is told of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status<'a> {
    /// Its nodes, by offset.
    pub nodes: Vec<NodeStatus>,
    /// Its aliases.
    pub aliases: Vec<&'a str>,
    /// The lists that it is a full member of.
    pub lists: Vec<&'a str>,
}

/// The answer to a status.
pub fn status(id: &str, status: &Status<'_>) -> Bytes {
    #[derive(Serialize)]
    struct Header<'a> {
        op: &'a str,
        id: &'a str,
        etc: usize,
    }
    let mut etc = Vec::new();
    crate::json::write(&mut etc, status);
    let header = |id| Header { op: "status", id, etc: etc.len() };
    // A client's own id may fill a header.
    let whole = header::message(&header(id), &[&etc]);
    whole.or_else(|| header::message(&header(""), &[&etc])).unwrap_or_default()
}

fn ack_of(
    id: &str,
    ok: bool,
    error: AckError,
    message: Option<(MessageId, &str)>,
    dup: bool,
    etc: Option<&[u8]>,
) -> Bytes {
    let write = |id: &str, error: &AckError| {
        let mut out = header::begin(160 + id.len());
        put(&mut out, &["{\"op\":\"ack\",\"id\":"]);
        crate::json::write(&mut out, &id);
        put(&mut out, &[",\"type\":\"", if ok { "ok" } else { "error" }, "\""]);
        match error {
            AckError::Absent => {}
            AckError::Null => put(&mut out, &[",\"error\":null"]),
            AckError::Text(text) => {
                put(&mut out, &[",\"error\":"]);
                crate::json::write(&mut out, text);
            }
        }
        if let Some((id, posted)) = message {
            put(&mut out, &[",\"msgid\":\""]);
            out.extend_from_slice(&id.text());
            put(&mut out, &["\",\"posted\":\"", posted, "\""]);
        }
        if let Some(etc) = etc {
            put(&mut out, &[",\"etc\":"]);
            crate::json::write(&mut out, &etc.len());
        }
        put(&mut out, &[if dup { ",\"dup\":true}" } else { "}" }]);
        header::finish(out, &[etc.unwrap_or_default()])
    };
    let cut = AckError::Text("error text too long".into());
    // In the end there is a client whose own id fills a header.
    let acked = write(id, &error).or_else(|| write(id, &cut)).or_else(|| write("", &cut));
    acked.unwrap_or_default()
}

/// `text` as an ASCII JSON string.
pub fn json_string(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 2);
    crate::json::write(&mut out, &text);
    out
}

/// For headers whose parts are all of limited length.
fn whole<T: Serialize>(header: &T, body: &[&[u8]]) -> Bytes {
    header::message(header, body).unwrap_or_default()
}

/// A message of the server's, as a client reads it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Reply {
    /// `registered`, `added`, `info`, `quit`, `ack`, `status`, `deliver` or `listEdited`.
    pub op: String,
    /// A queued message's id, or in an ack or a status the client's own.
    #[serde(default)]
    pub id: Option<String>,
    /// The sender of a queued message.
    #[serde(default)]
    pub from: Option<String>,
    /// The length of `etc` at the start of the body.
    #[serde(default)]
    pub etc: Option<usize>,
    /// What went wrong.
    #[serde(default)]
    pub error: Option<String>,
    /// The text of an info or quit.
    #[serde(default)]
    pub info: Option<String>,
    /// `ok` or `error` in an ack.
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
    /// Version 2: the name that a node was issued.
    #[serde(default, rename = "nodeId")]
    pub issued: Option<NodeName>,
    /// The offset of an added node.
    #[serde(default)]
    pub offset: Option<u8>,
    /// Version 2: when the message was posted, as ISO 8601.
    #[serde(default)]
    pub posted: Option<String>,
    /// Version 2: how often a delivery was sent on this connection before.
    #[serde(default)]
    pub redelivered: u32,
    /// Version 2: the id that a post got.
    #[serde(default)]
    pub msgid: Option<String>,
    /// Version 2: the post was stored before, and not again.
    #[serde(default)]
    pub dup: bool,
    /// The version in the answer to a login of version 2.
    #[serde(default)]
    pub v: Option<u8>,
    /// In that answer: deliveries in flight at most.
    #[serde(default)]
    pub window: Option<usize>,
    /// In that answer: messages that wait, about.
    #[serde(default)]
    pub queued: Option<usize>,
    /// In that answer: the largest message that is taken, in bytes.
    #[serde(default, rename = "maxMessage")]
    pub max_message: Option<usize>,
    /// `etc` and data.
    #[serde(skip)]
    pub body: Bytes,
}

/// A message that is none of the server's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a message of a websocket.MQ server: {0}")]
pub struct NotAReply(String);

impl Reply {
    /// Parses a whole message from the server.
    ///
    /// # Errors
    /// The peer is no websocket.MQ server; the client gives up.
    pub fn parse(message: &Bytes) -> Result<Self, NotAReply> {
        let (header, body) = header::split(message).map_err(|quit| NotAReply(quit.to_string()))?;
        let mut reply: Self =
            serde_json::from_slice(header).map_err(|error| NotAReply(error.to_string()))?;
        if reply.etc.is_some_and(|length| length > body.len()) {
            return Err(NotAReply("etc reaches beyond the body".into()));
        }
        reply.body = body;
        Ok(reply)
    }

    /// The text of `etc`, a JSON value, if there is one.
    pub fn etc(&self) -> Option<Bytes> {
        self.etc.map(|length| self.body.slice(..length))
    }

    /// Whom a post did not reach, by name, and why, from the ack of it in version 2.
    pub fn failed(&self) -> BTreeMap<String, String> {
        #[derive(Default, Deserialize)]
        struct Etc {
            #[serde(default)]
            failed: BTreeMap<String, String>,
        }
        let etc = self.etc().and_then(|etc| serde_json::from_slice::<Etc>(&etc).ok());
        etc.unwrap_or_default().failed
    }

    /// What follows `etc`.
    pub fn data(&self) -> Bytes {
        self.body.slice(self.etc.unwrap_or(0)..)
    }
}
