//! The requests, from this side: each header's fields in the original's order, then ours.

use crate::login::Version;
use crate::message::{Message, To};
use bytes::Bytes;
use mqlib::request::{NodeName, encode};
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;

/// A request that the server answers or confirms, before it has its id.
#[derive(Debug)]
pub(crate) enum Request {
    Post { to: To, message: Message },
    Ping { alias: String, message: Message },
    ListEdit { list: String, edit: &'static str, members: Vec<String>, message: Message },
    Aliases(String),
    Status,
    DropNode(u8),
}

impl Request {
    /// Is there no such request in version 1?
    pub(crate) fn needs_v2(&self) -> bool {
        match self {
            Self::ListEdit { members, .. } => members.len() > 1,
            Self::Status | Self::DropNode(_) => true,
            Self::Post { .. } | Self::Ping { .. } | Self::Aliases(_) => false,
        }
    }

    /// How long its ack may take.
    pub(crate) fn within(&self) -> Option<Duration> {
        match self {
            Self::Post { message, .. }
            | Self::Ping { message, .. }
            | Self::ListEdit { message, .. } => message.within,
            Self::Aliases(_) | Self::Status | Self::DropNode(_) => None,
        }
    }

    /// Is it a message, of which the server knows a repeat?
    pub(crate) fn is_post(&self) -> bool {
        matches!(self, Self::Post { .. } | Self::Ping { .. })
    }

    /// The bytes for the wire; `None` if the header exceeds what four hex digits say.
    pub(crate) fn encode(&self, id: &str, user: &str) -> Option<Bytes> {
        match self {
            Self::Post { to, message } => {
                #[derive(Serialize)]
                #[serde(rename_all = "camelCase")]
                struct Header<'a> {
                    op: &'a str,
                    id: &'a str,
                    to: &'a To,
                    #[serde(skip_serializing_if = "std::ops::Not::not")]
                    no_nodes: bool,
                    #[serde(skip_serializing_if = "Option::is_none")]
                    etc: Option<usize>,
                }
                let no_nodes = to.wants_no_copies();
                let etc = message.etc_len();
                let header = Header { op: "post", id, to, no_nodes, etc };
                encode(&header, message.etc.as_deref(), &message.data)
            }
            Self::Ping { alias, message } => {
                #[derive(Serialize)]
                struct Header<'a> {
                    op: &'a str,
                    id: &'a str,
                    alias: &'a str,
                    #[serde(skip_serializing_if = "Option::is_none")]
                    etc: Option<usize>,
                }
                let header = Header { op: "ping", id, alias, etc: message.etc_len() };
                encode(&header, message.etc.as_deref(), &message.data)
            }
            Self::ListEdit { list, edit, members, message } => {
                #[derive(Serialize)]
                struct Header<'a> {
                    op: &'a str,
                    id: &'a str,
                    to: &'a str,
                    r#type: &'a str,
                    #[serde(skip_serializing_if = "Option::is_none")]
                    member: Option<&'a str>,
                    #[serde(skip_serializing_if = "Option::is_none")]
                    members: Option<&'a [String]>,
                    #[serde(skip_serializing_if = "Option::is_none")]
                    etc: Option<usize>,
                }
                let (member, members) = match members.as_slice() {
                    [member] => (Some(member.as_str()), None),
                    members => (None, Some(members)),
                };
                let (op, etc) = ("listEdit", message.etc_len());
                let header = Header { op, id, to: list, r#type: edit, member, members, etc };
                encode(&header, message.etc.as_deref(), &message.data)
            }
            // A node's name is only asked for before login, of a user to be created.
            Self::Aliases(aliases) => {
                register(user, Some(&NodeName::new(String::new())), aliases, None)
            }
            Self::Status => {
                #[derive(Serialize)]
                struct Header<'a> {
                    op: &'a str,
                    id: &'a str,
                }
                encode(&Header { op: "status", id }, None, &[])
            }
            Self::DropNode(node) => {
                #[derive(Serialize)]
                struct Header<'a> {
                    op: &'a str,
                    id: &'a str,
                    node: u8,
                }
                encode(&Header { op: "dropNode", id, node: *node }, None, &[])
            }
        }
    }
}

/// Without a node's name the server is asked for one.
pub(crate) fn register(
    user: &str,
    node: Option<&NodeName>,
    aliases: &str,
    invite: Option<&NodeName>,
) -> Option<Bytes> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Header<'a> {
        op: &'a str,
        user_id: &'a str,
        new_node: &'a str,
        aliases: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        v: Option<u8>,
        #[serde(skip_serializing_if = "Option::is_none")]
        invite: Option<&'a str>,
    }
    let (new_node, v) = named_or_asked_for(node);
    let invite = invite.map(NodeName::reveal);
    encode(&Header { op: "register", user_id: user, new_node, aliases, v, invite }, None, &[])
}

fn named_or_asked_for(node: Option<&NodeName>) -> (&str, Option<u8>) {
    node.map_or(("", Some(2)), |node| (node.reveal(), None))
}

/// Without the new node's name the server is asked for one.
pub(crate) fn add_node(user: &str, new: Option<&NodeName>, prev: &NodeName) -> Option<Bytes> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Header<'a> {
        op: &'a str,
        user_id: &'a str,
        new_node: &'a str,
        prev_node: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        v: Option<u8>,
    }
    let ((new_node, v), prev_node) = (named_or_asked_for(new), prev.reveal());
    encode(&Header { op: "addNode", user_id: user, new_node, prev_node, v }, None, &[])
}

/// In version 2 with the deliveries that may be in flight, and whether a link that holds the node is
/// to make way.
pub(crate) fn login(
    user: &str,
    node: &NodeName,
    window: Option<usize>,
    takeover: bool,
) -> Option<Bytes> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Header<'a> {
        op: &'a str,
        user_id: &'a str,
        node_id: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        v: Option<u8>,
        #[serde(skip_serializing_if = "Option::is_none")]
        window: Option<usize>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        takeover: bool,
    }
    let (node_id, v) = (node.reveal(), window.map(|_| 2));
    let takeover = takeover && v.is_some();
    encode(&Header { op: "login", user_id: user, node_id, v, window, takeover }, None, &[])
}

/// Tells the server that delivered messages may go; version 1 takes only one at a time. `None` if
/// the header does not hold them.
pub(crate) fn ack(ids: &[Arc<str>], version: Version) -> Option<Bytes> {
    #[derive(Serialize)]
    struct One<'a> {
        op: &'a str,
        id: &'a str,
        r#type: &'a str,
    }
    #[derive(Serialize)]
    struct Many<'a> {
        op: &'a str,
        ids: &'a [Arc<str>],
    }
    match version {
        Version::V1 => encode(&One { op: "ack", id: ids.first()?, r#type: "ok" }, None, &[]),
        Version::V2 => encode(&Many { op: "ack", ids }, None, &[]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(message: Option<Bytes>) -> String {
        String::from_utf8(message.unwrap().to_vec()).unwrap()
    }

    #[test]
    fn requests_are_written_in_the_originals_field_order() {
        let node = |name: &str| NodeName::new(name.into());
        let message = Message::new(&[1, 2], "data").unwrap();
        let list_add = |members: &[&str]| Request::ListEdit {
            list: "l".into(),
            edit: "add",
            members: members.iter().map(|&member| member.into()).collect(),
            message: Message::default(),
        };
        for (written, expected) in [
            (login("u", &node("n"), None, true), r#"28  {"op":"login","userId":"u","nodeId":"n"}"#),
            (
                login("u", &node("n"), Some(7), false),
                r#"39  {"op":"login","userId":"u","nodeId":"n","v":2,"window":7}"#,
            ),
            (
                register("u", Some(&node("n")), "a b", None),
                r#"3c  {"op":"register","userId":"u","newNode":"n","aliases":"a b"}"#,
            ),
            (
                add_node("u", Some(&node("n")), &node("p")),
                r#"3a  {"op":"addNode","userId":"u","newNode":"n","prevNode":"p"}"#,
            ),
            (
                login("u", &node("n"), Some(7), true),
                r#"49  {"op":"login","userId":"u","nodeId":"n","v":2,"window":7,"takeover":true}"#,
            ),
            (
                register("u", None, "", Some(&node("t"))),
                r#"4b  {"op":"register","userId":"u","newNode":"","aliases":"","v":2,"invite":"t"}"#,
            ),
            (
                add_node("u", None, &node("p")),
                r#"3f  {"op":"addNode","userId":"u","newNode":"","prevNode":"p","v":2}"#,
            ),
            (
                ack(&["7".into(), "8".into()], Version::V1),
                r#"21  {"op":"ack","id":"7","type":"ok"}"#,
            ),
            (ack(&["7".into(), "8".into()], Version::V2), r#"1c  {"op":"ack","ids":["7","8"]}"#),
            (
                Request::Post { to: To::user("b").no_copies(), message: message.clone() }
                    .encode("1", "u"),
                r#"3a  {"op":"post","id":"1","to":{"b":1},"noNodes":true,"etc":5}[1,2]data"#,
            ),
            (
                Request::Ping { alias: "al".into(), message: "x".into() }.encode("2", "u"),
                r#"23  {"op":"ping","id":"2","alias":"al"}x"#,
            ),
            (
                list_add(&["m"]).encode("3", "u"),
                r#"3d  {"op":"listEdit","id":"3","to":"l","type":"add","member":"m"}"#,
            ),
            (
                list_add(&["m", "n"]).encode("3", "u"),
                r#"44  {"op":"listEdit","id":"3","to":"l","type":"add","members":["m","n"]}"#,
            ),
            (
                Request::Aliases("a".into()).encode("4", "u"),
                r#"39  {"op":"register","userId":"u","newNode":"","aliases":"a"}"#,
            ),
        ] {
            assert_eq!(text(written), expected);
        }
    }
}
