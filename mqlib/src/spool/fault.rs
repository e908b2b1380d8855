//! What an error of the disk says of a file.

use std::io::{self, ErrorKind};

/// Errors that go away when someone makes room, on the disk or among open files.
pub(crate) fn is_full(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let kind = error.kind();
    let files = [Errno::MFILE, Errno::NFILE].map(Errno::raw_os_error);
    matches!(kind, ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::OutOfMemory)
        || error.raw_os_error().is_some_and(|code| files.contains(&code))
}

pub(super) fn exists(error: &io::Error) -> bool {
    error.kind() == ErrorKind::AlreadyExists
}

pub(super) fn missing(error: &io::Error) -> bool {
    error.kind() == ErrorKind::NotFound
}

pub(super) fn damaged(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, why)
}

/// Something else stands where a directory should.
pub(super) fn is_planted(error: &io::Error) -> bool {
    let loops = error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error());
    loops || error.kind() == ErrorKind::NotADirectory
}

/// Something else stands where a file should: a link, a directory, or what cannot be read as a file.
pub(super) fn is_no_file(error: &io::Error) -> bool {
    is_planted(error)
        || matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::IsADirectory)
        || error.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error())
}
