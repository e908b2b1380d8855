//! The spool: a file for each message that waits, in a directory for each node it waits for.
//!
//! `spool/<user>,<node>/<id>` is one line that says what the file is, with checksum and length, and
//! then the message as it will be delivered, so `ls` and `cat` read a queue. Several recipients are
//! hard links of one file. A message that only one node of its user is to have (type 0) ends in
//! `.one`. The body of a large message is written to `spool/.staged/<number>` before it has an id;
//! once it is committed its head is filled in, and it is linked like the others.
//!
//! Everything that is done here is done by [`Job`]s, off the commit path, and can be done again:
//! the journal keeps a message until the disk is known to have its file.

mod empty;
mod fault;
mod glance;
mod job;
mod look;
mod measure;
mod older;
mod quarantine;
mod reading;
mod recall;
mod shop;

pub(crate) use fault::is_full;
pub use glance::{Glance, Glanced, Others};
pub use job::{FileJob, Job, JobDone, Lane};
pub use look::{Head, Look, file, head, message_len, names, whole};
pub use measure::{Amount, Measured, ToMeasure};
pub use older::Named;
pub use quarantine::{QUARANTINE, reason_path};
pub(crate) use quarantine::{keep, quarantine};
pub use reading::{ReadMessage, ReadOne, Wanted};
pub use recall::{Remember, Remembered};

use crate::id::MessageId;
use crate::name;
use crate::node::NodeId;
use crate::posted;
use bytes::Bytes;

/// The directory of all queues.
pub const ROOT: &str = "spool";
/// The directory of large bodies that have no id yet, or no certain file.
pub const STAGED: &str = "spool/.staged";

const TO_ONE: &str = ".one";

/// What a file's first line says; all lines are of the same length.
const LINE: usize = "websocket.MQ 1 crc32c:01234567 length:0123456789\n".len();

/// A message as the store holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// The message as it is delivered.
    Whole(Bytes),
    /// A large one, whose body is on disk already.
    Staged(Staged),
}

impl Content {
    /// The message's length in bytes.
    pub fn message_len(&self) -> usize {
        match self {
            Self::Whole(message) => message.len(),
            Self::Staged(staged) => staged.header.len() + staged.body_len as usize,
        }
    }
}

/// A large message: its body is in `spool/.staged/<number>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Staged {
    /// The file's name.
    pub number: u64,
    /// Etc and data, in bytes.
    pub body_len: u64,
    /// Their CRC32C.
    pub body_crc: u32,
    /// What goes before them: length and JSON header.
    pub header: Bytes,
}

/// A directory's name for a node of the user `name`.
pub fn directory(name: &str, node: NodeId) -> String {
    format!("{ROOT}/{},{}", name::encode(name), node.offset)
}

/// The file of what a node of the user `name` has posted.
pub fn posted_path(name: &str, node: NodeId) -> String {
    format!("{}/{},{}", posted::ROOT, name::encode(name), node.offset)
}

/// A file's name in a node's directory.
pub fn file_name(id: MessageId, to_one: bool) -> String {
    format!("{id}{}", if to_one { TO_ONE } else { "" })
}

/// A file's path.
pub fn path(directory: &str, id: MessageId, to_one: bool) -> String {
    format!("{directory}/{}", file_name(id, to_one))
}

/// The path of a large message's body.
pub fn staged_path(number: u64) -> String {
    format!("{STAGED}/{number}")
}

/// What a file's name says; `None` for a name that is none of ours.
pub fn parse_name(name: &str) -> Option<(MessageId, bool)> {
    let text = name.strip_suffix(TO_ONE);
    Some((text.unwrap_or(name).parse().ok()?, text.is_some()))
}

/// The first line of a file.
fn line(checksum: u32, len: u64) -> String {
    let line = format!("websocket.MQ 1 crc32c:{checksum:08x} length:{len:010}\n");
    debug_assert_eq!(line.len(), LINE);
    line
}

/// The line of a message that is in memory.
fn line_of(message: &[u8]) -> String {
    line(crc32c::crc32c(message), message.len() as u64)
}

/// What goes before a staged body.
fn staged_head(staged: &Staged) -> Vec<u8> {
    let header_crc = crc32c::crc32c(&staged.header);
    let checksum = crc32c::crc32c_combine(header_crc, staged.body_crc, staged.body_len as usize);
    let mut head = line(checksum, staged.header.len() as u64 + staged.body_len).into_bytes();
    head.extend_from_slice(&staged.header);
    head
}

/// The message whose body is staged in a file with this content, if all of it is there and right.
pub(crate) fn staged_message(mut content: Vec<u8>, staged: &Staged) -> Result<Bytes, Damaged> {
    let head = staged_head(staged);
    content.get_mut(..head.len()).ok_or(Damaged("cut short"))?.copy_from_slice(&head);
    parse(content)
}

/// A file's content is not what its first line says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("damaged: {0}")]
pub struct Damaged(&'static str);

const SHORT: &str = "shorter than its first line";
const LENGTH: &str = "its length is wrong";

impl Damaged {
    /// There is more or less of it than there should be, as of a file that is being written.
    pub(crate) fn is_of_length(&self) -> bool {
        [SHORT, LENGTH].contains(&self.0)
    }
}

/// The message in a file's content, if all of it is there and right.
pub fn parse(content: Vec<u8>) -> Result<Bytes, Damaged> {
    let content = Bytes::from(content);
    let first = content.get(..LINE).ok_or(Damaged(SHORT))?;
    let message = content.slice(LINE..);
    let expected = line_of(&message);
    if first == expected.as_bytes() {
        return Ok(message);
    }
    let length = "websocket.MQ 1 crc32c:01234567 ".len();
    Err(if first[length..] == expected.as_bytes()[length..] {
        Damaged("its checksum is wrong")
    } else {
        Damaged(LENGTH)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::UserId;

    #[test]
    fn a_file_is_read_back_and_any_flipped_bit_or_missing_byte_shows() {
        let message = b"2   {}body";
        let mut file = line_of(message).into_bytes();
        file.extend_from_slice(message);
        assert_eq!(parse(file.clone()).unwrap(), &message[..]);
        for at in 0..file.len() {
            let mut damaged = file.clone();
            damaged[at] ^= 1;
            assert!(parse(damaged).is_err(), "bit at {at}");
            assert!(parse(file[..at].to_vec()).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn the_head_of_a_staged_body_makes_a_file_like_any_other() {
        let header = Bytes::from_static(b"2   {}");
        let body = b"a large body";
        let body_crc = crc32c::crc32c(body);
        let staged = Staged { number: 1, body_len: body.len() as u64, body_crc, header };
        let mut file = staged_head(&staged);
        file.extend_from_slice(body);
        assert_eq!(parse(file).unwrap(), &b"2   {}a large body"[..]);
    }

    #[test]
    fn a_name_says_the_id_and_whether_one_node_is_to_have_it() {
        let id = MessageId::from_bits(77);
        let node = NodeId { user: UserId(1), offset: 3 };
        let directory = directory("A/b", node);
        assert_eq!(directory, "spool/%41%2fb,3");
        for to_one in [false, true] {
            let path = path(&directory, id, to_one);
            assert_eq!(parse_name(path.rsplit('/').next().unwrap()), Some((id, to_one)));
        }
        assert_eq!(parse_name(".staged"), None);
    }
}
