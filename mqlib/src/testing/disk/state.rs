//! The inodes of a disk, their names, and the operations that are yet to fail.

use super::Op;
use super::inode::{Content, Directory, Id, Inode, torn};
use crate::disk::BLOCK;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, RngExt, SeedableRng};
use rustix::io::Errno;
use std::io;

const ROOT: Id = 0;

/// How far an operation gets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    Whole,
    /// It returns an error; a write may have written a part.
    Failed,
    /// The power goes meanwhile.
    Cut,
}

pub(super) struct Fault {
    pub(super) op: Option<Op>,
    pub(super) after: u64,
    pub(super) error: Errno,
}

struct Node {
    inode: Inode,
    /// It is in the list of those that `sync_all` has to look at.
    dirty: bool,
}

pub(super) struct State {
    inodes: Vec<Option<Node>>,
    free: Vec<Id>,
    dirty: Vec<Id>,
    /// How often the disk came back; older handles are fenced.
    pub(super) generation: u64,
    pub(super) rng: Xoshiro256PlusPlus,
    pub(super) ops: u64,
    pub(super) crash_in: Option<u64>,
    pub(super) faults: Vec<Fault>,
    pub(super) down: bool,
    pub(super) full: bool,
    pub(super) lies: bool,
}

impl State {
    pub(super) fn new(seed: u64) -> Self {
        let mut state = Self {
            inodes: Vec::new(),
            free: Vec::new(),
            dirty: Vec::new(),
            generation: 0,
            rng: Xoshiro256PlusPlus::seed_from_u64(seed),
            ops: 0,
            crash_in: None,
            faults: Vec::new(),
            down: false,
            full: false,
            lies: false,
        };
        state.add(Inode::Directory(Directory::default()));
        state
    }

    /// The power is back: what was not synced survived with probability `keep`.
    pub(super) fn settle(&mut self, rng: &mut impl Rng, keep: f64) {
        for node in self.inodes.iter_mut().flatten() {
            node.inode.settle(rng, keep);
            node.dirty = false;
        }
        self.dirty.clear();
        self.reclaim();
    }

    pub(super) fn sync_all(&mut self) {
        for id in self.dirty.drain(..) {
            if let Some(node) = &mut self.inodes[id] {
                node.inode.sync();
                node.dirty = false;
            }
        }
    }

    /// Counts an operation and finds out whether it fails.
    pub(super) fn begin(&mut self, op: Op) -> Option<Errno> {
        if op.changes() {
            self.ops += 1;
            self.crash_in = self.crash_in.map(|n| n - 1);
            if self.crash_in == Some(0) {
                self.crash_in = None;
                self.down = true;
                return None;
            }
        }
        let mut error = None;
        self.faults.retain_mut(|fault| {
            if !fault.op.map_or(op.changes(), |kind| kind == op) {
                return true;
            }
            if fault.after == 0 && error.is_none() {
                error = Some(fault.error);
                return false;
            }
            fault.after = fault.after.saturating_sub(1);
            true
        });
        error.or((self.full && op.needs_space()).then_some(Errno::NOSPC))
    }

    pub(super) fn restart(&mut self) {
        self.generation += 1;
        self.down = false;
        self.crash_in = None;
        self.faults.clear();
    }

    pub(super) fn add(&mut self, inode: Inode) -> Id {
        let node = Some(Node { inode, dirty: false });
        match self.free.pop() {
            Some(id) => {
                self.inodes[id] = node;
                id
            }
            None => {
                self.inodes.push(node);
                self.inodes.len() - 1
            }
        }
    }

    /// Frees what no name leads to.
    fn reclaim(&mut self) {
        let mut reached = vec![false; self.inodes.len()];
        let mut next = vec![ROOT];
        while let Some(id) = next.pop() {
            reached[id] = true;
            if let Some(Node { inode: Inode::Directory(directory), .. }) = &self.inodes[id] {
                next.extend(directory.entries().values());
            }
        }
        for (id, reached) in reached.into_iter().enumerate() {
            if !reached && self.inodes[id].take().is_some() {
                self.free.push(id);
            }
        }
    }

    pub(super) fn inode(&self, id: Id) -> io::Result<&Inode> {
        self.inodes[id].as_ref().map(|node| &node.inode).ok_or(Errno::STALE.into())
    }

    /// An inode that is about to change.
    fn inode_mut(&mut self, id: Id) -> io::Result<&mut Inode> {
        let node = self.inodes[id].as_mut().ok_or(Errno::STALE)?;
        if !node.dirty {
            node.dirty = true;
            self.dirty.push(id);
        }
        Ok(&mut node.inode)
    }

    pub(super) fn directory(&self, id: Id) -> io::Result<&Directory> {
        match self.inode(id)? {
            Inode::Directory(directory) => Ok(directory),
            Inode::File(_) => Err(Errno::NOTDIR.into()),
        }
    }

    pub(super) fn content(&self, id: Id) -> io::Result<&Content> {
        match self.inode(id)? {
            Inode::File(content) => Ok(content),
            Inode::Directory(_) => Err(Errno::ISDIR.into()),
        }
    }

    pub(super) fn content_mut(&mut self, id: Id) -> io::Result<&mut Content> {
        match self.inode_mut(id)? {
            Inode::File(content) => Ok(content),
            Inode::Directory(_) => Err(Errno::ISDIR.into()),
        }
    }

    pub(super) fn find(&self, path: &str) -> io::Result<Id> {
        if path.is_empty() {
            return Err(Errno::NOENT.into());
        }
        let mut id = ROOT;
        for name in path.split('/').filter(|&name| name != ".") {
            id = *self.directory(id)?.entries().get(name).ok_or(Errno::NOENT)?;
        }
        Ok(id)
    }

    /// The directory of a path, and the last name, which may be missing there.
    pub(super) fn parent<'a>(&self, path: &'a str) -> io::Result<(Id, &'a str)> {
        let (parent, name) = path.rsplit_once('/').unwrap_or((".", path));
        let parent = self.find(parent)?;
        self.directory(parent)?;
        Ok((parent, name))
    }

    /// Like [`parent`](Self::parent) for a name that must be missing.
    pub(super) fn vacancy<'a>(&self, path: &'a str) -> io::Result<(Id, &'a str)> {
        let (parent, name) = self.parent(path)?;
        if self.directory(parent)?.entries().contains_key(name) {
            return Err(Errno::EXIST.into());
        }
        Ok((parent, name))
    }

    /// Names an inode, or removes the name, if the operation gets so far.
    pub(super) fn name(
        &mut self,
        turn: Turn,
        parent: Id,
        name: &str,
        id: Option<Id>,
    ) -> io::Result<()> {
        if turn == Turn::Failed || turn == Turn::Cut && self.rng.random() {
            return Ok(());
        }
        if let Inode::Directory(directory) = self.inode_mut(parent)? {
            directory.set(name, id);
        }
        Ok(())
    }

    pub(super) fn write(
        &mut self,
        turn: Turn,
        file: Id,
        at: u64,
        data: &[u8],
        durable: bool,
    ) -> io::Result<()> {
        let (at, durable) = (at as usize, durable && !self.lies);
        if turn == Turn::Whole {
            self.content_mut(file)?.write(at, data, durable);
            return Ok(());
        }
        for part in torn(at..at + data.len(), &mut self.rng) {
            // Whether a part of a failed write is on the disk or only in a cache is open.
            let durable = durable && turn == Turn::Cut;
            self.content_mut(file)?.write(
                part.start,
                &data[part.start - at..part.end - at],
                durable,
            );
        }
        Ok(())
    }

    pub(super) fn sync(&mut self, turn: Turn, id: Id) -> io::Result<()> {
        // A sync that is cut short has synced something, which is for the crash to decide.
        if turn == Turn::Whole && !self.lies {
            self.inode_mut(id)?.sync();
        }
        Ok(())
    }

    /// Is anything in a file's first block?
    fn is_written(&self, id: Id) -> io::Result<bool> {
        let content = self.content(id)?;
        Ok(content.len() >= BLOCK && content.read_vec(BLOCK).iter().any(|&byte| byte != 0))
    }

    /// Makes sure of a segment's file, zeros and name.
    pub(super) fn segment(&mut self, turn: Turn, path: &str, len: usize) -> io::Result<Id> {
        let (parent, name) = self.parent(path)?;
        let existing = match self.find(path) {
            Ok(id) => Some(id),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        if let Some(id) = existing
            && (self.content(id)?.len() >= len || self.is_written(id)?)
        {
            self.sync(turn, id)?;
            self.sync(turn, parent)?;
            return Ok(id);
        }
        let fails = turn != Turn::Whole || self.full;
        let id = existing.unwrap_or_else(|| self.add(Inode::File(Content::default())));
        if existing.is_none() && !(fails && self.rng.random()) {
            self.name(Turn::Whole, parent, name, Some(id))?;
        }
        let zeros = if fails { self.rng.random_range(0..=len / BLOCK) * BLOCK } else { len };
        let content = self.content_mut(id)?;
        content.set_len(0);
        content.set_len(zeros);
        if fails {
            return if turn == Turn::Whole { Err(Errno::NOSPC.into()) } else { Ok(id) };
        }
        self.sync(turn, id)?;
        self.sync(turn, parent)?;
        Ok(id)
    }
}
