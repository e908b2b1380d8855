//! What a backup says of itself, at its end.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The format that this program writes, and the latest that it reads.
pub(super) const FORMAT: u32 = 1;

/// What is in a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// The format's version.
    pub format: u32,
    /// The version of the program that took it.
    pub version: String,
    /// When it was begun, in ISO 8601.
    pub taken: String,
    /// No message in it has a later id.
    pub last_id: String,
    /// Users.
    pub users: u64,
    /// Nodes of all users.
    pub nodes: u64,
    /// Lists.
    pub lists: u64,
    /// Messages, counted for each node that they wait for.
    pub messages: u64,
    /// Bytes of what is in the files.
    pub bytes: u64,
    /// Files that were damaged in the store, and are not in it.
    pub damaged: u64,
    /// SHA-256 over all files before it.
    pub sha256: String,
}

/// The checksum over files, one by one: their names and what is in them.
#[derive(Default)]
pub(super) struct Digest(Sha256);

impl Digest {
    /// A file, or a second name (`link`) of one before it, whose name is the content.
    pub(super) fn add(&mut self, path: &str, link: bool, content: &[u8]) {
        self.0.update((path.len() as u64).to_le_bytes());
        self.0.update(path);
        self.0.update([u8::from(link)]);
        self.0.update((content.len() as u64).to_le_bytes());
        self.0.update(content);
    }

    /// In hex.
    pub(super) fn text(self) -> String {
        self.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
