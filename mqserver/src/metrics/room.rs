//! The room on the store's file system.

use std::io;
use std::path::Path;

/// What there is of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    /// Bytes that who is not root may still take.
    pub(crate) free: u64,
    /// Bytes in all.
    pub(crate) size: u64,
}

impl Room {
    /// Looks at the file system of a path.
    pub(crate) fn at(path: &Path) -> io::Result<Self> {
        let found = rustix::fs::statvfs(path)?;
        let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
        Ok(Self { free: bytes(found.f_bavail), size: bytes(found.f_blocks) })
    }
}
