//! Nodes of all users, and those that have not been seen for long.

use super::given::{At, Given, most, node, offset};
use super::{ApiError, Done};
use crate::operator::{Operator, wall};
use axum::Json;
use axum::extract::State;
use mqlib::broker::{Broker, Operation};
use mqlib::directory::{Node, User};
use mqlib::node::{NodeId, UserId};
use mqlib::now;
use serde::{Deserialize, Serialize};

/// A page of nodes, by the names of their users.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Nodes {
    /// The nodes.
    pub nodes: Vec<NodeRow>,
    /// If there are more: what to give as `after` to get them, like `alice,0`.
    pub next: Option<String>,
}

/// A node among others.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeRow {
    /// Whose it is.
    pub user: String,
    /// Its number.
    pub offset: u8,
    /// Is it logged in?
    pub online: bool,
    /// When it was online last, if that is known; in ISO 8601.
    pub last_seen: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Asked {
    /// Only those that have not been online for so long, or never were.
    inactive: Option<String>,
    after: Option<String>,
    limit: Option<usize>,
}

/// `GET /api/v1/nodes`
pub(crate) async fn list(
    State(operator): State<Operator>,
    Given(asked): Given<Asked>,
) -> Result<Json<Nodes>, ApiError> {
    let most = most(asked.limit)?;
    let since = match &asked.inactive {
        Some(text) => {
            let time = humantime::parse_duration(text).map_err(|_| {
                ApiError::bad_request(format!("inactive={text} is no time: one is like 30d"))
            })?;
            Some(wall().saturating_sub(time.as_millis() as u64))
        }
        None => None,
    };
    let after = asked.after.as_deref().map(node).transpose()?;
    let after = after.map(|(user, offset)| (user.into(), offset));
    let pick = move |broker: &Broker, id: UserId, user: &User, found: &mut dyn FnMut(u8)| {
        for node in &user.nodes {
            let online = || broker.is_online(NodeId { user: id, offset: node.offset });
            if since.is_none_or(|since| is_inactive(node, since) && !online()) {
                found(node.offset);
            }
        }
    };
    let mut found = operator.first(after, most + 1, pick).await?;
    let more = found.len() > most;
    found.truncate(most);
    let next = found.last().filter(|_| more).map(|(user, offset)| format!("{user},{offset}"));
    // As many as were found, each found by hash: no longer than a piece of the search.
    let rows = operator.look(move |broker, now| {
        let directory = broker.directory();
        let rows = found.iter().filter_map(|(name, offset)| {
            let user = directory.user_id(name)?;
            let node = directory.user(user)?.nodes.iter().find(|node| node.offset == *offset)?;
            let online = broker.is_online(NodeId { user, offset: *offset });
            let last_seen = seen(node, online, now.wall);
            Some(NodeRow { user: name.to_string(), offset: *offset, online, last_seen })
        });
        rows.collect()
    });
    Ok(Json(Nodes { nodes: rows.await?, next }))
}

/// `DELETE /api/v1/users/{name}/nodes/{offset}`
pub(crate) async fn drop(
    State(operator): State<Operator>,
    At((user, number)): At<(String, String)>,
) -> Result<Json<Done>, ApiError> {
    let offset = offset(&number)?;
    operator.operate(Operation::DropNode(user.clone(), offset)).await?;
    tracing::info!("node {user},{offset} is dropped, as the operator wants");
    Ok(Json(Done {}))
}

/// Was it never online since, in ms since 1970, as far as that is known?
pub(crate) fn is_inactive(node: &Node, since: u64) -> bool {
    node.seen.is_none_or(|seconds| u64::from(seconds.get()) * 1000 < since)
}

/// When a node was online last; now, if it is.
pub(crate) fn seen(node: &Node, online: bool, wall: u64) -> Option<String> {
    let seen = node.seen.map(|seconds| u64::from(seconds.get()) * 1000);
    (if online { Some(wall) } else { seen }).map(now::date)
}
