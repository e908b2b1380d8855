//! The operator's token: the file `admin-token` in the store. Who has it may do all that the admin
//! page can.
//!
//! It is read anew whenever it is needed, so that one that was replaced or removed opens nothing from
//! then on. It is kept as it is, not hashed: who can read the store can read all messages anyway.

use crate::plain;
use mqlib::request::NodeName;
use mqlib::secret::{Purpose, RANDOM};
use rustix::fs::RenameFlags;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

/// Its name in the store.
pub const FILE: &str = "admin-token";
/// What it is written as.
const NEW: &str = "admin-token.new";
/// More than a token is long, in bytes.
const LONGEST: u64 = 128;

/// Why there is no token. Told to the operator.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// There is no directory.
    #[error("there is no store {0}: mqserver makes it at its first start")]
    NoStore(PathBuf),
    /// It has not been made.
    #[error("there is no token yet: `mqserver admin-token` makes one")]
    None,
    /// It is open to other users of this machine.
    #[error("{0} can be read by others: `mqserver admin-token --new` replaces it")]
    Open(PathBuf),
    /// The file holds something else.
    #[error("{0} holds no token: `mqserver admin-token --new` replaces it")]
    Invalid(PathBuf),
    /// The disk refused, or what is there is no file.
    #[error("{0}: {1}")]
    Io(PathBuf, io::Error),
    /// The system has no random numbers.
    #[error("no random numbers: {0}")]
    Random(getrandom::Error),
}

/// The token of a store.
///
/// # Errors
/// There is none, or none that only the store's owner can read.
pub fn read(store: &Path) -> Result<NodeName, TokenError> {
    let path = store.join(FILE);
    let failed = |error| TokenError::Io(path.clone(), error);
    let file = match plain::open(&path, OpenOptions::new().read(true)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(TokenError::None),
        file => file.map_err(failed)?,
    };
    if file.metadata().map_err(failed)?.mode() & 0o077 != 0 {
        return Err(TokenError::Open(path));
    }
    let mut text = String::new();
    file.take(LONGEST).read_to_string(&mut text).map_err(failed)?;
    let token = text.trim_end();
    match Purpose::Operator.is_form_of(token) {
        true => Ok(NodeName::new(token.to_owned())),
        false => Err(TokenError::Invalid(path)),
    }
}

/// The token of a store, made if there is none.
///
/// # Errors
/// The store cannot be written, or holds something else in its place.
pub fn show(store: &Path) -> Result<NodeName, TokenError> {
    match read(store) {
        Err(TokenError::None) => {}
        token => return token,
    }
    match make(store, RenameFlags::NOREPLACE) {
        // Somebody else was first.
        Err(TokenError::Io(_, error)) if error.kind() == ErrorKind::AlreadyExists => read(store),
        token => token,
    }
}

/// A new token in place of the old one, which opens nothing any more, nor do its sessions.
///
/// # Errors
/// The store cannot be written.
pub fn replace(store: &Path) -> Result<NodeName, TokenError> {
    make(store, RenameFlags::empty())
}

fn make(store: &Path, how: RenameFlags) -> Result<NodeName, TokenError> {
    let mut random = [0; RANDOM];
    getrandom::fill(&mut random).map_err(TokenError::Random)?;
    let token = Purpose::Operator.secret(random);
    let new = store.join(NEW);
    let write = || {
        let directory = File::open(store)?;
        match std::fs::remove_file(&new) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = OpenOptions::new();
        let mut file = plain::open(&new, options.write(true).create_new(true).mode(0o600))?;
        // The server may run as somebody else than who asks for the token: as the store's owner.
        let (owner, ours) = (directory.metadata()?, file.metadata()?);
        if (owner.uid(), owner.gid()) != (ours.uid(), ours.gid()) {
            fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
        }
        writeln!(file, "{}", token.reveal())?;
        file.sync_all()?;
        rustix::fs::renameat_with(&directory, NEW, &directory, FILE, how)?;
        // One that was replaced is not to come back after a power cut.
        directory.sync_all()
    };
    match write() {
        Ok(()) => Ok(token),
        Err(error) if error.kind() == ErrorKind::NotFound && !store.exists() => {
            Err(TokenError::NoStore(store.to_owned()))
        }
        Err(error) => Err(TokenError::Io(store.join(FILE), error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn a_token_is_made_once_for_its_owner_only_and_replaced_on_demand() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(read(dir.path()), Err(TokenError::None)));
        let first = show(dir.path()).unwrap();
        let mode = dir.path().join(FILE).metadata().unwrap().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(show(dir.path()).unwrap().reveal(), first.reveal());
        assert_eq!(read(dir.path()).unwrap().reveal(), first.reveal());
        let second = replace(dir.path()).unwrap();
        assert_ne!(second.reveal(), first.reveal());
        assert_eq!(read(dir.path()).unwrap().reveal(), second.reveal());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn what_others_can_read_or_a_link_or_something_else_is_no_token() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        let elsewhere = dir.path().join("elsewhere");
        std::fs::write(&elsewhere, format!("mqa_{}\n", "a5".repeat(16))).unwrap();
        std::fs::set_permissions(&elsewhere, PermissionsExt::from_mode(0o600)).unwrap();
        symlink(&elsewhere, &path).unwrap();
        assert!(matches!(show(dir.path()), Err(TokenError::Io(..))));
        replace(dir.path()).unwrap();
        assert!(path.symlink_metadata().unwrap().is_file(), "the link was replaced");
        assert!(std::fs::read_to_string(&elsewhere).unwrap().contains("a5a5"), "not followed");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
        assert!(matches!(show(dir.path()), Err(TokenError::Open(_))));
        replace(dir.path()).unwrap();
        std::fs::write(&path, "hunter2\n").unwrap();
        assert!(matches!(show(dir.path()), Err(TokenError::Invalid(_))));
        assert!(matches!(show(&dir.path().join("absent")), Err(TokenError::NoStore(_))));
    }
}
