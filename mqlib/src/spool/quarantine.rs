//! `quarantine/`: what was found damaged, or in a place of ours and is not. Nobody but the operator
//! removes anything there.
//!
//! - `<user>,<node>.<id>`: a message's file that is not what its first line says; `.staged.<number>`,
//!   a large body; `<user>,<node>`, what stood in the place of a queue's directory.
//! - `journal.<epoch>.<offset>`: bytes of the journal that cannot be read; `journal.<segment>`, a
//!   segment whose heads are lost.
//! - `posted.<user>,<node>`: what stood in the place of that file; `directory.redb`, a directory as it
//!   was before it was repaired.
//!
//! What would have the same name gets `.1`, `.2`, … Beside each is the same name with `.why`: a
//! sentence of text that says where it was and what is wrong with it. When it was found is the date
//! of that file.

use super::fault::{exists, missing};
use crate::disk::Disk;
use std::io;

/// Where damaged files go.
pub const QUARANTINE: &str = "quarantine";

/// Things of one name that are kept.
const SAME_NAMES: usize = 100;

/// Keeps bytes in the quarantine, with a sentence beside them that says why. Nothing is written twice.
///
/// # Errors
/// The disk has no room for them, or refuses.
pub(crate) fn keep(disk: &dyn Disk, path: &str, bytes: &[u8], why: &str) -> io::Result<()> {
    make_room(disk)?;
    for (path, parts) in [(path, &[bytes][..]), (&reason_path(path), &[why.as_bytes(), b"\n"])] {
        match disk.create(path, 0, parts) {
            Err(error) if !exists(&error) => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Moves a file to the quarantine, with a sentence beside it that says where it was and `why` it is
/// there. Its name there; `None` if it is gone.
///
/// # Errors
/// The disk has no room for the names, or refuses.
pub(crate) fn quarantine(disk: &dyn Disk, path: &str, why: &str) -> io::Result<Option<String>> {
    make_room(disk)?;
    let name = path.strip_prefix(super::ROOT).unwrap_or(path).trim_start_matches('/');
    let name = format!("{QUARANTINE}/{}", name.replace('/', "."));
    let mut number = 0;
    let target = loop {
        let target = if number == 0 { name.clone() } else { format!("{name}.{number}") };
        let moved = match disk.link(path, &target) {
            // A directory has no second name.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                disk.rename_directory(path, &target)
            }
            linked => linked,
        };
        match moved {
            Err(error) if exists(&error) && number < SAME_NAMES => number += 1,
            Err(error) if missing(&error) => return Ok(None),
            result => {
                result?;
                break target;
            }
        }
    };
    match disk.create(&reason_path(&target), 0, &[format!("{path}: {why}\n").as_bytes()]) {
        // The file itself is what matters.
        Err(error) if !exists(&error) && !super::is_full(&error) => return Err(error),
        _ => {}
    }
    match disk.unlink(path) {
        Err(error) if !missing(&error) => Err(error),
        _ => Ok(Some(target)),
    }
}

fn make_room(disk: &dyn Disk) -> io::Result<()> {
    match disk.create_dir(QUARANTINE) {
        Err(error) if !exists(&error) => Err(error),
        _ => Ok(()),
    }
}

/// Where it is said why something is in the quarantine.
pub fn reason_path(path: &str) -> String {
    format!("{path}.why")
}
