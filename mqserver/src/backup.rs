//! Backups: all of a store at work in one file, and a store made of one.
//!
//! The file is a tar of a store's files, as if every message were filed: `directory.redb`, `spool/`,
//! `posted/`, the configuration and the certificate, and behind all of them `manifest.json`, with
//! counts and a checksum. Messages for several nodes are hard links there, too. A journal is not in
//! it: the new store begins one behind the last id.

mod archive;
mod manifest;
mod restore;
mod take;

pub use archive::{Content, ReadError, read};
pub use manifest::Manifest;
pub use restore::{RestoreError, restore};
pub(crate) use take::{TakeError, stream};

/// The manifest's name in the file.
const MANIFEST: &str = "manifest.json";
