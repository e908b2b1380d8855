//! The first look at the database: is all of it as it was written?
//!
//! redb repairs what a crash left, and where it cannot read the latest state it goes back to the one
//! before. After a torn commit that is right. After damage it would be a user who is gone without a
//! word. All our commits are in two phases: the new state is durable before the header names it. So
//! the state that the header names must be right, and one that is not is damage. The look is at a
//! draft whose header knows of one state only, and says that the last commit was in one phase: then
//! redb verifies the checksums of all pages, from the roots down, before it believes any, and has
//! nothing to go back to.
//!
//! The bit in the header that names one of the two states has no checksum. If the other state is
//! newer and right, either a crash came between the phases or the bit was flipped: then the newer
//! one counts, which loses nothing that was answered. It may be right in the kernel's cache only, if
//! the sync between the phases failed: so all is written once more before the bit says so.

use super::{Backend, Draft, PATH, RegistryError, builder};
use crate::disk::Disk;
use redb::{Database, StorageBackend, StorageError};
use std::io;

/// Where the header has its flags (redb's file format 3).
const FLAGS: u64 = 9;
/// Which of the two states counts.
const PRIMARY: u8 = 1;
/// The last commit was in two phases.
const TWO_PHASES: u8 = 4;
/// Where the two states are described.
const STATES: [u64; 2] = [64, 64 + STATE];
/// How long a description is.
const STATE: u64 = 128;
/// Where roots and checksums begin in one.
const ROOTS: u64 = 8;
/// How much is copied at once, in bytes.
const CHUNK: usize = 1 << 20;
/// Where the number of its transaction stands.
const TRANSACTION: u64 = 104;

/// A database all of whose pages were found right.
pub(super) struct Verified {
    /// A draft of it.
    pub(super) database: Database,
    /// What the file's flags are to be, if it is not what they are.
    pub(super) flags: Option<u8>,
}

/// Opens the file, as often as it is asked to.
type OpenFile<'a> = &'a dyn Fn() -> io::Result<Box<dyn StorageBackend>>;

/// Opens a draft of the disk's database and verifies it. The file stays as it is.
pub(super) fn open(disk: &dyn Disk) -> Result<Verified, RegistryError> {
    open_file(&|| disk.open_database(PATH))
}

/// The same with any file.
pub(super) fn open_file(open: OpenFile<'_>) -> Result<Verified, RegistryError> {
    let io = StorageError::from;
    let file = Backend(open().map_err(io)?);
    let len = file.len().map_err(io)?;
    if len == 0 {
        return Err(RegistryError::Damaged("it is empty".into()));
    }
    if len < STATES[1] + STATE {
        return Err(RegistryError::Damaged("it is cut short".into()));
    }
    let mut flags = [0];
    file.read(FLAGS, &mut flags).map_err(io)?;
    let [flags] = flags;
    let number = |state: u8| {
        let mut number = [0; 8];
        let at = STATES[usize::from(state)] + TRANSACTION;
        file.read(at, &mut number).map(|()| u64::from_le_bytes(number))
    };
    let (named, other) = (flags & PRIMARY, flags & PRIMARY ^ PRIMARY);
    let newer = number(other).map_err(io)? > number(named).map_err(io)?;
    let database = open_state(open, flags, named)?;
    if newer && let Ok(database) = open_state(open, flags, other) {
        return Ok(Verified { database, flags: Some(flags ^ PRIMARY) });
    }
    Ok(Verified { database, flags: None })
}

/// Opens a draft in which there is this state only.
fn open_state(open: OpenFile<'_>, flags: u8, state: u8) -> Result<Database, RegistryError> {
    let io = StorageError::from;
    let draft = Draft::new(open().map_err(io)?).map_err(io)?;
    draft.write(FLAGS, &[flags & !PRIMARY & !TWO_PHASES | state]).map_err(io)?;
    let at = STATES[usize::from(state ^ PRIMARY)] + ROOTS;
    let mut other = [0; (STATE - ROOTS) as usize];
    draft.read(at, &mut other).map_err(io)?;
    draft.write(at, &other.map(|byte| !byte)).map_err(io)?;
    Ok(builder().create_with_backend(draft)?)
}

/// Makes all that was read durable, then the flags that say which state counts.
pub(super) fn settle(file: &dyn StorageBackend, flags: u8) -> io::Result<()> {
    let len = file.len()?;
    let mut chunk = vec![0; CHUNK];
    let mut position = 0;
    while position < len {
        let part = &mut chunk[..CHUNK.min((len - position) as usize)];
        file.read(position, part)?;
        // After a sync that failed the kernel may hold as written what is not.
        file.write(position, part)?;
        position += part.len() as u64;
    }
    file.sync_data()?;
    file.write(FLAGS, &[flags])?;
    file.sync_data()
}
