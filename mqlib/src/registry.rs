//! The directory's database, `directory.redb`: users and lists, each change durable at its commit.
//!
//! It is in two hands: redb has checksums of its pages, which are all verified before anything is
//! believed (`verify`), and each entry of users and lists is sealed (`seal`) with one of its own and
//! can be found without redb, so that what a damaged database still holds is not lost ([`salvage`]).
//!
//! Table `users`: a user's number → JSON with name, aliases, and nodes with the hash of their names and
//! when they were last online.
//! Table `members`: (list, user's number) → how the user is in the list, as JSON. Table
//! `invitations`: the hash of a token → when it expires, in ms since 1970; it is not there until the
//! first is made. Table `meta`: version, next user's number, how many commits there were. Tables
//! `birth` and `birth copy`: the salt of node names and the tag of message ids, which nothing works
//! without.

mod backend;
mod entry;
mod salvage;
mod seal;
mod verify;

use crate::credential::{InvitationKey, KEY_LEN};
use crate::directory::{Directory, Edit};
use crate::disk::Disk;
use crate::node::UserId;
pub(crate) use backend::Backend;
use backend::{Content, Draft};
use bytes::Bytes;
use entry::Entry;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
pub use salvage::{Lost, salvage};

/// The database's file.
pub const PATH: &str = "directory.redb";
/// Its name until it is whole: a crash while it is made leaves nothing under the other one.
const NEW: &str = "directory.redb.new";
/// The version of the tables; one of a later version is refused.
const VERSION: u64 = 2;
/// Pages kept in memory, in bytes: the directory is in memory anyway.
const CACHE: usize = 1 << 20;

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const BIRTHS: [TableDefinition<'_, (), &str>; 2] =
    [TableDefinition::new("birth"), TableDefinition::new("birth copy")];
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
        let verified = verify::open(disk)?;
        let (directory, birth) = Self { database: verified.database }.load()?;
        let file = Backend(disk.open_database(PATH).map_err(io)?);
        if let Some(flags) = verified.flags {
            verify::settle(&file, flags).map_err(io)?;
        }
        let registry = Self { database: builder().create_with_backend(file)? };
        Ok((registry, directory, birth))
    }

    /// Reads the database, and changes nothing. `None` if there is none.
    ///
    /// # Errors
    /// It is damaged, newer, or cannot be read.
    pub fn look(disk: &dyn Disk) -> Result<Option<Directory>, RegistryError> {
        if !Self::exists(disk)? {
            return Ok(None);
        }
        let database = verify::open(disk)?.database;
        Ok(Some(Self { database }.load()?.0))
    }

    /// Reads the content of a database's file.
    ///
    /// # Errors
    /// Those of [`look`](Self::look).
    pub fn look_into(content: &Bytes) -> Result<Directory, RegistryError> {
        let verified = verify::open_file(&|| Ok(Box::new(Content(content.clone()))))?;
        Ok(Self { database: verified.database }.load()?.0)
    }

    /// Gives the store of the database another tag for its ids.
    ///
    /// # Errors
    /// It is damaged, newer, or cannot be written.
    pub fn retag(disk: &dyn Disk, tag: u32) -> Result<(), RegistryError> {
        let (registry, _, birth) = Self::open(disk, Birth { salt: [0; KEY_LEN], tag })?;
        let transaction = registry.write()?;
        {
            let mut meta = transaction.open_table(META)?;
            let commits = meta.get("commits")?.map_or(0, |value| value.value()) + 1;
            meta.insert("commits", commits)?;
            let sealed = seal::seal(commits, &Entry::birth(&Birth { tag, ..birth }));
            for table in BIRTHS {
                transaction.open_table(table)?.insert((), sealed.as_str())?;
            }
        }
        Ok(transaction.commit()?)
    }

    fn found(disk: &dyn Disk, birth: Birth) -> Result<(Self, Directory, Birth), RegistryError> {
        let registry = Self::create(disk, birth, |_| Ok(()))?;
        Ok((registry, Directory::default(), birth))
    }

    /// Makes a database, which gets its name when it is `fill`ed.
    fn create(
        disk: &dyn Disk,
        birth: Birth,
        fill: impl FnOnce(&Self) -> Result<(), RegistryError>,
    ) -> Result<Self, RegistryError> {
        let io = redb::StorageError::from;
        if disk.exists(NEW).map_err(io)? {
            disk.unlink(NEW).map_err(io)?;
        }
        let file = Backend(disk.open_database(NEW).map_err(io)?);
        let registry = Self { database: builder().create_with_backend(file)? };
        registry.begin(birth)?;
        fill(&registry)?;
        disk.sync_path(NEW).map_err(io)?;
        disk.link(NEW, PATH).map_err(io)?;
        disk.sync_path(".").map_err(io)?;
        disk.unlink(NEW).map_err(io)?;
        Ok(registry)
    }

    fn begin(&self, birth: Birth) -> Result<(), RegistryError> {
        let transaction = self.write()?;
        {
            let mut meta = transaction.open_table(META)?;
            meta.insert("version", VERSION)?;
            meta.insert("next user", 0)?;
            meta.insert("commits", 0)?;
            for table in BIRTHS {
                let sealed = seal::seal(0, &Entry::birth(&birth));
                transaction.open_table(table)?.insert((), sealed.as_str())?;
            }
            transaction.open_table(USERS)?;
            transaction.open_table(MEMBERS)?;
        }
        Ok(transaction.commit()?)
    }

    /// A change. In two phases, so that a commit that was answered is never taken for one that a crash
    /// tore: the state before it is only gone back to if this one was not durable.
    fn write(&self) -> Result<redb::WriteTransaction, RegistryError> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_two_phase_commit(true);
        Ok(transaction)
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
        let birth = transaction.open_table(BIRTHS[0])?.get(())?;
        let birth = birth.and_then(|sealed| seal::open(sealed.value())?.1.to_birth());
        let birth = birth.ok_or_else(|| RegistryError::Damaged("no salt".into()))?;
        let mut directory = Directory::new(number("next user")? as u32);
        for entry in transaction.open_table(USERS)?.iter()? {
            let (id, sealed) = entry?;
            let id = UserId(id.value());
            let edit = seal::open(sealed.value()).and_then(|(_, entry)| entry.into_edit());
            match edit {
                Some(edit @ Edit::User(there, _)) if there == id => directory.apply(&edit),
                _ => return Err(RegistryError::Damaged(format!("user {}", id.0))),
            }
        }
        for entry in transaction.open_table(MEMBERS)?.iter()? {
            let (key, sealed) = entry?;
            let (list, user) = key.value();
            let edit = seal::open(sealed.value()).and_then(|(_, entry)| entry.into_edit());
            match edit {
                Some(Edit::Member(there, id, member)) if (&*there, id.0) == (list, user) => {
                    directory.apply(&Edit::Member(there, id, member));
                }
                _ => return Err(RegistryError::Damaged(format!("user {user} in list {list}"))),
            }
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
        Ok((directory, birth))
    }

    /// Makes changes durable, all or none.
    ///
    /// # Errors
    /// Final, as a failed write of the journal is.
    pub fn commit<'a>(&self, edits: impl Iterator<Item = &'a Edit>) -> Result<(), RegistryError> {
        let transaction = self.write()?;
        {
            let mut meta = transaction.open_table(META)?;
            let mut users = transaction.open_table(USERS)?;
            let mut members = transaction.open_table(MEMBERS)?;
            let commits = meta.get("commits")?.map_or(0, |value| value.value()) + 1;
            meta.insert("commits", commits)?;
            for edit in edits {
                let sealed = Entry::of(edit).map(|entry| seal::seal(commits, &entry));
                match (edit, sealed) {
                    (Edit::User(id, _), Some(sealed)) => {
                        users.insert(id.0, sealed.as_str())?;
                        let next = meta.get("next user")?.map_or(0, |value| value.value());
                        if u64::from(id.0) >= next {
                            meta.insert("next user", u64::from(id.0) + 1)?;
                        }
                    }
                    (Edit::Member(list, user, Some(_)), Some(sealed)) => {
                        members.insert((&**list, user.0), sealed.as_str())?;
                    }
                    (Edit::Member(list, user, _), _) => {
                        members.remove((&**list, user.0))?;
                    }
                    (Edit::Invitation(key, expires), _) => {
                        let mut invitations = transaction.open_table(INVITATIONS)?;
                        match expires {
                            Some(expires) => drop(invitations.insert(key.0, expires)?),
                            None => drop(invitations.remove(key.0)?),
                        }
                    }
                    (Edit::NoUser(id), _) => drop(users.remove(id.0)?),
                    (Edit::User(..), None) => {}
                }
            }
        }
        Ok(transaction.commit()?)
    }
}
