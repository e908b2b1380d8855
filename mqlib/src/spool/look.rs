//! A look at a queue's files that changes nothing, whatever is wrong with them.

use super::{LINE, Staged, file_name, parse, parse_name, path, staged_message, staged_path};
use crate::disk::{BLOCK, Disk};
use crate::id::MessageId;
use crate::{header, spool};
use bytes::Bytes;
use std::collections::BinaryHeap;
use std::io::{self, ErrorKind};

/// Messages with whether each is for one node of its user only, and how many more there are.
pub type Look = (Vec<(MessageId, bool)>, usize);

/// What has its files in a directory: the oldest after an id that are to be kept, so many at most,
/// and how many more there are.
///
/// # Errors
/// There is no such directory, or it cannot be read.
pub fn names(
    disk: &dyn Disk,
    directory: &str,
    after: MessageId,
    max: usize,
    keep: impl Fn(MessageId) -> bool,
) -> io::Result<Look> {
    // Of a long queue only the oldest are kept while its names go by.
    let mut found = BinaryHeap::new();
    let mut count = 0;
    disk.for_each_name(directory, &mut |name| {
        let one = parse_name(name).filter(|(id, _)| *id > after && keep(*id));
        let Some(found_one) = one else { return };
        count += 1;
        if found.len() < max {
            found.push(found_one);
        } else if let Some(mut last) = found.peek_mut().filter(|last| **last > found_one) {
            *last = found_one;
        }
    })?;
    let found = found.into_sorted_vec();
    let more = count - found.len();
    Ok((found, more))
}

/// What a message's file begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The JSON header; `None` if the file is damaged there.
    pub header: Option<Bytes>,
    /// Bytes of the message as it is delivered.
    pub len: u64,
}

/// The beginning of a message's file. Its checksum is not looked at.
///
/// # Errors
/// There is no such file, or it cannot be read.
pub fn head(disk: &dyn Disk, directory: &str, id: MessageId, to_one: bool) -> io::Result<Head> {
    let path = path(directory, id, to_one);
    let len = disk.lengths(directory, &[file_name(id, to_one)]).pop();
    let len = len.unwrap_or_else(|| Err(ErrorKind::NotFound.into()))?;
    let mut content = disk.read_head(&path)?;
    let mut found = header_in(&content);
    if found.is_none() && content.len() == BLOCK && len > BLOCK as u64 {
        // It may be longer than what was read.
        content = disk.read(&path)?;
        found = header_in(&content);
    }
    let header = found.map(Bytes::from);
    Ok(Head { header, len: message_len(len) })
}

/// The header in the beginning of a file.
fn header_in(content: &[u8]) -> Option<Vec<u8>> {
    let message = Bytes::copy_from_slice(content.get(LINE..)?);
    header::split(&message).ok().map(|(header, _)| header.to_vec())
}

/// A message, whole and right: from its file, or from where a large one's body is staged. `None` if
/// there is no file of it.
///
/// # Errors
/// It cannot be read, or is damaged; its file stays where it is.
pub fn whole(
    disk: &dyn Disk,
    directory: &str,
    id: MessageId,
    to_one: bool,
    staged: Option<&Staged>,
) -> io::Result<Option<Bytes>> {
    let damaged = |error: spool::Damaged| io::Error::new(ErrorKind::InvalidData, error);
    let read = |path: &str| match disk.read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        content => content.map(Some),
    };
    if let Some(staged) = staged
        && let Some(content) = read(&staged_path(staged.number))?
    {
        return staged_message(content, staged).map(Some).map_err(damaged);
    }
    let content = read(&path(directory, id, to_one))?;
    content.map(|content| parse(content).map_err(damaged)).transpose()
}

/// Bytes of the message in a file of so many bytes.
pub fn message_len(file: u64) -> u64 {
    file.saturating_sub(LINE as u64)
}

/// The file of a message.
pub fn file(message: &[u8]) -> Vec<u8> {
    [spool::line_of(message).as_bytes(), message].concat()
}
