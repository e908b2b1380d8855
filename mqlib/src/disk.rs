//! The disk as the store sees it: a handful of operations below one directory.
//!
//! [`FsDisk`] is the real one, and the only code of this crate that touches `std::fs`;
//! `testing::SimDisk` is one that forgets what was not synced. Paths are relative to the store and
//! made of names that we encoded, so none leaves it. Directories are 0700, files 0600, links of
//! either kind are never followed.

mod aligned;
mod fs;
#[cfg(test)]
mod tests;

pub use aligned::AlignedBuf;
pub use fs::FsDisk;

use bytes::Bytes;
use rustix::fs::OFlags;
use std::fmt::Debug;
use std::io;

/// The alignment of direct I/O in bytes: every offset and length of a [`Segment`] is a multiple.
pub const BLOCK: usize = 4096;

/// Writes are durable when they return, but for times that nobody needs. `OFlags::DSYNC` of rustix
/// 1.1 is `O_SYNC` on Linux, which waits for the file system's own journal at every write.
pub const O_DSYNC: OFlags = OFlags::from_bits_retain(libc::O_DSYNC as _);

/// What the store asks of a disk. Errors are for the store to judge; nothing here retries.
pub trait Disk: Debug + Send + Sync + 'static {
    /// Makes a directory; its parent exists. One that exists is an error of kind `AlreadyExists`.
    fn create_dir(&self, path: &str) -> io::Result<()>;
    /// Removes an empty directory.
    fn remove_dir(&self, path: &str) -> io::Result<()>;
    /// What stands under a name. No link is followed.
    fn stat(&self, path: &str) -> io::Result<Stat>;
    /// Makes a file, or a directory, its owner's only.
    fn protect(&self, path: &str) -> io::Result<()>;
    /// Is there anything of this name?
    fn exists(&self, path: &str) -> io::Result<bool>;
    /// Tells the names in a directory, in no order.
    fn for_each_name(&self, path: &str, tell: &mut dyn FnMut(&str)) -> io::Result<()>;
    /// The names in a directory, in no order.
    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        self.for_each_name(path, &mut |name| names.push(name.to_owned()))?;
        Ok(names)
    }
    /// Creates a file, which must not exist, and writes the parts at `offset` one behind the other.
    fn create(&self, path: &str, offset: u64, parts: &[&[u8]]) -> io::Result<()>;
    /// The whole content of a file.
    fn read(&self, path: &str) -> io::Result<Vec<u8>>;
    /// The first block of a file, or as much of it as there is.
    fn read_head(&self, path: &str) -> io::Result<Vec<u8>>;
    /// The whole contents of files of one directory.
    fn read_each(&self, directory: &str, names: &[String]) -> Vec<io::Result<Vec<u8>>> {
        names.iter().map(|name| self.read(&format!("{directory}/{name}"))).collect()
    }
    /// The lengths in bytes of files of one directory.
    fn lengths(&self, directory: &str, names: &[String]) -> Vec<io::Result<u64>> {
        let length = |content: Vec<u8>| content.len() as u64;
        self.read_each(directory, names).into_iter().map(|content| content.map(length)).collect()
    }
    /// Overwrites a part of a file.
    fn patch(&self, path: &str, offset: u64, data: &[u8]) -> io::Result<()>;
    /// Gives a file, or whatever is no directory, a second name, which must not exist.
    fn link(&self, from: &str, to: &str) -> io::Result<()>;
    /// Gives a directory, which has only one name, another, which must not exist.
    fn rename_directory(&self, _from: &str, _to: &str) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    /// Removes a name of a file.
    fn unlink(&self, path: &str) -> io::Result<()>;
    /// Removes names of files in one directory.
    fn unlink_each(&self, directory: &str, names: &[String]) -> Vec<io::Result<()>> {
        names.iter().map(|name| self.unlink(&format!("{directory}/{name}"))).collect()
    }
    /// The room that is left for those who are not root.
    fn room(&self) -> io::Result<Room>;
    /// Returns once a file's content, or a directory's names, are durable.
    fn sync_path(&self, path: &str) -> io::Result<()>;
    /// Returns once all that was done so far is durable.
    fn sync_all(&self) -> io::Result<()>;
    /// Opens a journal segment. One that does not exist, or is shorter and was never written to, is
    /// created with `len` zero bytes. It is durable with its name on return.
    fn open_segment(&self, path: &str, len: u64) -> io::Result<Box<dyn Segment>>;
    /// Opens, or creates, the file of the directory's database.
    fn open_database(&self, path: &str) -> io::Result<Box<dyn redb::StorageBackend>>;
}

/// What stands under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// What kind of thing.
    pub kind: Kind,
    /// Who may do what with it: the permission bits.
    pub mode: u32,
    /// The number of its owner.
    pub owner: u32,
    /// Names of one file have the same.
    pub inode: u64,
    /// How many names the file has.
    pub links: u64,
    /// The length in bytes.
    pub len: u64,
}

/// A kind of thing in a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A link, a pipe, a socket, a device.
    Other,
}

impl Kind {
    /// The mode that the store makes such a thing with.
    pub fn mode(self) -> u32 {
        match self {
            Self::Directory => 0o700,
            Self::File | Self::Other => 0o600,
        }
    }
}

/// What is left of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Bytes.
    pub bytes: u64,
    /// Files; as many as one likes on a file system that does not count them.
    pub files: u64,
}

#[expect(clippy::len_without_is_empty, reason = "a segment is never empty")]
/// A file of fixed length whose writes are durable when they return.
pub trait Segment: Debug + Send {
    /// The length in bytes.
    fn len(&self) -> u64;
    /// Writes whole blocks; durable on return. `data` starts at an address aligned to [`BLOCK`].
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()>;
    /// The whole content, in whole blocks.
    fn read(&self) -> io::Result<Bytes>;
}
