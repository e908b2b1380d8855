//! Lists, and who is in them.

use super::ApiError;
use super::given::{At, Given, PageOf, most};
use crate::operator::{Operator, PIECE};
use axum::Json;
use axum::extract::State;
use mqlib::broker::Broker;
use mqlib::directory::{Directory, Member};
use mqlib::node::UserId;
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;

/// A page of lists, by name.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Lists {
    /// The lists.
    pub lists: Vec<ListRow>,
    /// If there are more: what to give as `after` to get them.
    pub next: Option<String>,
}

/// A list among others.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListRow {
    /// The name.
    pub name: String,
    /// How many users are in it, or invited to it.
    pub members: usize,
}

/// A list, with who is in it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct List {
    /// The name.
    pub name: String,
    /// Its members, by name.
    pub members: Vec<String>,
    /// Who is invited and has not accepted, by name.
    pub invited: Vec<String>,
}

/// `GET /api/v1/lists`
pub(crate) async fn list(
    State(operator): State<Operator>,
    Given(page): Given<PageOf>,
) -> Result<Json<Lists>, ApiError> {
    let most = most(page.limit)?;
    let search = page.search.unwrap_or_default().to_lowercase();
    // No list has this name.
    let mut after = page.after.unwrap_or_default();
    let mut lists = Vec::new();
    let more = loop {
        let (wanted, from) = (search.clone(), after);
        let room = most - lists.len();
        let piece = move |broker: &Broker, _| piece(broker.directory(), &from, &wanted, room);
        let (found, last) = operator.look(piece).await?;
        lists.extend(found);
        match last {
            Some(last) if lists.len() < most => after = last,
            last => break last.is_some(),
        }
    };
    let next = lists.last().filter(|_| more).map(|list: &ListRow| list.name.clone());
    Ok(Json(Lists { lists, next }))
}

/// Up to `most` lists after one, of as many as may be looked at in one go; and if there are more, the
/// last that was looked at.
pub(crate) fn piece(
    directory: &Directory,
    after: &str,
    search: &str,
    most: usize,
) -> (Vec<ListRow>, Option<String>) {
    let mut found = Vec::new();
    let mut last = None;
    for (looked, (name, members)) in directory.lists_after(after).enumerate() {
        if found.len() == most || looked == PIECE as usize {
            return (found, last);
        }
        last = Some(name.to_string());
        if search.is_empty() || name.to_lowercase().contains(search) {
            found.push(ListRow { name: name.to_string(), members });
        }
    }
    (found, None)
}

/// `GET /api/v1/lists/{name}`
pub(crate) async fn get(
    State(operator): State<Operator>,
    At(name): At<String>,
) -> Result<Json<List>, ApiError> {
    let mut list = List { name: name.clone(), members: Vec::new(), invited: Vec::new() };
    let mut from = UserId(0);
    loop {
        let looked = operator.look(move |broker, _| {
            let next = members(broker.directory(), &mut list, from);
            (list, next)
        });
        let next;
        (list, next) = looked.await?;
        match next {
            Some(ControlFlow::Continue(next)) => from = next,
            Some(ControlFlow::Break(())) => break,
            None => return Err(ApiError::not_found(format!("there is no list {name}"))),
        }
    }
    list.members.sort_unstable();
    list.invited.sort_unstable();
    Ok(Json(list))
}

/// Adds a piece of a list's members, by number from one on; where to go on. `None` if there is no
/// such list.
pub(crate) fn members(
    directory: &Directory,
    list: &mut List,
    from: UserId,
) -> Option<ControlFlow<(), UserId>> {
    let mut members = directory.members_from(&list.name, from)?;
    for (id, member) in members.by_ref().take(PIECE as usize) {
        let Some(user) = directory.user(id) else { continue };
        match member {
            Member::Full => list.members.push(user.name.to_string()),
            Member::Invited(_) => list.invited.push(user.name.to_string()),
        }
    }
    Some(match members.next() {
        Some((next, _)) => ControlFlow::Continue(next),
        None => ControlFlow::Break(()),
    })
}
