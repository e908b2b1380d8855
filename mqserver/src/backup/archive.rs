//! The file: written front to back, and read so.

use super::MANIFEST;
use super::manifest::{Digest, FORMAT, Manifest};
use mqlib::registry;
use mqlib::spool;
use std::collections::HashSet;
use std::io::{self, Read, Write};
use tar::{Builder, EntryType, Header};

/// A backup that is being written.
pub(super) struct Archive<W: Write> {
    tar: Builder<W>,
    digest: Digest,
    bytes: u64,
}

impl<W: Write> Archive<W> {
    pub(super) fn new(out: W) -> Self {
        Self { tar: Builder::new(out), digest: Digest::default(), bytes: 0 }
    }

    /// Adds a file, last changed at a time in seconds since 1970.
    pub(super) fn file(&mut self, path: &str, time: u64, content: &[u8]) -> io::Result<()> {
        self.digest.add(path, false, content);
        self.bytes += content.len() as u64;
        let mut header = header(EntryType::Regular, time, content.len() as u64);
        self.tar.append_data(&mut header, path, content)
    }

    /// Adds a second name of a file that is there.
    pub(super) fn link(&mut self, path: &str, time: u64, target: &str) -> io::Result<()> {
        self.digest.add(path, true, target.as_bytes());
        self.tar.append_link(&mut header(EntryType::Link, time, 0), path, target)
    }

    /// Ends it: its bytes and its checksum are filled in.
    pub(super) fn end(mut self, mut manifest: Manifest, time: u64) -> io::Result<Manifest> {
        manifest.bytes = self.bytes;
        manifest.sha256 = self.digest.text();
        let json = serde_json::to_vec_pretty(&manifest)?;
        let mut header = header(EntryType::Regular, time, json.len() as u64);
        self.tar.append_data(&mut header, MANIFEST, &*json)?;
        self.tar.into_inner()?.flush()?;
        Ok(manifest)
    }
}

fn header(kind: EntryType, time: u64, len: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(0o600);
    header.set_mtime(time);
    header.set_size(len);
    header
}

/// What stands under a name in a backup.
#[derive(Debug)]
pub enum Content {
    /// A file, whole.
    File(Vec<u8>),
    /// A second name of this file, which stands before it.
    Link(String),
}

/// Why a file is no backup, or not a whole one. Told to the operator.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It cannot be read, or is no tar.
    #[error("it cannot be read: {0}")]
    Io(io::Error),
    /// What it has there belongs into no store.
    #[error("it has {0}, which belongs into no store")]
    Strange(String),
    /// A message is not what it was.
    #[error("{0} is {1}")]
    Damaged(String, spool::Damaged),
    /// Its end is missing.
    #[error("it is cut short: its manifest is missing")]
    Cut,
    /// What it says of itself cannot be read.
    #[error("its manifest cannot be read: {0}")]
    Manifest(serde_json::Error),
    /// Written by a later version of this program.
    #[error("its format is {0}; this program knows formats up to {FORMAT}")]
    Newer(u32),
    /// It does not have what it says.
    #[error("its {0} are not those that its manifest tells of")]
    Differs(&'static str),
    /// What takes the files fails.
    #[error(transparent)]
    Taken(io::Error),
}

/// Reads a backup to its end, and verifies it: each file is given out, as it comes, and all of it is
/// right if there is no error at last.
///
/// # Errors
/// It is no whole backup, or what takes its files fails.
pub fn read(
    from: impl Read,
    take: &mut dyn FnMut(&str, &Content) -> io::Result<()>,
) -> Result<Manifest, ReadError> {
    let mut tar = tar::Archive::new(from);
    let mut digest = Digest::default();
    let (mut bytes, mut messages) = (0, 0);
    let mut seen = HashSet::new();
    let mut manifest: Option<Manifest> = None;
    for entry in tar.entries().map_err(ReadError::Io)? {
        let mut entry = entry.map_err(ReadError::Io)?;
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let kind = entry.header().entry_type();
        if manifest.is_some() {
            return Err(ReadError::Strange(format!("{path} behind its manifest")));
        }
        if kind == EntryType::Link {
            let target = entry.link_name_bytes().unwrap_or_default();
            let target = String::from_utf8_lossy(&target).into_owned();
            // Nothing but a message has two names.
            if !is_message(&path) || !seen.contains(&target) || !is_message(&target) {
                return Err(ReadError::Strange(format!("a link {path} to {target}")));
            }
            digest.add(&path, true, target.as_bytes());
            messages += 1;
            take(&path, &Content::Link(target)).map_err(ReadError::Taken)?;
        } else {
            if kind != EntryType::Regular || !(is_ours(&path) || path == MANIFEST) {
                return Err(ReadError::Strange(path));
            }
            let mut content = Vec::new();
            entry.read_to_end(&mut content).map_err(ReadError::Io)?;
            if (content.len() as u64) < entry.size() {
                return Err(ReadError::Cut);
            }
            if path == MANIFEST {
                manifest = Some(serde_json::from_slice(&content).map_err(ReadError::Manifest)?);
                continue;
            }
            digest.add(&path, false, &content);
            bytes += content.len() as u64;
            if is_message(&path) {
                messages += 1;
                content = match spool::parse(content) {
                    // The file again: the line that was verified, and the message.
                    Ok(message) => spool::file(&message),
                    Err(damaged) => return Err(ReadError::Damaged(path, damaged)),
                };
            }
            take(&path, &Content::File(content)).map_err(ReadError::Taken)?;
        }
        if !seen.insert(path.clone()) {
            return Err(ReadError::Strange(format!("{path} twice")));
        }
    }
    let manifest = manifest.ok_or(ReadError::Cut)?;
    if manifest.format > FORMAT {
        return Err(ReadError::Newer(manifest.format));
    }
    if !seen.contains(registry::PATH) {
        return Err(ReadError::Strange("no directory.redb".into()));
    }
    for (what, same) in [
        ("messages", messages == manifest.messages),
        ("bytes", bytes == manifest.bytes),
        ("checksum and files", digest.text() == manifest.sha256),
    ] {
        if !same {
            return Err(ReadError::Differs(what));
        }
    }
    Ok(manifest)
}

/// The files that a backup may have besides queues and posts.
pub(super) const SINGLE: [&str; 4] =
    [registry::PATH, crate::config::FILE, "tls/certificate.pem", "tls/key.pem"];

/// Is this the name of a file that a store has?
fn is_ours(path: &str) -> bool {
    let posted = path.strip_prefix("posted/").is_some_and(is_queue);
    SINGLE.contains(&path) || posted || is_message(path)
}

/// Is it that of a message?
fn is_message(path: &str) -> bool {
    let parts = path.strip_prefix("spool/").and_then(|rest| rest.split_once('/'));
    parts.is_some_and(|(queue, name)| is_queue(queue) && spool::parse_name(name).is_some())
}

/// `<user>,<node>`, as the spool names directories.
fn is_queue(name: &str) -> bool {
    let is_encoded = |c: u8| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'%');
    name.rsplit_once(',').is_some_and(|(user, number)| {
        !user.is_empty() && user.bytes().all(is_encoded) && number.parse::<u8>().is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_leads_out_of_a_store_or_elsewhere_in_it_belongs_into_none() {
        let id = "0".repeat(32);
        for path in [format!("spool/a%2f,0/{id}"), "posted/a,1".into(), "tls/key.pem".into()] {
            assert!(is_ours(&path), "{path}");
        }
        for path in [
            format!("spool/../{id}"),
            format!("/spool/a,0/{id}"),
            format!("spool/a,0/../../{id}"),
            format!("spool/a/{id}"),
            "spool/.staged/1".into(),
            "spool/a,0/x".into(),
            "posted/..".into(),
            "posted/a,1/x".into(),
            ".pid".into(),
            "journal/0".into(),
            "tls/other.pem".into(),
        ] {
            assert!(!is_ours(&path), "{path}");
        }
    }
}
