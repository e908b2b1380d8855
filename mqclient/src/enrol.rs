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
    /// The first node's name, if the server was asked to issue one. It is the node's password: the
    /// server keeps a hash only, so this is the one time that it is told.
    pub node: Option<NodeName>,
}

/// A user to be created. [`Registration::new`] asks for no more than a name.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Registration {
    /// The user's name.
    pub user: String,
    /// The first node's name, or `None` for one that the server issues, which nobody can guess.
    pub node: Option<NodeName>,
    /// The aliases that the user is to have, as far as they are free.
    pub aliases: Vec<String>,
    /// The token of an invitation, for a server that asks for one.
    pub invite: Option<NodeName>,
}

impl Registration {
    /// For `user`, whose node gets its name from the server.
    pub fn new(user: impl Into<String>) -> Self {
        Self { user: user.into(), node: None, aliases: Vec::new(), invite: None }
    }
}

pub(crate) async fn register(server: &Server, wanted: &Registration) -> Result<Registered, Error> {
    let Registration { user, node, aliases, invite } = wanted;
    let request = request::register(user, node.as_ref(), &aliases.join(" "), invite.as_ref());
    let reply = ask(server, request).await?;
    match (reply.op.as_str(), reply.error.as_deref()) {
        ("registered", None) => {
            let etc = reply.etc().unwrap_or_else(|| Bytes::from_static(b"\"\""));
            let accepted: String = serde_json::from_slice(&etc)
                .map_err(|_| Error::Protocol("aliases that are no text".into()))?;
            let aliases = accepted.split_whitespace().map(str::to_owned).collect();
            if node.is_none() && reply.issued.is_none() {
                return Err(Error::Protocol("a node without a name".into()));
            }
            Ok(Registered { aliases, node: reply.issued })
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
    let reply = ask(server, request::add_node(user, Some(&new), &prev)).await?;
    offset(&reply)
}

pub(crate) async fn issue_node(
    server: &Server,
    user: &str,
    prev: &NodeName,
) -> Result<(u8, NodeName), Error> {
    let reply = ask(server, request::add_node(user, None, prev)).await?;
    let offset = offset(&reply)?;
    let issued = reply.issued.ok_or_else(|| Error::Protocol("a node without a name".into()))?;
    Ok((offset, issued))
}

fn offset(reply: &Reply) -> Result<u8, Error> {
    match (reply.op.as_str(), reply.error.as_deref(), reply.offset) {
        // Added before, so asking twice does no harm.
        ("added", None | Some("new nodename exists"), Some(offset)) => Ok(offset),
        ("added", Some("userId unknown"), _) => Err(Error::UserUnknown),
        ("added", Some("nodeId unknown" | "prev nodename invalid"), _) => Err(Error::NodeUnknown),
        _ => Err(refusal(reply, "added")),
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
