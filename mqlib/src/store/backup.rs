//! A backup of a store at work: a moment in which all there is has its file, and what the other files
//! do not tell.
//!
//! When a backup begins, the last id is noted. As soon as no message up to there is in the journal
//! only, each of them has its file in the directories of all nodes that have not acked it, and only
//! its acks take it away. So who reads those files behind that moment has all that was acked to a
//! poster before the beginning, but for what its recipients have acked by the end. Until the end no
//! node's directory is emptied because the node was dropped: what one node of a user is to have would
//! move behind the reader's back.

use super::Store;
use super::index::Entry;
use crate::disk::Disk;
use crate::id::MessageId;
use crate::journal::{Journal, Record};
use crate::node::NodeId;
use crate::posted;
use crate::registry::{Birth, Registry, RegistryError};
use crate::store::{Fatal, OpenError, StoreConfig};
use std::collections::HashMap;
use std::io::{self, ErrorKind};

/// A backup that is being taken.
#[derive(Debug)]
pub(super) struct BackingUp {
    up_to: MessageId,
    /// All up to there is filed.
    filed: bool,
}

impl BackingUp {
    /// Does it wait for messages to be filed?
    pub(super) fn is_urgent(&self) -> bool {
        !self.filed
    }
}

/// What a backup has besides the files of the spool, as of the moment when those have all messages.
#[derive(Debug)]
pub struct Snapshot {
    /// No later message belongs to the backup.
    pub up_to: MessageId,
    /// What nodes have posted lately and their files may not tell, the oldest first.
    pub posted: HashMap<NodeId, Vec<posted::Entry>>,
}

impl Store {
    /// Begins a backup. `false` if there is one already.
    pub fn begin_backup(&mut self) -> bool {
        let free = self.backup.is_none();
        if free {
            self.backup = Some(BackingUp { up_to: self.last_id, filed: false });
        }
        free
    }

    /// What a backup has besides the spool, as soon as that has its messages; `None` before.
    pub fn snapshot(&mut self) -> Option<Snapshot> {
        let up_to = self.backup.as_ref()?.up_to;
        let unfiled = |entry: &Entry| entry.id <= up_to;
        if self.index.iter().next().is_some_and(unfiled) || self.is_emptying() {
            return None;
        }
        if let Some(backup) = &mut self.backup {
            backup.filed = true;
        }
        Some(Snapshot { up_to, posted: self.recent.all() })
    }

    /// How often the directory's database was written to in this life. Between two calls that tell the
    /// same its file can be read by anyone, whole and durable.
    pub fn edits(&self) -> u64 {
        self.edits
    }

    /// The backup is taken, or given up.
    pub fn end_backup(&mut self) {
        self.backup = None;
        self.drop_nodes();
    }
}

/// Makes a store of what a backup held: the database and the spool are on `disk`, the journal is not.
/// The store lives another life than the one that it is a copy of: its ids are later than `last_id`,
/// and told from the other's by the tag of `birth`. Its salt stays.
///
/// # Errors
/// The database is damaged, or the disk refuses.
pub fn restore(
    disk: &dyn Disk,
    config: &StoreConfig,
    birth: Birth,
    last_id: MessageId,
) -> Result<(), RestoreError> {
    Registry::retag(disk, birth.tag)?;
    match disk.create_dir("journal") {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error.into()),
        _ => {}
    }
    let nonce = u32::from_le_bytes(birth.salt[..4].try_into().unwrap_or_default());
    let (mut journal, _) = Journal::open(disk, config.segments, config.segment_len, nonce)
        .map_err(OpenError::Journal)?;
    journal.advance(last_id)?;
    if journal.add(&Record::End) {
        journal.write().map_err(Fatal::Journal)?;
    }
    Ok(disk.sync_all()?)
}

/// Why a store could not be made of what a backup held. Told to the operator.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The directory is damaged.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The journal cannot be made.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It cannot be written.
    #[error(transparent)]
    Fatal(#[from] Fatal),
    /// The disk refuses.
    #[error(transparent)]
    Io(#[from] io::Error),
}
