//! The directory's database, `directory.redb`: users and lists, each change durable at its commit.
//!
//! Table `users`: a user's number → JSON with name, aliases, and nodes with the hash of their names.
//! Table `members`: (list, user's number) → how the user is in the list, as JSON. Table
//! `invitations`: the hash of a token → when it expires, in ms since 1970; it is not there until the
//! first is made. Table `meta`: version, next user's number, the salt of node names, the tag of
//! message ids.

mod backend;

use crate::credential::{InvitationKey, KEY_LEN, NodeKey};
use crate::directory::{Directory, Edit, Member, Node, User};
use crate::disk::Disk;
use crate::node::UserId;
pub(crate) use backend::Backend;
use backend::Draft;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

const PATH: &str = "directory.redb";
/// Its name until it is whole: a crash while it is made leaves nothing under the other one.
const NEW: &str = "directory.redb.new";
/// The version of the tables; one of a later version is refused.
const VERSION: u64 = 1;
/// Pages kept in memory, in bytes: the directory is in memory anyway.
const CACHE: usize = 1 << 20;

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const SECRETS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("secrets");
const USERS: TableDefinition<'_, u32, &str> = TableDefinition::new("users");
const MEMBERS: TableDefinition<'_, (&str, u32), &str> = TableDefinition::new("members");
const INVITATIONS: TableDefinition<'_, [u8; KEY_LEN], u64> = TableDefinition::new("invitations");

fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE);
    builder
}

/// The database.
#[derive(Debug)]
pub struct Registry {
    database: Database,
}

/// What a store is born with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Birth {
    /// The salt of its node names.
    pub salt: [u8; KEY_LEN],
    /// What distinguishes its message ids from another store's.
    pub tag: u32,
}

/// Why the directory cannot be read or changed. Ends the server.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The disk refused, or the database is damaged.
    #[error("{PATH}: {0}")]
    Database(Box<redb::Error>),
    /// An entry is not what this program writes.
    #[error("{PATH} is damaged: {0}")]
    Damaged(String),
    /// Written by a later version of this program.
    #[error("{PATH} is of version {0}; this program knows versions up to {VERSION}")]
    Newer(u64),
}

impl<E: Into<redb::Error>> From<E> for RegistryError {
    fn from(error: E) -> Self {
        Self::Database(Box::new(error.into()))
    }
}

#[derive(Serialize, Deserialize)]
struct StoredUser {
    name: Arc<str>,
    aliases: Vec<Arc<str>>,
    nodes: Vec<StoredNode>,
}

#[derive(Serialize, Deserialize)]
struct StoredNode {
    offset: u8,
    /// Hex.
    key: String,
}

impl Registry {
    /// Is there one?
    pub fn exists(disk: &dyn Disk) -> Result<bool, RegistryError> {
        Ok(disk.exists(PATH).map_err(redb::StorageError::from)?)
    }

    /// Opens the database, or makes one with `birth`, and reads all of it. One that is damaged or
    /// newer is left as it was.
    pub fn open(disk: &dyn Disk, birth: Birth) -> Result<(Self, Directory, Birth), RegistryError> {
        let io = redb::StorageError::from;
        if !Self::exists(disk)? {
            return Self::found(disk, birth);
        }
        let draft = Draft::new(disk.open_database(PATH).map_err(io)?).map_err(io)?;
        if redb::StorageBackend::len(&draft).map_err(io)? == 0 {
            return Err(RegistryError::Damaged("it is empty".into()));
        }
        let draft = Self { database: builder().create_with_backend(draft)? };
        let (directory, birth) = draft.load()?;
        drop(draft);
        let file = Backend(disk.open_database(PATH).map_err(io)?);
        let registry = Self { database: builder().create_with_backend(file)? };
        Ok((registry, directory, birth))
    }

    fn found(disk: &dyn Disk, birth: Birth) -> Result<(Self, Directory, Birth), RegistryError> {
        let io = redb::StorageError::from;
        if disk.exists(NEW).map_err(io)? {
            disk.unlink(NEW).map_err(io)?;
        }
        let file = Backend(disk.open_database(NEW).map_err(io)?);
        let registry = Self { database: builder().create_with_backend(file)? };
        registry.fill(birth)?;
        disk.sync_path(NEW).map_err(io)?;
        disk.link(NEW, PATH).map_err(io)?;
        disk.sync_path(".").map_err(io)?;
        disk.unlink(NEW).map_err(io)?;
        Ok((registry, Directory::default(), birth))
    }

    fn fill(&self, birth: Birth) -> Result<(), RegistryError> {
        let transaction = self.database.begin_write()?;
        {
            let mut meta = transaction.open_table(META)?;
            meta.insert("version", VERSION)?;
            meta.insert("next user", 0)?;
            meta.insert("tag", u64::from(birth.tag))?;
            transaction.open_table(SECRETS)?.insert("salt", &birth.salt[..])?;
            transaction.open_table(USERS)?;
            transaction.open_table(MEMBERS)?;
        }
        Ok(transaction.commit()?)
    }

    fn load(&self) -> Result<(Directory, Birth), RegistryError> {
        let transaction = self.database.begin_read()?;
        let meta = transaction.open_table(META)?;
        let number = |name: &str| match meta.get(name)? {
            Some(value) => Ok(value.value()),
            None => Err(RegistryError::Damaged(format!("no {name}"))),
        };
        let version = number("version")?;
        if version > VERSION {
            return Err(RegistryError::Newer(version));
        }
        let secrets = transaction.open_table(SECRETS)?;
        let salt = secrets.get("salt")?.and_then(|salt| salt.value().try_into().ok());
        let salt = salt.ok_or_else(|| RegistryError::Damaged("no salt".into()))?;
        let tag = number("tag")? as u32;
        let mut directory = Directory::new(number("next user")? as u32);
        for entry in transaction.open_table(USERS)?.iter()? {
            let (id, text) = entry?;
            let user = decode_user(text.value())
                .ok_or_else(|| RegistryError::Damaged(format!("user {}", id.value())))?;
            directory.apply(&Edit::User(UserId(id.value()), user));
        }
        for entry in transaction.open_table(MEMBERS)?.iter()? {
            let (key, text) = entry?;
            let (list, user) = key.value();
            let member: Member = serde_json::from_str(text.value())
                .map_err(|error| RegistryError::Damaged(format!("list {list}: {error}")))?;
            directory.apply(&Edit::Member(list.into(), UserId(user), Some(member)));
        }
        match transaction.open_table(INVITATIONS) {
            // None was ever made.
            Err(redb::TableError::TableDoesNotExist(_)) => {}
            table => {
                for entry in table?.iter()? {
                    let (key, expires) = entry?;
                    let key = InvitationKey(key.value());
                    directory.apply(&Edit::Invitation(key, Some(expires.value())));
                }
            }
        }
        Ok((directory, Birth { salt, tag }))
    }

    /// Makes changes durable, all or none.
    ///
    /// # Errors
    /// Final, as a failed write of the journal is.
    pub fn commit<'a>(&self, edits: impl Iterator<Item = &'a Edit>) -> Result<(), RegistryError> {
        let transaction = self.database.begin_write()?;
        {
            let mut meta = transaction.open_table(META)?;
            let mut users = transaction.open_table(USERS)?;
            let mut members = transaction.open_table(MEMBERS)?;
            for edit in edits {
                match edit {
                    Edit::User(id, user) => {
                        users.insert(id.0, encode_user(user).as_str())?;
                        let next = meta.get("next user")?.map_or(0, |value| value.value());
                        if u64::from(id.0) >= next {
                            meta.insert("next user", u64::from(id.0) + 1)?;
                        }
                    }
                    Edit::Member(list, user, Some(member)) => {
                        let text = serde_json::to_string(member).unwrap_or_default();
                        members.insert((&**list, user.0), text.as_str())?;
                    }
                    Edit::Member(list, user, None) => {
                        members.remove((&**list, user.0))?;
                    }
                    Edit::Invitation(key, expires) => {
                        let mut invitations = transaction.open_table(INVITATIONS)?;
                        match expires {
                            Some(expires) => drop(invitations.insert(key.0, expires)?),
                            None => drop(invitations.remove(key.0)?),
                        }
                    }
                }
            }
        }
        Ok(transaction.commit()?)
    }
}

fn encode_user(user: &User) -> String {
    let nodes = user.nodes.iter().map(|node| StoredNode {
        offset: node.offset,
        key: node.key.0.iter().map(|byte| format!("{byte:02x}")).collect(),
    });
    let stored = StoredUser {
        name: user.name.clone(),
        aliases: user.aliases.clone(),
        nodes: nodes.collect(),
    };
    // Strings and numbers only: this cannot fail.
    serde_json::to_string(&stored).unwrap_or_default()
}

fn decode_user(text: &str) -> Option<User> {
    let stored: StoredUser = serde_json::from_str(text).ok()?;
    let nodes = stored.nodes.iter().map(|node| {
        let key = decode_key(&node.key)?;
        Some(Node { offset: node.offset, key })
    });
    Some(User { name: stored.name, aliases: stored.aliases, nodes: nodes.collect::<Option<_>>()? })
}

fn decode_key(hex: &str) -> Option<NodeKey> {
    let mut key = [0; KEY_LEN];
    if hex.len() != 2 * KEY_LEN {
        return None;
    }
    for (byte, at) in key.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(hex.get(at..at + 2)?, 16).ok()?;
    }
    Some(NodeKey(key))
}
