//! What the server says: the messages it writes, and their form as a client reads them.
//!
//! Field order and absent fields are the original's, to the byte.

use crate::header;
use crate::id::MessageId;
use crate::quit::Quit;
use bytes::Bytes;
use serde::{Deserialize, Serialize, Serializer};

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

impl Serialize for AckError {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Absent | Self::Null => serializer.serialize_none(),
        }
    }
}

impl AckError {
    fn is_absent(&self) -> bool {
        *self == Self::Absent
    }
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

/// A queued message, whole: as it is stored, and as it is delivered.
pub fn queued(op: Queued, id: MessageId, from: &str, etc: Option<usize>, body: &[u8]) -> Bytes {
    #[derive(Serialize)]
    struct Header<'a> {
        op: &'a str,
        id: &'a str,
        from: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        etc: Option<usize>,
    }
    let text = id.text();
    let id = std::str::from_utf8(&text).unwrap_or_default();
    whole(&Header { op: op.name(), id, from, etc }, &[body])
}

/// The answer to a register before login: the aliases accepted, as a JSON string.
pub fn registered(aliases: Option<&str>, error: Option<&str>) -> Bytes {
    #[derive(Serialize)]
    struct Header<'a> {
        op: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        etc: Option<usize>,
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<&'a str>,
    }
    let body = aliases.map(json_string).unwrap_or_default();
    let etc = aliases.map(|_| body.len());
    whole(&Header { op: "registered", etc, error }, &[&body])
}

/// The answer to an addNode: the new node's offset, or that of the one that exists.
pub fn added(offset: Option<u8>, error: Option<&str>) -> Bytes {
    #[derive(Serialize)]
    struct Header<'a> {
        op: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        offset: Option<u8>,
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<&'a str>,
    }
    whole(&Header { op: "added", offset, error }, &[])
}

/// News for the client: `ok login`.
pub fn info(text: &str) -> Bytes {
    note("info", text)
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
    #[derive(Serialize)]
    struct Header<'a> {
        op: &'a str,
        id: &'a str,
        r#type: &'a str,
        #[serde(skip_serializing_if = "AckError::is_absent")]
        error: AckError,
    }
    let r#type = if ok { "ok" } else { "error" };
    let cut = || AckError::Text("error text too long".into());
    let full = header::message(&Header { op: "ack", id, r#type, error }, &[]);
    let full =
        full.or_else(|| header::message(&Header { op: "ack", id, r#type, error: cut() }, &[]));
    // Left is a client whose own id fills a header.
    full.unwrap_or_else(|| whole(&Header { op: "ack", id: "", r#type, error: cut() }, &[]))
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
    /// `registered`, `added`, `info`, `quit`, `ack`, `deliver` or `listEdited`.
    pub op: String,
    /// A queued message's id, or in an ack the client's own.
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
    /// The offset of an added node.
    #[serde(default)]
    pub offset: Option<u8>,
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

    /// What follows `etc`.
    pub fn data(&self) -> Bytes {
        self.body.slice(self.etc.unwrap_or(0)..)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_written_as_the_original_wrote_them() {
        let id = MessageId::from_bits(1);
        let zeros = "0".repeat(31);
        for (written, text) in [
            (
                registered(Some("al1 é"), None),
                r#"1c  {"op":"registered","etc":12}"al1 \u00e9""#.to_owned(),
            ),
            (
                registered(None, Some("user exists")),
                r#"29  {"op":"registered","error":"user exists"}"#.into(),
            ),
            (added(Some(1), None), r#"19  {"op":"added","offset":1}"#.into()),
            (info("ok login"), r#"1f  {"op":"info","info":"ok login"}"#.into()),
            (quit(&Quit::InvalidJson), r#"23  {"op":"quit","info":"invalid JSON"}"#.into()),
            (ack("m1", true, AckError::Absent), r#"22  {"op":"ack","id":"m1","type":"ok"}"#.into()),
            (
                ack("p1", true, AckError::Null),
                r#"2f  {"op":"ack","id":"p1","type":"ok","error":null}"#.into(),
            ),
            (
                queued(Queued::Deliver, id, "u1", Some(2), b"{}x"),
                format!(r#"4c  {{"op":"deliver","id":"{zeros}1","from":"u1","etc":2}}{{}}x"#),
            ),
        ] {
            assert_eq!(String::from_utf8_lossy(&written), text);
        }
    }

    #[test]
    fn a_client_reads_what_the_server_writes() {
        let message = queued(Queued::ListEdited, MessageId::from_bits(9), "é", Some(2), b"{}data");
        let reply = Reply::parse(&message).unwrap();
        assert_eq!(reply.op, "listEdited");
        assert_eq!(reply.from.as_deref(), Some("é"));
        assert_eq!(reply.etc().unwrap(), "{}");
        assert_eq!(reply.data(), "data");
    }

    #[test]
    fn an_ack_too_long_for_a_header_says_so() {
        let message = ack("m", true, AckError::Text("x".repeat(70_000)));
        let reply = Reply::parse(&message).unwrap();
        assert_eq!(reply.error.as_deref(), Some("error text too long"));
        assert_eq!(reply.id.as_deref(), Some("m"));
    }
}
