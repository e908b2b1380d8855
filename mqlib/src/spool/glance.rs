//! A look at messages: how long each is, and who sent it.

use super::fault::missing;
use super::reading::{REFUSALS, ReadMessage};
use super::shop::Shop;
use super::{LINE, Wanted, file_name, path};
use crate::disk::Disk;
use crate::header;
use crate::id::MessageId;
use bytes::Bytes;
use std::collections::HashSet;
use std::io;
use std::sync::Arc;

/// How often a message is read before it is given up.
const TRIES: usize = 3;

/// What is seen of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glance {
    /// The message.
    pub id: MessageId,
    /// Is it for one node of its user only?
    pub to_one: bool,
    /// Its length in bytes, as it is delivered.
    pub len: usize,
    /// Its JSON header, if that was wanted.
    pub header: Bytes,
    /// It waits for all other nodes that were asked about, too.
    pub by_others: bool,
}

/// Nodes that are asked about besides the one that is looked at.
#[derive(Debug, Default)]
pub struct Others {
    /// Their directories.
    pub directories: Vec<Arc<str>>,
    /// What one of them has acked, though it may still be there.
    pub acked: HashSet<MessageId>,
    /// What waits for one of them, though it need not be there yet.
    pub unfiled: HashSet<(Arc<str>, MessageId)>,
}

impl Others {
    /// Does a message wait for all of them?
    fn wait_for(&self, disk: &dyn Disk, id: MessageId, to_one: bool) -> bool {
        let waits = |other: &Arc<str>| {
            self.unfiled.contains(&(other.clone(), id))
                || disk.exists(&path(other, id, to_one)).unwrap_or(true)
        };
        !self.acked.contains(&id) && self.directories.iter().all(waits)
    }
}

/// What a look came to.
#[derive(Debug, Default)]
pub struct Glanced {
    /// The messages that are there.
    pub seen: Vec<Glance>,
    /// Those that turned out to be damaged, and are in quarantine now: each with whether it is for one
    /// node only, its length, and what is wrong with it.
    pub damaged: Vec<(MessageId, bool, usize, String)>,
}

impl Shop<'_> {
    /// Looks at messages in a directory. With their headers they are read, one at a time, and verified.
    /// `unfiled` was seen elsewhere; only whether it waits for the other nodes is not known yet.
    pub(super) fn glance(
        &mut self,
        directory: &str,
        wanted: &[(MessageId, bool)],
        headers: bool,
        others: &Others,
        unfiled: &[Glance],
    ) -> io::Result<Glanced> {
        let disk = self.disk;
        let by_others = |id, to_one| others.wait_for(disk, id, to_one);
        let with_others = |glance: &Glance| {
            let by_others = by_others(glance.id, glance.to_one);
            Glance { by_others, ..glance.clone() }
        };
        let mut glanced = Glanced::default();
        glanced.seen.extend(unfiled.iter().map(with_others));
        if !headers {
            let names: Vec<_> = wanted.iter().map(|(id, one)| file_name(*id, *one)).collect();
            for (&(id, to_one), len) in wanted.iter().zip(self.disk.lengths(directory, &names)) {
                match len {
                    Err(error) if missing(&error) => {}
                    len => {
                        let len = (len? as usize).saturating_sub(LINE);
                        let (header, by_others) = (Bytes::new(), by_others(id, to_one));
                        glanced.seen.push(Glance { id, to_one, len, header, by_others });
                    }
                }
            }
            return Ok(glanced);
        }
        for &(id, to_one) in wanted {
            match self.read_at_last(directory, id, to_one)? {
                None | Some(ReadMessage::Missing) => {}
                Some(ReadMessage::Damaged { why, len, to_one }) => {
                    glanced.damaged.push((id, to_one, len, why));
                }
                Some(ReadMessage::Whole(message)) => {
                    // Without the body, which it would keep in memory.
                    let header = header::split(&message).map(|(header, _)| header);
                    let header = Bytes::copy_from_slice(header.unwrap_or_default());
                    let (len, by_others) = (message.len(), by_others(id, to_one));
                    glanced.seen.push(Glance { id, to_one, len, header, by_others });
                }
            }
        }
        Ok(glanced)
    }

    /// Reads a message; one that cannot be read goes to the quarantine, so that it is in nobody's way.
    fn read_at_last(
        &mut self,
        directory: &str,
        id: MessageId,
        to_one: bool,
    ) -> io::Result<Option<ReadMessage>> {
        let mut failed = None;
        for _ in 0..TRIES {
            // The last time that the disk may refuse it.
            let wanted = Wanted { id, to_one, staged: None, refused: REFUSALS - 1 };
            let (mut read, full) = self.read(directory, vec![wanted]);
            match (read.pop(), full) {
                (_, Some((_, full))) => return Err(full),
                (Some((_, Ok(read))), None) => return Ok(Some(read)),
                (Some((_, Err(error))), None) => failed = Some(error),
                (None, None) => return Ok(None),
            }
        }
        let Some(error) = failed else { return Ok(None) };
        let name = file_name(id, to_one);
        let len = self.disk.lengths(directory, std::slice::from_ref(&name)).pop();
        let len = len.and_then(Result::ok).map_or(0, |len| (len as usize).saturating_sub(LINE));
        let why = format!("not to be read: {error}");
        self.quarantine(&format!("{directory}/{name}"), &why)?;
        Ok(Some(ReadMessage::Damaged { why, len, to_one }))
    }
}
