//! Files of the store that are opened by their names, outside the [disk](mqlib::disk): only if they
//! are files.
//!
//! Whoever could write to the store once may have left a link there that leads elsewhere, or
//! something that blocks whoever opens it.

use rustix::fs::OFlags;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Opens a regular file, and nothing else: no link is followed, and nothing is waited for.
///
/// # Errors
/// What is there is something else, or what the options say.
pub(crate) fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let other = || io::Error::new(io::ErrorKind::InvalidData, "not a regular file");
    let file = match options.custom_flags(flags.bits() as i32).open(path) {
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            return Err(other());
        }
        file => file?,
    };
    if file.metadata()?.is_file() { Ok(file) } else { Err(other()) }
}
