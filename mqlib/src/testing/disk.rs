//! [`SimDisk`]: a disk in memory that knows what was synced, and forgets the rest when told to.
//!
//! For simulation of the store: let it work, pull the plug at any operation, mount what is left and
//! see whether all that was promised is there. Of what was not synced a [crash](SimDisk::crash)
//! keeps anything: each name that was added or removed, and each write, whole or some sectors of
//! it, by itself. Only what happened to one name, and to one file's length, happened in order.
//! A sync covers the content of a file or the names of a directory and nothing else, which is less
//! than most file systems do.
//!
//! All is deterministic: chance comes from the seed of the disk and from the caller. Space of files
//! without names is reclaimed at crashes only. A failed sync leaves what it was to sync as it was,
//! unlike Linux, where the next one may succeed without it.

mod inode;
mod state;
#[cfg(test)]
mod tests;

use crate::disk::{BLOCK, Disk, Kind, Room, Segment, Stat};
use bytes::Bytes;
use inode::{Content, Directory, Id, Inode};
use rand::seq::SliceRandom;
use rand::{Rng, RngExt};
use rustix::io::Errno;
use state::{Fault, State, Turn};
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The operations of a disk, to say which one fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    /// [`Disk::create_dir`].
    CreateDir,
    /// [`Disk::remove_dir`].
    RemoveDir,
    /// [`Disk::list`], and what else only looks.
    List,
    /// [`Disk::create`].
    Create,
    /// [`Disk::read`] and [`Disk::read_head`].
    Read,
    /// [`Disk::patch`].
    Patch,
    /// [`Disk::link`].
    Link,
    /// [`Disk::unlink`].
    Unlink,
    /// [`Disk::sync_path`].
    SyncPath,
    /// [`Disk::sync_all`].
    SyncAll,
    /// [`Disk::open_segment`].
    OpenSegment,
    /// [`Segment::read`].
    SegmentRead,
    /// [`Segment::write`].
    SegmentWrite,
    /// [`Disk::open_database`].
    OpenDatabase,
    /// [`redb::StorageBackend::read`] and [`redb::StorageBackend::len`].
    DatabaseRead,
    /// [`redb::StorageBackend::write`].
    DatabaseWrite,
    /// [`redb::StorageBackend::set_len`].
    DatabaseSetLen,
    /// [`redb::StorageBackend::sync_data`].
    DatabaseSync,
}

impl Op {
    /// Does it write or sync, or may it, as opening does? Only those operations are counted.
    pub fn changes(self) -> bool {
        !matches!(self, Self::List | Self::Read | Self::SegmentRead | Self::DatabaseRead)
    }

    fn needs_space(self) -> bool {
        matches!(self, Self::CreateDir | Self::Create | Self::Link)
    }
}

/// A simulated disk. Clones are the same disk.
#[derive(Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
    /// Set if this handle is fenced after a crash.
    generation: Option<u64>,
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimDisk").field("generation", &self.generation).finish_non_exhaustive()
    }
}

impl SimDisk {
    /// An empty disk. The seed decides how operations are torn that fail or that the power cuts.
    pub fn new(seed: u64) -> Self {
        Self { state: Arc::new(Mutex::new(State::new(seed))), generation: None }
    }

    /// This disk for a store that the next crash or kill ends: from then on all that the store's
    /// threads still try fails, as it does anyway for the segments and databases they hold.
    pub fn mount(&self) -> Self {
        let generation = Some(self.lock().generation);
        Self { state: Arc::clone(&self.state), generation }
    }

    /// A power cut. How much of what was not synced survives is drawn first: none, a little, half,
    /// most or all of it. What was open is fenced, planned failures are forgotten.
    pub fn crash(&self, rng: &mut impl Rng) {
        let keep = [0.0, 0.1, 0.5, 0.9, 1.0][rng.random_range(0..5)];
        self.crash_keeping(keep, rng);
    }

    /// A power cut that each change that was not synced survives with probability `keep`.
    pub fn crash_keeping(&self, keep: f64, rng: &mut impl Rng) {
        let mut state = self.lock();
        state.settle(rng, keep);
        state.restart();
    }

    /// The end of the process without a power cut: nothing is lost, nor is anything more durable.
    /// What was open is fenced, planned failures are forgotten.
    pub fn kill(&self) {
        self.lock().restart();
    }

    /// Pulls the plug at the `n`th operation from now that [changes](Op::changes) something, 1
    /// being the next: it is done in part or not at all, and fails as all later ones do, until
    /// [`crash`](Self::crash) or [`kill`](Self::kill) is called.
    pub fn crash_at(&self, n: u64) {
        self.lock().crash_in = Some(n.max(1));
    }

    /// Was the plug pulled?
    pub fn is_down(&self) -> bool {
        self.lock().down
    }

    /// Lets an operation fail once, after `after` more of its kind. Without a kind, any that
    /// [changes](Op::changes) something. Failed writes may have been done in part.
    pub fn fail_next(&self, op: Option<Op>, after: u64, error: Errno) {
        self.lock().faults.push(Fault { op, after, error });
    }

    /// While full, there is no space for new names and files, nor for the database to grow;
    /// segments have theirs.
    pub fn set_full(&self, full: bool) {
        self.lock().full = full;
    }

    /// While lying, no sync does anything and no write to a segment is durable, to show that a
    /// simulation would notice.
    pub fn set_lie_about_sync(&self, lies: bool) {
        self.lock().lies = lies;
    }

    /// How many operations so far [changed](Op::changes) something, or tried to.
    pub fn ops(&self) -> u64 {
        self.lock().ops
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does an operation, unless its time has come. `act` is told how far it gets.
    fn run<T>(&self, op: Op, act: impl FnOnce(&mut State, Turn) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.lock();
        if self.generation.is_some_and(|generation| generation != state.generation) {
            return Err(io::Error::other("opened before the disk went down"));
        }
        if state.down {
            return Err(no_power());
        }
        let fault = state.begin(op);
        if state.down {
            let _ = act(&mut state, Turn::Cut);
            return Err(no_power());
        }
        match fault {
            None => act(&mut state, Turn::Whole),
            // A request that makes no sense gets that answer also from a disk in trouble.
            Some(error) => Err(act(&mut state, Turn::Failed).err().unwrap_or(error.into())),
        }
    }

    fn opened(&self, state: &State, file: Id) -> io::Result<OpenFile> {
        let disk = Self { state: Arc::clone(&self.state), generation: Some(state.generation) };
        Ok(OpenFile { disk, file, len: state.content(file)?.len() as u64 })
    }
}

fn no_power() -> io::Error {
    io::Error::other("the disk has no power")
}

impl Disk for SimDisk {
    fn create_dir(&self, path: &str) -> io::Result<()> {
        self.run(Op::CreateDir, |state, turn| {
            let (parent, name) = state.vacancy(path)?;
            let id = state.add(Inode::Directory(Directory::default()));
            state.name(turn, parent, name, Some(id))
        })
    }

    fn remove_dir(&self, path: &str) -> io::Result<()> {
        self.run(Op::RemoveDir, |state, turn| {
            let (parent, name) = state.parent(path)?;
            if !state.directory(state.find(path)?)?.entries().is_empty() {
                return Err(Errno::NOTEMPTY.into());
            }
            state.name(turn, parent, name, None)
        })
    }

    fn stat(&self, path: &str) -> io::Result<Stat> {
        self.run(Op::List, |state, _| {
            let id = state.find(path)?;
            let (kind, len) = match state.inode(id)? {
                Inode::File(content) => (Kind::File, content.len() as u64),
                Inode::Directory(_) => (Kind::Directory, 0),
            };
            // Nobody here asks how many names there are.
            let (mode, inode, links) = (kind.mode(), id as u64, 1);
            Ok(Stat { kind, mode, owner: 0, inode, links, len })
        })
    }

    fn protect(&self, path: &str) -> io::Result<()> {
        // All is its owner's here.
        self.stat(path).map(drop)
    }

    fn exists(&self, path: &str) -> io::Result<bool> {
        self.run(Op::List, |state, _| match state.find(path) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        })
    }

    fn for_each_name(&self, path: &str, tell: &mut dyn FnMut(&str)) -> io::Result<()> {
        let names = self.run(Op::List, |state, _| {
            let entries = state.directory(state.find(path)?)?.entries();
            let mut names: Vec<String> = entries.keys().cloned().collect();
            // No order is promised, so none shall be relied on.
            names.shuffle(&mut state.rng);
            Ok(names)
        })?;
        names.iter().for_each(|name| tell(name));
        Ok(())
    }

    fn create(&self, path: &str, offset: u64, parts: &[&[u8]]) -> io::Result<()> {
        self.run(Op::Create, |state, turn| {
            let (parent, name) = state.vacancy(path)?;
            if turn != Turn::Whole && state.rng.random() {
                return Ok(());
            }
            let id = state.add(Inode::File(Content::default()));
            state.name(Turn::Whole, parent, name, Some(id))?;
            let mut position = offset;
            for part in parts {
                state.write(turn, id, position, part, false)?;
                position += part.len() as u64;
            }
            if turn == Turn::Failed {
                // It is gone, but for a crash both are two changes.
                state.name(Turn::Whole, parent, name, None)?;
            }
            Ok(())
        })
    }

    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        self.run(Op::Read, |state, _| match state.inode(state.find(path)?)? {
            Inode::File(content) => Ok(content.read_vec(content.len())),
            Inode::Directory(_) => {
                Err(io::Error::new(io::ErrorKind::InvalidData, "not a regular file"))
            }
        })
    }

    fn read_head(&self, path: &str) -> io::Result<Vec<u8>> {
        self.run(Op::Read, |state, _| {
            let content = state.content(state.find(path)?)?;
            Ok(content.read_vec(content.len().min(BLOCK)))
        })
    }

    fn patch(&self, path: &str, offset: u64, data: &[u8]) -> io::Result<()> {
        self.run(Op::Patch, |state, turn| {
            let id = state.find(path)?;
            if state.full && offset as usize + data.len() > state.content(id)?.len() {
                return Err(Errno::NOSPC.into());
            }
            state.write(turn, id, offset, data, false)
        })
    }

    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        self.run(Op::Link, |state, turn| {
            let id = state.find(from)?;
            let (parent, name) = state.vacancy(to)?;
            if let Inode::Directory(_) = state.inode(id)? {
                return Err(Errno::PERM.into());
            }
            state.name(turn, parent, name, Some(id))
        })
    }

    fn unlink(&self, path: &str) -> io::Result<()> {
        self.run(Op::Unlink, |state, turn| {
            let (parent, name) = state.parent(path)?;
            state.content(state.find(path)?)?;
            state.name(turn, parent, name, None)
        })
    }

    fn room(&self) -> io::Result<Room> {
        self.run(Op::List, |state, _| {
            let left = if state.full { 0 } else { u64::MAX };
            Ok(Room { bytes: left, files: left })
        })
    }

    fn sync_path(&self, path: &str) -> io::Result<()> {
        self.run(Op::SyncPath, |state, turn| state.sync(turn, state.find(path)?))
    }

    fn sync_all(&self) -> io::Result<()> {
        self.run(Op::SyncAll, |state, turn| {
            if turn == Turn::Whole && !state.lies {
                state.sync_all();
            }
            Ok(())
        })
    }

    fn open_segment(&self, path: &str, len: u64) -> io::Result<Box<dyn Segment>> {
        self.run(Op::OpenSegment, |state, turn| {
            let id = state.segment(turn, path, len as usize)?;
            Ok(Box::new(self.opened(state, id)?) as Box<dyn Segment>)
        })
    }

    fn open_database(&self, path: &str) -> io::Result<Box<dyn redb::StorageBackend>> {
        self.run(Op::OpenDatabase, |state, turn| {
            let (parent, name) = state.parent(path)?;
            let id = match state.find(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    if state.full {
                        return Err(Errno::NOSPC.into());
                    }
                    let id = state.add(Inode::File(Content::default()));
                    state.name(turn, parent, name, Some(id))?;
                    id
                }
                found => found?,
            };
            Ok(Box::new(self.opened(state, id)?) as Box<dyn redb::StorageBackend>)
        })
    }
}

/// A segment or a database.
#[derive(Debug)]
struct OpenFile {
    disk: SimDisk,
    file: Id,
    /// The length when it was opened, which is a segment's for ever.
    len: u64,
}

impl Segment for OpenFile {
    fn len(&self) -> u64 {
        self.len
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let block = BLOCK as u64;
        assert!(offset.is_multiple_of(block) && data.len().is_multiple_of(BLOCK), "not blocks");
        assert!(data.as_ptr().align_offset(BLOCK) == 0, "data is not aligned");
        assert!(offset + data.len() as u64 <= self.len, "write beyond the end of a segment");
        self.disk
            .run(Op::SegmentWrite, |state, turn| state.write(turn, self.file, offset, data, true))
    }

    fn read(&self) -> io::Result<Bytes> {
        let len = self.len as usize;
        self.disk
            .run(Op::SegmentRead, |state, _| Ok(state.content(self.file)?.read_vec(len).into()))
    }
}

impl redb::StorageBackend for OpenFile {
    fn len(&self) -> io::Result<u64> {
        self.disk.run(Op::DatabaseRead, |state, _| Ok(state.content(self.file)?.len() as u64))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.disk.run(Op::DatabaseRead, |state, turn| {
            let content = state.content(self.file)?;
            if offset as usize + out.len() > content.len() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if turn == Turn::Whole {
                content.read(offset as usize, out);
            }
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk.run(Op::DatabaseSetLen, |state, turn| {
            let grows = len as usize > state.content(self.file)?.len();
            if state.full && grows {
                return Err(Errno::NOSPC.into());
            }
            if turn == Turn::Whole || turn == Turn::Cut && state.rng.random() {
                state.content_mut(self.file)?.set_len(len as usize);
            }
            Ok(())
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.run(Op::DatabaseSync, |state, turn| state.sync(turn, self.file))
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.disk.run(Op::DatabaseWrite, |state, turn| {
            let end = offset as usize + data.len();
            if state.full && end > state.content(self.file)?.len() {
                return Err(Errno::NOSPC.into());
            }
            state.write(turn, self.file, offset, data, false)
        })
    }
}
