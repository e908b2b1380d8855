//! The requests of version 1, from this side: each header's fields in the original's order.

use crate::message::{Message, To};
use bytes::Bytes;
use mqlib::request::{NodeName, encode};
use serde::Serialize;

/// A request that the server answers or confirms, before it has its id.
#[derive(Debug)]
pub(crate) enum Request {
    Post { to: To, message: Message },
    Ping { alias: String, message: Message },
    ListEdit { list: String, edit: &'static str, member: String, message: Message },
    Aliases(String),
}

impl Request {
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
            Self::ListEdit { list, edit, member, message } => {
                #[derive(Serialize)]
                struct Header<'a> {
                    op: &'a str,
                    id: &'a str,
                    to: &'a str,
                    r#type: &'a str,
                    member: &'a str,
                    #[serde(skip_serializing_if = "Option::is_none")]
                    etc: Option<usize>,
                }
                let etc = message.etc_len();
                let header = Header { op: "listEdit", id, to: list, r#type: edit, member, etc };
                encode(&header, message.etc.as_deref(), &message.data)
            }
            // A node's name is only asked for before login, of a user to be created.
            Self::Aliases(aliases) => register(user, &NodeName::new(String::new()), aliases),
        }
    }
}

pub(crate) fn register(user: &str, node: &NodeName, aliases: &str) -> Option<Bytes> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Header<'a> {
        op: &'a str,
        user_id: &'a str,
        new_node: &'a str,
        aliases: &'a str,
    }
    let new_node = node.reveal();
    encode(&Header { op: "register", user_id: user, new_node, aliases }, None, &[])
}

pub(crate) fn add_node(user: &str, new: &NodeName, prev: &NodeName) -> Option<Bytes> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Header<'a> {
        op: &'a str,
        user_id: &'a str,
        new_node: &'a str,
        prev_node: &'a str,
    }
    let (new_node, prev_node) = (new.reveal(), prev.reveal());
    encode(&Header { op: "addNode", user_id: user, new_node, prev_node }, None, &[])
}

pub(crate) fn login(user: &str, node: &NodeName) -> Option<Bytes> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Header<'a> {
        op: &'a str,
        user_id: &'a str,
        node_id: &'a str,
    }
    encode(&Header { op: "login", user_id: user, node_id: node.reveal() }, None, &[])
}

/// Tells the server that a delivered message may go. `None` for an absurdly long id.
pub(crate) fn ack(id: &str) -> Option<Bytes> {
    #[derive(Serialize)]
    struct Header<'a> {
        op: &'a str,
        id: &'a str,
        r#type: &'a str,
    }
    encode(&Header { op: "ack", id, r#type: "ok" }, None, &[])
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
        for (written, expected) in [
            (login("u", &node("n")), r#"28  {"op":"login","userId":"u","nodeId":"n"}"#),
            (
                register("u", &node("n"), "a b"),
                r#"3c  {"op":"register","userId":"u","newNode":"n","aliases":"a b"}"#,
            ),
            (
                add_node("u", &node("n"), &node("p")),
                r#"3a  {"op":"addNode","userId":"u","newNode":"n","prevNode":"p"}"#,
            ),
            (ack("7"), r#"21  {"op":"ack","id":"7","type":"ok"}"#),
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
                Request::ListEdit {
                    list: "l".into(),
                    edit: "add",
                    member: "m".into(),
                    message: Message::default(),
                }
                .encode("3", "u"),
                r#"3d  {"op":"listEdit","id":"3","to":"l","type":"add","member":"m"}"#,
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
