//! Users: who there is, and what each has.

use super::given::{At, Given, PageOf, most};
use super::{ApiError, Done, nodes};
use crate::operator::Operator;
use axum::Json;
use axum::extract::State;
use mqlib::broker::{Broker, Operation};
use mqlib::directory::{self, Directory};
use mqlib::node::{NodeId, UserId};
use mqlib::now::Now;
use serde::{Deserialize, Serialize};

/// Users that are described in one go, in the broker's task.
const AT_ONCE: usize = 256;

/// A page of users, by name.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Users {
    /// The users.
    pub users: Vec<UserRow>,
    /// If there are more: what to give as `after` to get them.
    pub next: Option<String>,
}

/// A user among others.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserRow {
    /// The name.
    pub name: String,
    /// The aliases, in the order given.
    pub aliases: Vec<String>,
    /// How many nodes.
    pub nodes: usize,
    /// How many of them are logged in.
    pub online: usize,
    /// It may not log in.
    pub disabled: bool,
    /// When one of its nodes was online last, if that is known; in ISO 8601.
    pub last_seen: Option<String>,
}

/// A user, with all there is to know.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// The name.
    pub name: String,
    /// The aliases, in the order given.
    pub aliases: Vec<String>,
    /// It may not log in.
    pub disabled: bool,
    /// The lists that it is a member of, by name.
    pub lists: Vec<String>,
    /// The nodes.
    pub nodes: Vec<UserNode>,
}

/// A node of a user's.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserNode {
    /// Its number.
    pub offset: u8,
    /// Is it logged in?
    pub online: bool,
    /// Messages that wait for it. What only one node of the user is to have counts for each.
    pub queued: u64,
    /// Their bytes, as they are delivered.
    pub bytes: u64,
    /// When it was online last, if that is known; in ISO 8601.
    pub last_seen: Option<String>,
}

/// `GET /api/v1/users`
pub(crate) async fn list(
    State(operator): State<Operator>,
    Given(page): Given<PageOf>,
) -> Result<Json<Users>, ApiError> {
    let most = most(page.limit)?;
    let search = page.search.unwrap_or_default().to_lowercase();
    let pick = move |_: &Broker, _, user: &directory::User, found: &mut dyn FnMut(u8)| {
        if matches(user, &search) {
            found(0);
        }
    };
    // No node has this number, so that it is behind all of the name's.
    let after = page.after.map(|name| (name.into(), u8::MAX));
    let mut names = operator.first(after, most + 1, pick).await?;
    let more = names.len() > most;
    names.truncate(most);
    let next = names.last().filter(|_| more).map(|(name, _)| name.to_string());
    let mut users = Vec::with_capacity(names.len());
    for names in names.chunks(AT_ONCE) {
        let names = names.to_vec();
        let rows = operator.look(move |broker, now| {
            let rows = names.iter().filter_map(|(name, _)| {
                let id = broker.directory().user_id(name)?;
                Some(row(broker, now, id, broker.directory().user(id)?))
            });
            rows.collect::<Vec<_>>()
        });
        users.extend(rows.await?);
    }
    Ok(Json(Users { users, next }))
}

/// `GET /api/v1/users/{name}`
pub(crate) async fn get(
    State(operator): State<Operator>,
    At(name): At<String>,
) -> Result<Json<User>, ApiError> {
    let wanted = name.clone();
    let user = operator.look(move |broker, now| {
        let id = broker.directory().user_id(&wanted)?;
        let user = broker.directory().user(id)?;
        let nodes = user.nodes.iter().map(|node| {
            let offset = node.offset;
            let online = broker.is_online(NodeId { user: id, offset });
            let last_seen = nodes::seen(node, online, now.wall);
            UserNode { offset, online, queued: 0, bytes: 0, last_seen }
        });
        Some(describe(broker.directory(), id, user, nodes.collect()))
    });
    let mut user = user.await?.ok_or_else(|| ApiError::no_user(&name))?;
    for node in &mut user.nodes {
        // Dropped in between, it has nothing.
        let Some(place) = operator.place(&name, node.offset).await? else { continue };
        (node.queued, node.bytes) = operator.amount(place).await?;
    }
    Ok(Json(user))
}

/// `DELETE /api/v1/users/{name}`
pub(crate) async fn delete(
    State(operator): State<Operator>,
    At(name): At<String>,
) -> Result<Json<Done>, ApiError> {
    operator.operate(Operation::DeleteUser(name.clone())).await?;
    tracing::info!("user {name} is deleted, as the operator wants");
    Ok(Json(Done {}))
}

/// `POST /api/v1/users/{name}/disable`
pub(crate) async fn disable(
    State(operator): State<Operator>,
    At(name): At<String>,
) -> Result<Json<Done>, ApiError> {
    operator.operate(Operation::Disable(name.clone(), true)).await?;
    tracing::info!("user {name} is disabled, as the operator wants");
    Ok(Json(Done {}))
}

/// `POST /api/v1/users/{name}/enable`
pub(crate) async fn enable(
    State(operator): State<Operator>,
    At(name): At<String>,
) -> Result<Json<Done>, ApiError> {
    operator.operate(Operation::Disable(name.clone(), false)).await?;
    tracing::info!("user {name} is enabled, as the operator wants");
    Ok(Json(Done {}))
}

/// All that the directory tells of a user.
pub(crate) fn describe(
    directory: &Directory,
    id: UserId,
    user: &directory::User,
    nodes: Vec<UserNode>,
) -> User {
    User {
        name: user.name.to_string(),
        aliases: user.aliases.iter().map(ToString::to_string).collect(),
        disabled: user.disabled,
        lists: directory.lists_of(id).into_iter().map(str::to_owned).collect(),
        nodes,
    }
}

fn row(broker: &Broker, now: Now, id: UserId, user: &directory::User) -> UserRow {
    let is_online =
        |node: &&directory::Node| broker.is_online(NodeId { user: id, offset: node.offset });
    let online = user.nodes.iter().filter(is_online).count();
    let latest = user.nodes.iter().max_by_key(|node| (is_online(node), node.seen));
    UserRow {
        name: user.name.to_string(),
        aliases: user.aliases.iter().map(ToString::to_string).collect(),
        nodes: user.nodes.len(),
        online,
        disabled: user.disabled,
        last_seen: latest.and_then(|node| nodes::seen(node, online > 0, now.wall)),
    }
}

/// As [`row`], for a directory that no server has.
pub(crate) fn row_of(user: &directory::User) -> UserRow {
    let seen = user.nodes.iter().max_by_key(|node| node.seen);
    UserRow {
        name: user.name.to_string(),
        aliases: user.aliases.iter().map(ToString::to_string).collect(),
        nodes: user.nodes.len(),
        online: 0,
        disabled: user.disabled,
        last_seen: seen.and_then(|node| nodes::seen(node, false, 0)),
    }
}

/// Is this in the user's name, or in an alias? `search` is in lower case.
pub(crate) fn matches(user: &directory::User, search: &str) -> bool {
    let has = |name: &str| name.to_lowercase().contains(search);
    search.is_empty() || has(&user.name) || user.aliases.iter().any(|alias| has(alias))
}
