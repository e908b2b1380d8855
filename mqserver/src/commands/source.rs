//! Where a command that only looks gets its answers: the server that runs on a store or, if none does,
//! the store itself.

use super::StoreArgs;
use mqlib::id::MessageId;
use mqserver::api::MAX_PAGE;
use mqserver::api::lists::{List, ListRow, Lists};
use mqserver::api::nodes::{NodeRow, Nodes};
use mqserver::api::queues::{Message, MessageRow, Queue};
use mqserver::api::users::{User, UserRow, Users};
use mqserver::control::{Client, ClientError, path, with};
use mqserver::stopped::Stopped;
use serde::de::DeserializeOwned;
use std::time::Duration;

pub(super) enum Source {
    Running(Client),
    Stopped(Box<Stopped>),
}

impl Source {
    pub(super) fn of(args: &StoreArgs) -> anyhow::Result<Self> {
        match Client::connect(&args.store) {
            Ok(client) => Ok(Self::Running(client)),
            Err(ClientError::NotRunning(store)) => {
                Ok(Self::Stopped(Box::new(Stopped::open(&store)?)))
            }
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn users(&mut self, search: &str) -> anyhow::Result<Vec<UserRow>> {
        match self {
            Self::Stopped(store) => Ok(store.users(search)),
            Self::Running(client) => {
                let query = [("search", search)];
                all(client, &path(&["users"]), &query, |page: Users| (page.users, page.next))
            }
        }
    }

    pub(super) fn user(&mut self, name: &str) -> anyhow::Result<User> {
        match self {
            Self::Stopped(store) => Ok(store.user(name)?),
            Self::Running(client) => Ok(client.get(&path(&["users", name]))?),
        }
    }

    pub(super) fn nodes(&mut self, inactive: Option<Duration>) -> anyhow::Result<Vec<NodeRow>> {
        match self {
            Self::Stopped(store) => Ok(store.nodes(inactive)),
            Self::Running(client) => {
                let time = inactive.map(|time| humantime::format_duration(time).to_string());
                let query: Vec<_> = time.iter().map(|time| ("inactive", time.as_str())).collect();
                all(client, &path(&["nodes"]), &query, |page: Nodes| (page.nodes, page.next))
            }
        }
    }

    pub(super) fn lists(&mut self) -> anyhow::Result<Vec<ListRow>> {
        match self {
            Self::Stopped(store) => Ok(store.lists()),
            Self::Running(client) => {
                all(client, &path(&["lists"]), &[], |page: Lists| (page.lists, page.next))
            }
        }
    }

    pub(super) fn list(&mut self, name: &str) -> anyhow::Result<List> {
        match self {
            Self::Stopped(store) => Ok(store.list(name)?),
            Self::Running(client) => Ok(client.get(&path(&["lists", name]))?),
        }
    }

    pub(super) fn queue(&mut self, user: &str, offset: u8) -> anyhow::Result<Vec<MessageRow>> {
        match self {
            Self::Stopped(store) => Ok(store.queue(user, offset)?),
            Self::Running(client) => {
                let at = path(&["users", user, "nodes", &offset.to_string(), "queue"]);
                all(client, &at, &[], |page: Queue| (page.messages, page.next))
            }
        }
    }

    pub(super) fn message(
        &mut self,
        user: &str,
        offset: u8,
        id: MessageId,
    ) -> anyhow::Result<Message> {
        match self {
            Self::Stopped(store) => Ok(Message::of(&store.message(user, offset, id)?)),
            Self::Running(client) => Ok(client.get(&message(user, offset, id))?),
        }
    }

    /// A message's data, whole.
    pub(super) fn data(
        &mut self,
        user: &str,
        offset: u8,
        id: MessageId,
    ) -> anyhow::Result<Vec<u8>> {
        match self {
            Self::Stopped(store) => {
                let message = store.message(user, offset, id)?;
                Ok(Message::data(&message).to_vec())
            }
            Self::Running(client) => {
                let mut data = Vec::new();
                let at = with(message(user, offset, id), &[("raw", "1")]);
                client.stream("GET", &at, &mut |piece| {
                    data.extend_from_slice(piece);
                    Ok(())
                })?;
                Ok(data)
            }
        }
    }
}

fn message(user: &str, offset: u8, id: MessageId) -> String {
    path(&["users", user, "nodes", &offset.to_string(), "queue", &id.to_string()])
}

/// All pages of something.
fn all<P: DeserializeOwned, T>(
    client: &mut Client,
    at: &str,
    query: &[(&str, &str)],
    parts: impl Fn(P) -> (Vec<T>, Option<String>),
) -> anyhow::Result<Vec<T>> {
    let limit = MAX_PAGE.to_string();
    let mut found = Vec::new();
    let mut next: Option<String> = None;
    loop {
        let mut query = [query, &[("limit", &limit)]].concat();
        query.extend(next.as_deref().map(|after| ("after", after)));
        let (page, more) = parts(client.get(&with(at.to_owned(), &query))?);
        found.extend(page);
        next = match more {
            Some(more) => Some(more),
            None => return Ok(found),
        };
    }
}
