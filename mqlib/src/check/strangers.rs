//! What else stands in the store: its own few files, the quarantine, and what is none of ours.

use super::{Check, CheckError};
use crate::disk::Kind;
use crate::spool::QUARANTINE;
use crate::{posted, registry, spool};

/// What a store has of its own besides what is checked.
const KNOWN: [&str; 7] = [
    "mqserver.toml",
    "admin-token",
    "tls",
    ".pid",
    ".control",
    "directory.redb.new",
    registry::PATH,
];
const DIRECTORIES: [&str; 4] = ["journal", spool::ROOT, posted::ROOT, QUARANTINE];

impl Check<'_> {
    pub(super) fn top(&mut self) -> Result<(), CheckError> {
        self.for_each(".", |check, name| {
            if !KNOWN.contains(&name) && !DIRECTORIES.contains(&name) {
                check.note(name, "it is none of ours; nobody touches it");
            }
            Ok(())
        })
    }

    pub(super) fn quarantine(&mut self) -> Result<(), CheckError> {
        if !self.stands(QUARANTINE, Kind::Directory)? {
            return Ok(());
        }
        self.for_each(QUARANTINE, |check, name| {
            check.looked();
            if !name.ends_with(".why") {
                check.counts.quarantined += 1;
            }
            Ok(())
        })
    }
}
