//! A store on which no server runs, for who only wants to look: nothing of it is changed, and no
//! server starts on it meanwhile.

use crate::api::lists::{self, List, ListRow};
use crate::api::nodes::{self, NodeRow};
use crate::api::queues::MessageRow;
use crate::api::users::{self, User, UserNode, UserRow};
use crate::lock::{LockError, Look};
use crate::operator::{amount, message, waiting, wall};
use bytes::Bytes;
use mqlib::directory::Directory;
use mqlib::disk::FsDisk;
use mqlib::id::MessageId;
use mqlib::journal::{self, Record};
use mqlib::node::{NodeId, UserId};
use mqlib::registry::{Registry, RegistryError};
use mqlib::spool;
use mqlib::store::Unfiled;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A stopped store that is looked at.
pub struct Stopped {
    disk: FsDisk,
    directory: Directory,
    /// What the journal holds, once somebody has asked for it.
    records: Option<Vec<Record>>,
    _look: Look,
}

/// Why a stopped store does not tell what it was asked. Told to the operator.
#[derive(Debug, thiserror::Error)]
pub enum StoppedError {
    /// There is no store there.
    #[error("{0}: {1}")]
    Store(PathBuf, io::Error),
    /// There is a directory, but no store in it.
    #[error("there is no store in {0}")]
    Nothing(PathBuf),
    /// A server has started meanwhile.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The directory of users and lists is damaged.
    #[error("{0}; mqserver check tells more")]
    Directory(#[from] RegistryError),
    /// The journal is damaged.
    #[error("{0}; mqserver check tells more")]
    Journal(#[from] journal::OpenError),
    /// A queue cannot be read.
    #[error("the disk refuses: {0}")]
    Disk(#[from] io::Error),
    /// What was asked for is not there: a sentence.
    #[error("{0}")]
    NotFound(String),
}

impl Stopped {
    /// Begins to look at a store.
    ///
    /// # Errors
    /// There is none, a server runs on it, or it is damaged.
    pub fn open(store: &Path) -> Result<Self, StoppedError> {
        let at = |error| StoppedError::Store(store.into(), error);
        let disk = FsDisk::open(store).map_err(at)?;
        let look = Look::take(store)?;
        let directory = Registry::look(&disk)?;
        let directory = directory.ok_or_else(|| StoppedError::Nothing(store.into()))?;
        Ok(Self { disk, directory, records: None, _look: look })
    }

    /// The users that have this in a name, by name.
    pub fn users(&self, search: &str) -> Vec<UserRow> {
        let search = search.to_lowercase();
        let found = self.directory.users().filter(|(_, user)| users::matches(user, &search));
        let mut rows: Vec<_> = found.map(|(_, user)| users::row_of(user)).collect();
        rows.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        rows
    }

    /// A user.
    ///
    /// # Errors
    /// There is none, or its queues cannot be read.
    pub fn user(&mut self, name: &str) -> Result<User, StoppedError> {
        let id = self.user_id(name)?;
        let offsets: Vec<NodeId> = self.directory.nodes(id).collect();
        let mut found = Vec::new();
        for node in offsets {
            let unfiled = self.unfiled(node)?;
            let directory = spool::directory(name, node);
            found.push(amount(&self.disk, &directory, &unfiled)?);
        }
        let user = self.directory.user(id).ok_or_else(|| no_user(name))?;
        let nodes = user.nodes.iter().zip(found).map(|(node, (queued, bytes))| {
            let last_seen = nodes::seen(node, false, 0);
            UserNode { offset: node.offset, online: false, queued, bytes, last_seen }
        });
        Ok(users::describe(&self.directory, id, user, nodes.collect()))
    }

    /// The nodes that have not been online for so long, or all, by name.
    pub fn nodes(&self, inactive: Option<Duration>) -> Vec<NodeRow> {
        let since = inactive.map(|time| wall().saturating_sub(time.as_millis() as u64));
        let mut rows = Vec::new();
        for (_, user) in self.directory.users() {
            let nodes = user.nodes.iter();
            let nodes = nodes.filter(|node| since.is_none_or(|at| nodes::is_inactive(node, at)));
            rows.extend(nodes.map(|node| NodeRow {
                user: user.name.to_string(),
                offset: node.offset,
                online: false,
                last_seen: nodes::seen(node, false, 0),
            }));
        }
        rows.sort_unstable_by(|a, b| (&a.user, a.offset).cmp(&(&b.user, b.offset)));
        rows
    }

    /// The lists, by name.
    pub fn lists(&self) -> Vec<ListRow> {
        let mut rows = Vec::new();
        let mut after = String::new();
        loop {
            let (found, last) = lists::piece(&self.directory, &after, "", usize::MAX);
            rows.extend(found);
            match last {
                Some(last) => after = last,
                None => return rows,
            }
        }
    }

    /// A list.
    ///
    /// # Errors
    /// There is none.
    pub fn list(&self, name: &str) -> Result<List, StoppedError> {
        let mut list = List { name: name.into(), members: Vec::new(), invited: Vec::new() };
        let mut from = UserId(0);
        loop {
            match lists::members(&self.directory, &mut list, from) {
                Some(ControlFlow::Continue(next)) => from = next,
                Some(ControlFlow::Break(())) => break,
                None => return Err(StoppedError::NotFound(format!("there is no list {name}"))),
            }
        }
        list.members.sort_unstable();
        list.invited.sort_unstable();
        Ok(list)
    }

    /// What waits for a node, the oldest first.
    ///
    /// # Errors
    /// There is no such node, or its queue cannot be read.
    pub fn queue(&mut self, user: &str, offset: u8) -> Result<Vec<MessageRow>, StoppedError> {
        let node = self.node(user, offset)?;
        let unfiled = self.unfiled(node)?;
        let directory = spool::directory(user, node);
        let (found, _) = waiting(&self.disk, &directory, &unfiled, MessageId::ZERO, usize::MAX)?;
        Ok(found.into_iter().map(MessageRow::from).collect())
    }

    /// A message that waits for a node, whole.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn message(
        &mut self,
        user: &str,
        offset: u8,
        id: MessageId,
    ) -> Result<Bytes, StoppedError> {
        let node = self.node(user, offset)?;
        let unfiled = self.unfiled(node)?;
        let found = message(&self.disk, &spool::directory(user, node), &unfiled, id)?;
        found.ok_or_else(|| {
            StoppedError::NotFound(format!("message {id} does not wait for {user},{offset}"))
        })
    }

    fn user_id(&self, name: &str) -> Result<UserId, StoppedError> {
        self.directory.user_id(name).ok_or_else(|| no_user(name))
    }

    fn node(&self, user: &str, offset: u8) -> Result<NodeId, StoppedError> {
        let mut nodes = self.directory.nodes(self.user_id(user)?);
        let found = nodes.find(|node| node.offset == offset);
        let none = || StoppedError::NotFound(format!("there is no node {user},{offset}"));
        found.ok_or_else(none)
    }

    fn unfiled(&mut self, node: NodeId) -> Result<Unfiled, StoppedError> {
        let records = match self.records.take() {
            Some(records) => records,
            None => journal::records(&self.disk)?,
        };
        Ok(Unfiled::of(self.records.insert(records), node))
    }
}

fn no_user(name: &str) -> StoppedError {
    StoppedError::NotFound(format!("there is no user {name}"))
}
