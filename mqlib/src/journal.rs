//! The journal: where a message is durable first.
//!
//! A ring of segments, files of fixed length full of zeros, recycled in place. A batch of records
//! goes behind the last one in whole blocks and is durable when the write returns; a block that was
//! written is not written again until its segment is recycled. Segments are freed in the order they
//! were filled, when all they say is in the spool as well; so whatever a replay finds, it finds
//! everything later too.
//!
//! Block 0 of a segment is its head: magic, version, epoch, what the oldest segment still needed
//! was then, and the first record's number. Each use of a segment has an epoch of its own, the
//! highest yet, and a record is only believed with its segment's epoch, the next number, and the
//! right checksum: the first that is not ends the replay. A batch that a crash tore was never
//! acked, so what of it is readable may stay or go.

mod record;

pub use record::{Post, Record};

use crate::disk::{AlignedBuf, BLOCK, Disk, Segment};
use crate::id::MessageId;
use bytes::Bytes;
use std::io;

/// The version of everything on disk; a store of a later one is refused.
pub const VERSION: u32 = 1;

const MAGIC: [u8; 8] = *b"wsMQjrnl";
const HEAD_LEN: usize = 64;

/// Why a journal cannot be opened. Ends the server, which has changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The disk refused.
    #[error("{path}: {error}")]
    Io {
        /// Which segment.
        path: String,
        /// Why.
        error: io::Error,
    },
    /// The head is neither empty nor right.
    #[error("{0} is damaged: its head's checksum is wrong")]
    Damaged(String),
    /// Written by a later version of this program.
    #[error("{path} is of version {version}; this program knows versions up to {VERSION}")]
    Newer {
        /// Which segment.
        path: String,
        /// Its version.
        version: u32,
    },
}

/// A segment's place in the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Free,
    /// In use, or waiting until all in it is in the spool: the epoch.
    Live(u64),
}

#[derive(Debug)]
struct Slot {
    file: Box<dyn Segment>,
    len: u64,
    state: State,
}

/// The journal of a store.
#[derive(Debug)]
pub struct Journal {
    segments: Vec<Slot>,
    /// The segment that records are appended to, and where the next batch goes in it.
    active: Option<(usize, u64)>,
    /// The epoch of the latest use of a segment.
    epoch: u64,
    /// The number of the next record.
    sequence: u64,
    batch: AlignedBuf,
}

/// A segment's use of the ring, as the store counts what it still needs: its epoch.
pub type Epoch = u64;

/// What a replay found, in order.
pub type Replayed = Vec<(Epoch, Record)>;

struct Head {
    epoch: u64,
    oldest: u64,
    sequence: u64,
    last_id: MessageId,
}

impl Head {
    fn encode(&self) -> AlignedBuf {
        let mut head = AlignedBuf::new();
        head.extend(&MAGIC);
        head.extend(&VERSION.to_le_bytes());
        head.extend(&[0; 4]);
        head.extend(&self.epoch.to_le_bytes());
        head.extend(&self.oldest.to_le_bytes());
        head.extend(&self.sequence.to_le_bytes());
        head.extend(&self.last_id.to_bits().to_le_bytes());
        head.resize(HEAD_LEN);
        let checksum = crc32c::crc32c(head.as_slice());
        head.extend(&checksum.to_le_bytes());
        head.resize(BLOCK);
        head
    }

    /// `None` for a segment that was never used.
    fn decode(path: &str, block: &[u8]) -> Result<Option<Self>, OpenError> {
        let damaged = || OpenError::Damaged(path.to_owned());
        if block.iter().all(|&byte| byte == 0) {
            return Ok(None);
        }
        let mut rest = block.get(..HEAD_LEN).ok_or_else(damaged)?;
        let magic = record::take(&mut rest).ok_or_else(damaged)?;
        let version = u32::from_le_bytes(record::take(&mut rest).ok_or_else(damaged)?);
        if magic != MAGIC {
            return Err(damaged());
        }
        if version > VERSION {
            return Err(OpenError::Newer { path: path.to_owned(), version });
        }
        let stored = block.get(HEAD_LEN..HEAD_LEN + 4).ok_or_else(damaged)?;
        if crc32c::crc32c(&block[..HEAD_LEN]).to_le_bytes() != stored {
            return Err(damaged());
        }
        let _reserved: [u8; 4] = record::take(&mut rest).ok_or_else(damaged)?;
        let mut word = || record::take(&mut rest).map(u64::from_le_bytes).ok_or_else(damaged);
        let (epoch, oldest, sequence) = (word()?, word()?, word()?);
        let id = u128::from_le_bytes(record::take(&mut rest).ok_or_else(damaged)?);
        Ok(Some(Self { epoch, oldest, sequence, last_id: MessageId::from_bits(id) }))
    }
}

impl Journal {
    /// Opens the journal of `disk`, or makes one of `count` segments of `len` bytes, and replays
    /// what is in it. Segments that exist are all taken, at the length they have. Also gives an id no
    /// smaller than any that was used. Appends start in a fresh segment.
    pub fn open(
        disk: &dyn Disk,
        count: usize,
        len: u64,
    ) -> Result<(Self, Replayed, MessageId), OpenError> {
        let mut segments = Vec::new();
        let mut heads = Vec::new();
        let at = |error| OpenError::Io { path: "journal".into(), error };
        let found = disk.list("journal").map_err(at)?;
        let found = found.iter().filter_map(|name| name.parse::<usize>().ok()).max();
        let count = count.max(found.map_or(0, |last| last + 1));
        for path in (0..count).map(|number| format!("journal/{number}")) {
            let at = |error| OpenError::Io { path: path.clone(), error };
            let segment = disk.open_segment(&path, len).map_err(at)?;
            let head = Head::decode(&path, &segment.read_head().map_err(at)?)?;
            heads.push((head, path.clone()));
            let len = segment.len() / BLOCK as u64 * BLOCK as u64;
            segments.push(Slot { len, file: segment, state: State::Free });
        }
        let newest =
            heads.iter().filter_map(|(head, _)| head.as_ref()).max_by_key(|head| head.epoch);
        let oldest = newest.map_or(0, |head| head.oldest);
        let epoch = newest.map_or(0, |head| head.epoch);
        let mut last_id = newest.map_or(MessageId::ZERO, |head| head.last_id);
        let mut live: Vec<(usize, Head, String)> = Vec::new();
        for (index, (head, path)) in heads.into_iter().enumerate() {
            if let Some(head) = head.filter(|head| head.epoch >= oldest) {
                live.push((index, head, path));
            }
        }
        live.sort_by_key(|(_, head, _)| head.epoch);
        let mut records = Vec::new();
        let mut sequence = live.first().map_or(0, |(_, head, _)| head.sequence);
        for (index, head, path) in live {
            let slot = &mut segments[index];
            slot.state = State::Live(head.epoch);
            sequence = sequence.max(head.sequence);
            let content = slot.file.read().map_err(|error| OpenError::Io { path, error })?;
            for record in replay(&content, head.epoch, &mut sequence) {
                if let Record::Post(post) = &record {
                    last_id = last_id.max(post.id);
                }
                records.push((head.epoch, record));
            }
        }
        // A torn batch may hold numbers beyond the last one believed; they must not come again
        // in the same segment, and do not: appends start in another.
        let batch = AlignedBuf::new();
        Ok((Self { segments, active: None, epoch, sequence, batch }, records, last_id))
    }

    /// Adds a record to the batch. `false`, and nothing is added, if the active segment has no room
    /// for it: write the batch, [`advance`](Self::advance), and add it again.
    pub fn add(&mut self, record: &Record) -> bool {
        let Some((index, position)) = self.active else { return false };
        let before = self.batch.len();
        record.encode(&mut self.batch, self.epoch, self.sequence);
        if position + self.batch.len() as u64 > self.segments[index].len {
            self.batch.resize(before);
            return false;
        }
        self.sequence += 1;
        true
    }

    /// How many bytes the batch holds.
    pub fn batched(&self) -> usize {
        self.batch.len()
    }

    /// Writes the batch; durable on return. The epoch it went to.
    ///
    /// # Errors
    /// Final: nothing may be acked after one, and nothing is written again.
    pub fn write(&mut self) -> io::Result<Epoch> {
        if let Some((index, position)) = &mut self.active
            && !self.batch.is_empty()
        {
            self.batch.resize(self.batch.len().next_multiple_of(BLOCK));
            self.segments[*index].file.write(*position, self.batch.as_slice())?;
            *position += self.batch.len() as u64;
            self.batch.clear();
        }
        Ok(self.epoch)
    }

    /// Goes on in a free segment. `false` if there is none: free the oldest first.
    pub fn advance(&mut self, last_id: MessageId) -> io::Result<bool> {
        debug_assert!(self.batch.is_empty(), "a batch is of one segment");
        let free = self.segments.iter().position(|slot| slot.state == State::Free);
        let Some(index) = free else { return Ok(false) };
        let epoch = self.epoch + 1;
        let oldest = self.oldest().unwrap_or(epoch);
        let head = Head { epoch, oldest, sequence: self.sequence, last_id };
        let slot = &mut self.segments[index];
        slot.file.write(0, head.encode().as_slice())?;
        slot.state = State::Live(epoch);
        self.epoch = epoch;
        self.active = Some((index, BLOCK as u64));
        Ok(true)
    }

    /// Was anything ever written to it?
    pub fn is_used(&self) -> bool {
        self.epoch > 0
    }

    /// How many segments the ring has.
    pub fn segments(&self) -> usize {
        self.segments.len()
    }

    /// The oldest use of a segment that is not freed.
    pub fn oldest(&self) -> Option<Epoch> {
        let epochs = self.segments.iter().filter_map(|slot| match slot.state {
            State::Live(epoch) => Some(epoch),
            State::Free => None,
        });
        epochs.min()
    }

    /// The use that records are appended to.
    pub fn active(&self) -> Option<Epoch> {
        self.active.map(|_| self.epoch)
    }

    /// Nothing in the oldest use is needed any more.
    pub fn free(&mut self, oldest: Epoch) {
        debug_assert_eq!(self.oldest(), Some(oldest), "segments are freed in order");
        for slot in &mut self.segments {
            if slot.state == State::Live(oldest) {
                slot.state = State::Free;
            }
        }
    }
}

/// The records of one segment, up to the first that is not believed.
fn replay(content: &Bytes, epoch: u64, sequence: &mut u64) -> Vec<Record> {
    let mut records = Vec::new();
    let mut position = BLOCK;
    while position < content.len() {
        match Record::decode(content, position, epoch, *sequence) {
            Some((record, end)) => {
                records.push(record);
                *sequence += 1;
                position = end;
            }
            // Behind the last record of a batch, the rest of its block is empty.
            None if position.is_multiple_of(BLOCK) => break,
            None if !record::is_padding(content, position) => break,
            None => position = position.next_multiple_of(BLOCK),
        }
    }
    records
}

#[cfg(all(test, feature = "testing"))]
mod fuzz;
#[cfg(test)]
mod tests;
