//! Requests of strangers: a user or a node is created over a connection that ends with the answer.

use crate::address::{Address, Server};
use crate::config::Config;
use crate::error::Error;
use crate::request;
use crate::session::quits;
use bytes::Bytes;
use mqlib::reply::Reply;
use mqlib::request::NodeName;
use std::time::Duration;
use tokio::time::timeout;

/// For connecting, asking and the answer: the server stores the user or node before that.
const PATIENCE: Duration = Duration::from_secs(10);
const CLOSE_WAIT: Duration = Duration::from_secs(2);

/// A user was created.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Registered {
    /// The aliases that the user has: of those asked for, the ones that were free.
    pub aliases: Vec<String>,
}

pub(crate) async fn register(
    server: &Server,
    user: &str,
    node: &str,
    aliases: &[&str],
) -> Result<Registered, Error> {
    let node = NodeName::new(node.to_owned());
    let reply = ask(server, request::register(user, &node, &aliases.join(" "))).await?;
    match (reply.op.as_str(), reply.error.as_deref()) {
        ("registered", None) => {
            let etc = reply.etc().unwrap_or_else(|| Bytes::from_static(b"\"\""));
            let accepted: String = serde_json::from_slice(&etc)
                .map_err(|_| Error::Protocol("aliases that are no text".into()))?;
            Ok(Registered { aliases: accepted.split_whitespace().map(str::to_owned).collect() })
        }
        ("registered", Some("user exists")) => Err(Error::UserExists),
        _ => Err(refusal(&reply, "registered")),
    }
}

pub(crate) async fn add_node(
    server: &Server,
    user: &str,
    new: &str,
    prev: &str,
) -> Result<u8, Error> {
    let (new, prev) = (NodeName::new(new.to_owned()), NodeName::new(prev.to_owned()));
    let reply = ask(server, request::add_node(user, &new, &prev)).await?;
    match (reply.op.as_str(), reply.error.as_deref(), reply.offset) {
        // Added before, so asking twice does no harm.
        ("added", None | Some("new nodename exists"), Some(offset)) => Ok(offset),
        ("added", Some("userId unknown"), _) => Err(Error::UserUnknown),
        ("added", Some("nodeId unknown" | "prev nodename invalid"), _) => Err(Error::NodeUnknown),
        _ => Err(refusal(&reply, "added")),
    }
}

fn refusal(reply: &Reply, expected: &str) -> Error {
    match (reply.op.as_str(), &reply.error) {
        ("quit", _) => quits::error(reply.info.as_deref().unwrap_or_default()),
        (op, Some(error)) if op == expected => Error::Rejected(error.clone()),
        (op, _) => Error::Protocol(format!("{op:?} instead of {expected:?}")),
    }
}

async fn ask(server: &Server, request: Option<Bytes>) -> Result<Reply, Error> {
    let address = Address::of(server)?;
    let request = request.ok_or(Error::HeaderTooLong)?;
    let max_message = Config::new("", "", "").max_message;
    let asking = async {
        let mut link = address.connect(max_message).await?;
        let broken = |error: wsstream::Error| Error::Lost(error.to_string());
        link.send(request).await.map_err(broken)?;
        let answer = link.message().await;
        let answer = answer.ok_or_else(|| Error::Lost("no answer".into()))?.map_err(broken)?;
        let reply = Reply::parse(&answer).map_err(|error| Error::Protocol(error.to_string()))?;
        Ok((reply, link))
    };
    let asked = timeout(PATIENCE, asking).await;
    let (reply, link) = asked.map_err(|_| Error::Lost("no answer in time".into()))??;
    link.close(None, CLOSE_WAIT).await;
    Ok(reply)
}
