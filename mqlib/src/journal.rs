//! The journal: where a message is durable first.
//!
//! A ring of segments, files of fixed length full of zeros, recycled in place. A batch of records
//! goes behind the last one in whole blocks and is durable when the write returns; a block that was
//! written is not written again until its segment is recycled. Segments are freed in the order they
//! were filled, when all they say is in the spool as well; so whatever a replay finds, it finds
//! everything later too.
//!
//! Block 0 of a segment is its `head`. Each use of a segment has an epoch of its own, the highest
//! yet, and a record is only believed with its segment's epoch, the next number, and the right
//! checksum. What is not believed is either the end, perhaps of a batch that a crash tore, which was
//! never acked; or it is damage, which is told and costs only the records it hit (`replay`).

mod head;
mod record;
mod replay;
mod survey;

pub use head::VERSION;
pub use record::{Post, Record};
pub use replay::Damage;
pub use survey::{Survey, records, survey};

use crate::disk::{AlignedBuf, BLOCK, Disk, Segment};
use crate::id::MessageId;
use head::{Head, Read};
use record::Place;
use std::io::{self, ErrorKind};

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
    /// Both copies of the head are wrong.
    #[error("{0} is damaged: its head is neither empty nor right")]
    Damaged(String),
    /// A segment that was used is missing, or too short for its head.
    #[error("{0} is damaged: it is missing or cut short")]
    Cut(String),
    /// A use of a segment that is still needed is nowhere.
    #[error("the journal is damaged: what it held in its use {0} of a segment is missing")]
    Missing(u64),
    /// Written by another version of this program.
    #[error("{path} is of version {version}; this program knows version {VERSION}")]
    Version {
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
    /// It was cut short, and is not used again.
    short: bool,
}

/// The journal of a store.
#[derive(Debug)]
pub struct Journal {
    segments: Vec<Slot>,
    /// The segment that records are appended to, and where the next batch goes in it.
    active: Option<(usize, u64)>,
    /// The epoch of the latest use of a segment.
    epoch: u64,
    /// Makes the records of this life unlike anything that a client can write.
    nonce: u32,
    /// The number of the next record.
    sequence: u64,
    batch: AlignedBuf,
    /// Records in the batch.
    records: u32,
}

/// A segment's use of the ring, as the store counts what it still needs: its epoch.
pub type Epoch = u64;

/// What a replay found, in order.
#[derive(Debug)]
pub struct Replayed {
    /// The records, each with the use that holds it.
    pub records: Vec<(Epoch, Record)>,
    /// No smaller than any id that was used.
    pub last_id: MessageId,
    /// What is not as it was written.
    pub damage: Vec<Damage>,
    /// What is wrong besides, and cost nothing: sentences.
    pub harmless: Vec<String>,
}

/// How far a batch was filled; to go back to.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    len: usize,
    sequence: u64,
    records: u32,
}

impl Journal {
    /// Opens the journal of `disk`, or makes one of `count` segments of `len` bytes, and replays
    /// what is in it. Segments that exist are all taken, at the length they have. Appends start in a
    /// fresh segment. `nonce` is random.
    pub fn open(
        disk: &dyn Disk,
        count: usize,
        len: u64,
        nonce: u32,
    ) -> Result<(Self, Replayed), OpenError> {
        let (heads, replayed) = look(disk)?;
        whole(&heads)?;
        Self::make(disk, (count, len), nonce, heads.found, replayed)
    }

    /// Opens a journal of which segments are missing, for what the others hold. They are made anew.
    pub fn salvage(
        disk: &dyn Disk,
        count: usize,
        len: u64,
        nonce: u32,
    ) -> Result<(Self, Replayed), OpenError> {
        let (heads, replayed) = look(disk)?;
        Self::make(disk, (count, len), nonce, heads.found, replayed)
    }

    fn make(
        disk: &dyn Disk,
        (count, len): (usize, u64),
        nonce: u32,
        heads: Vec<Option<Head>>,
        mut replayed: Replayed,
    ) -> Result<(Self, Replayed), OpenError> {
        let count = count.max(heads.len());
        let mut segments = Vec::new();
        for path in (0..count).map(path) {
            let at = |error| OpenError::Io { path: path.clone(), error };
            let file = disk.open_segment(&path, len).map_err(at)?;
            let len = file.len() / BLOCK as u64 * BLOCK as u64;
            segments.push(Slot { len, file, state: State::Free, short: false });
        }
        for (number, head) in heads.iter().enumerate() {
            let (path, slot) = (path(number), &mut segments[number]);
            if let Some(head) = head.filter(|head| slot.len < head.len) {
                slot.short = true;
                let (len, was) = (slot.len, head.len);
                replayed.harmless.push(format!("{path} was cut from {was} to {len} bytes"));
            }
        }
        let newest = heads.iter().flatten().max_by_key(|head| head.epoch).copied();
        let mut journal = Self {
            segments,
            active: None,
            epoch: newest.map_or(0, |head| head.epoch),
            nonce,
            sequence: 0,
            batch: AlignedBuf::new(),
            records: 0,
        };
        if let Some(newest) = newest {
            replayed.last_id = newest.last_id;
            let live = heads.iter().enumerate().filter_map(|(index, head)| Some((index, (*head)?)));
            let mut live: Vec<_> = live.filter(|(_, head)| head.epoch >= newest.oldest).collect();
            live.sort_by_key(|(_, head)| head.epoch);
            journal.take_up(&live, &mut replayed)?;
        }
        // A torn batch may hold numbers beyond the last one believed; they must not come again
        // in the same segment, and do not: appends start in another.
        Ok((journal, replayed))
    }

    /// Reads the segments that are needed, the oldest first.
    fn take_up(
        &mut self,
        live: &[(usize, Head)],
        replayed: &mut Replayed,
    ) -> Result<(), OpenError> {
        for (number, (index, head)) in live.iter().enumerate() {
            let slot = &mut self.segments[*index];
            slot.state = State::Live(head.epoch);
            let at = |error| OpenError::Io { path: path(*index), error };
            let content = slot.file.read().map_err(at)?;
            let next = live.get(number + 1).map(|(_, next)| next.sequence);
            let found = replay::replay(&content, head.place(), head.sequence, next);
            self.sequence = found.sequence;
            for record in found.records {
                if let Record::Post(post) = &record {
                    replayed.last_id = replayed.last_id.max(post.id);
                }
                replayed.records.push((head.epoch, record));
            }
            replayed.damage.extend(found.damage);
        }
        Ok(())
    }

    fn place(&self) -> Place {
        Place { epoch: self.epoch, nonce: self.nonce }
    }

    /// Adds a record to the batch. `false`, and nothing is added, if the active segment has no room
    /// for it: write the batch, [`advance`](Self::advance), and add it again.
    pub fn add(&mut self, record: &Record) -> bool {
        let Some((index, position)) = self.active else { return false };
        let before = self.batch.len();
        let place = self.place();
        record.encode(&mut self.batch, place, self.sequence, self.records);
        if position + self.batch.len() as u64 > self.segments[index].len {
            self.batch.resize(before);
            return false;
        }
        self.sequence += 1;
        self.records += 1;
        true
    }

    /// How far the batch is filled.
    pub fn mark(&self) -> Mark {
        Mark { len: self.batch.len(), sequence: self.sequence, records: self.records }
    }

    /// Takes out of the batch what was added since.
    pub fn go_back(&mut self, mark: Mark) {
        self.batch.resize(mark.len);
        self.sequence = mark.sequence;
        self.records = mark.records;
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
            self.records = 0;
        }
        Ok(self.epoch)
    }

    /// Goes on in a free segment. `false` if there is none: free the oldest first.
    pub fn advance(&mut self, last_id: MessageId) -> io::Result<bool> {
        debug_assert!(self.batch.is_empty(), "a batch is of one segment");
        let free = self.segments.iter().position(|slot| slot.state == State::Free && !slot.short);
        let Some(index) = free else { return Ok(false) };
        let epoch = self.epoch + 1;
        let oldest = self.oldest().unwrap_or(epoch);
        let count = self.segments.len() as u64;
        let (nonce, sequence) = (self.nonce, self.sequence);
        let slot = &mut self.segments[index];
        let head = Head { nonce, epoch, oldest, sequence, last_id, len: slot.len, count };
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

    /// How many of them hold what may still be needed.
    pub fn in_use(&self) -> usize {
        self.segments.iter().filter(|slot| slot.state != State::Free).count()
    }

    /// Their length, all together, in bytes.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|slot| slot.len).sum()
    }

    /// How many bytes of them are taken: all of a segment in use, and of the last one what is written.
    pub fn taken(&self) -> u64 {
        let taken = self.segments.iter().enumerate().map(|(index, slot)| match self.active {
            _ if slot.state == State::Free => 0,
            Some((active, position)) if active == index => position,
            _ => slot.len,
        });
        taken.sum()
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

fn path(number: usize) -> String {
    format!("journal/{number}")
}

/// The heads of the segments that exist.
#[derive(Debug)]
struct Heads {
    found: Vec<Option<Head>>,
    /// Segments that are missing, or too short for a head.
    short: Vec<usize>,
}

/// Reads the heads, before any segment is touched.
fn look(disk: &dyn Disk) -> Result<(Heads, Replayed), OpenError> {
    let mut replayed = Replayed {
        records: Vec::new(),
        last_id: MessageId::ZERO,
        damage: Vec::new(),
        harmless: Vec::new(),
    };
    let mut heads = Heads { found: Vec::new(), short: Vec::new() };
    for number in 0..count(disk)? {
        let path = path(number);
        let head = match read_head(disk, &path) {
            Err(OpenError::Cut(_)) => {
                heads.short.push(number);
                None
            }
            head => match head? {
                Read::Unused => None,
                Read::Head(head, false) => Some(head),
                Read::Head(head, true) => {
                    replayed.harmless.push(format!("{path}: one copy of the head is damaged"));
                    Some(head)
                }
            },
        };
        heads.found.push(head);
    }
    Ok((heads, replayed))
}

/// How many segments there are, missing ones between them included.
fn count(disk: &dyn Disk) -> Result<usize, OpenError> {
    let at = |error| OpenError::Io { path: "journal".into(), error };
    let found = disk.list("journal").map_err(at)?;
    let found = found.iter().filter_map(|name| name.parse::<usize>().ok()).max();
    Ok(found.map_or(0, |last| last + 1))
}

fn read_head(disk: &dyn Disk, path: &str) -> Result<Read, OpenError> {
    let block = match disk.read_head(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        block => block.map_err(|error| OpenError::Io { path: path.to_owned(), error })?,
    };
    Head::decode(path, &block)
}

/// Segments are all made before the first is used: what is short or missing among them is damage,
/// unless none was ever used, or it was to be one more than there were.
fn whole(heads: &Heads) -> Result<(), OpenError> {
    let Heads { found, short } = heads;
    let used = found.iter().flatten().max_by_key(|head| head.epoch).copied();
    let Some(used) = used else {
        // They are made one after the other, so that a crash meanwhile leaves the last one short.
        return match short.iter().find(|number| **number + 1 < found.len()) {
            Some(number) => Err(OpenError::Cut(path(*number))),
            None => Ok(()),
        };
    };
    let expected = used.count as usize;
    let short = short.iter().copied().chain(found.len()..expected);
    if let Some(number) = short.into_iter().find(|number| *number < expected) {
        return Err(OpenError::Cut(path(number)));
    }
    let has = |epoch: u64| found.iter().flatten().any(|head| head.epoch == epoch);
    match (used.oldest..used.epoch).find(|epoch| !has(*epoch)) {
        Some(epoch) => Err(OpenError::Missing(epoch)),
        None => Ok(()),
    }
}

#[cfg(test)]
#[cfg(feature = "testing")]
mod fuzz;
#[cfg(test)]
mod tests;
