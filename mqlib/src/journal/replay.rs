//! Reading a segment back: its records up to the end, and what is damaged among them.
//!
//! A batch whose write a crash tore was never acked, and what of it is readable goes. Anything else
//! that is not as it was written is damage, and costs only the records it hit. The two are told apart
//! by what comes later: a batch is written when all before it are durable. So a record that cannot
//! be read was durable if one of a later batch can be, or if a later segment was begun.
//!
//! Where nothing comes later, a record that was the last may have been torn or damaged; its bytes
//! are handed out either way, so that nothing is lost without a word.

use super::record::{self, EPOCH_AT, FIXED, Found, Place, Record};
use crate::disk::BLOCK;
use bytes::Bytes;
use std::fmt;
use std::ops::Range;

/// Bytes of a segment that are not what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The use of the segment.
    pub epoch: u64,
    /// Where they stand in it.
    pub offset: usize,
    /// The bytes.
    pub bytes: Bytes,
    /// How many records are lost by it; unknown of the last ones of all.
    pub records: Option<u64>,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { epoch, offset, bytes, records } = self;
        write!(f, "the journal's use {epoch} has {} damaged bytes at {offset}: ", bytes.len())?;
        match records {
            Some(0) => f.write_str("nothing that was committed is lost"),
            Some(count) => {
                write!(f, "{count} records cannot be read: messages, or acks of some")
            }
            None => {
                f.write_str("the last batch before a crash was not written whole, or is damaged")
            }
        }
    }
}

/// What a segment holds.
#[derive(Debug, Default)]
pub(super) struct Segment {
    pub(super) records: Vec<Record>,
    pub(super) damage: Vec<Damage>,
    /// The sequence behind the last record, lost ones included.
    pub(super) sequence: u64,
}

/// Reads a segment whose first record has the number `sequence`; `next` is the first one's of the
/// segment that was begun after it.
pub(super) fn replay(content: &Bytes, place: Place, sequence: u64, next: Option<u64>) -> Segment {
    let mut segment = Segment { sequence, ..Segment::default() };
    let mut position = BLOCK;
    // What this segment held beyond the number of the next one's first was not believed then either.
    while position < content.len() && next.is_none_or(|next| segment.sequence < next) {
        match Record::decode(content, position, place) {
            Some(found) if found.sequence == segment.sequence => {
                position = found.end;
                segment.take(found);
                continue;
            }
            // Behind the last record of a batch, the rest of its block is empty.
            _ if !position.is_multiple_of(BLOCK) && record::is_padding(content, position) => {
                position = position.next_multiple_of(BLOCK);
                continue;
            }
            _ => {}
        }
        match behind(content, place, position, segment.sequence, next) {
            Behind::Durable(at, found) => {
                segment.hurt(content, place, position..at, Some(found.sequence));
                position = found.end;
                segment.take(found);
            }
            Behind::Torn(end) if next.is_none() => {
                segment.hurt(content, place, position..end, None);
                break;
            }
            Behind::Torn(_) | Behind::Nothing => break,
        }
    }
    if let Some(next) = next.filter(|next| *next > segment.sequence) {
        let from = position.min(content.len());
        segment.hurt(content, place, from..content.len(), Some(next));
        segment.sequence = next;
    }
    segment
}

impl Segment {
    /// Notes bytes that cannot be read, before the record with the number `next` if that was found.
    fn hurt(&mut self, content: &Bytes, place: Place, range: Range<usize>, next: Option<u64>) {
        self.damage.push(Damage {
            epoch: place.epoch,
            offset: range.start,
            bytes: content.slice(range),
            records: next.map(|next| next - self.sequence),
        });
    }

    fn take(&mut self, found: Found) {
        self.sequence = found.sequence + 1;
        self.records.push(found.record);
    }
}

/// What follows a place where no record can be read.
enum Behind {
    /// A record, and what is missing before it was durable once.
    Durable(usize, Found),
    /// Nothing that was ever acked, for all one can know; but something was written up to here.
    Torn(usize),
    /// Nothing that was written in this use of the segment.
    Nothing,
}

/// Looks behind `position`, where the record with the number `sequence` cannot be read.
fn behind(
    content: &Bytes,
    place: Place,
    position: usize,
    sequence: u64,
    next: Option<u64>,
) -> Behind {
    // Numbers grow with the records; so many more there cannot be.
    let end = next.unwrap_or(sequence + (content.len() / FIXED) as u64);
    let is_later = |found: &Found| found.batch > sequence || found.sequence == sequence;
    let mut first = None;
    let mut written = unfinished(content, place, position, sequence);
    for (at, found) in records(content, place, position) {
        if !(sequence..end).contains(&found.sequence) {
            continue;
        }
        let durable = next.is_some() || is_later(&found);
        written = written.max(Some(found.end));
        let (at, found) = first.take().unwrap_or((at, found));
        if durable {
            return Behind::Durable(at, found);
        }
        first = Some((at, found));
    }
    written.map_or(Behind::Nothing, Behind::Torn)
}

/// Whatever from `position` on can be read as a record of this place.
fn records(content: &Bytes, place: Place, position: usize) -> impl Iterator<Item = (usize, Found)> {
    let epoch = place.epoch.to_le_bytes();
    let mut position = position;
    std::iter::from_fn(move || {
        loop {
            let rest = content.get(position + EPOCH_AT..)?;
            let at = position + memchr::memmem::find(rest, &epoch)?;
            match Record::decode(content, at, place) {
                Some(found) => {
                    position = found.end;
                    return Some((at, found));
                }
                None => position = at + 1,
            }
        }
    })
}

/// Does a record begin at `position` that is not whole? Then where it ended. What an earlier use of
/// the segment left there has another epoch and another number, by more than one flipped bit.
fn unfinished(content: &Bytes, place: Place, position: usize, sequence: u64) -> Option<usize> {
    let mut rest = content.get(position..position.checked_add(FIXED)?)?;
    // The first record's numbers are one bit away from what was never written.
    if rest.iter().all(|&byte| byte == 0) {
        return None;
    }
    let _checksum: [u8; 4] = record::take(&mut rest)?;
    let length = u32::from_le_bytes(record::take(&mut rest)?) as usize;
    let epoch = u64::from_le_bytes(record::take(&mut rest)?) ^ place.epoch;
    let sequence = u64::from_le_bytes(record::take(&mut rest)?) ^ sequence;
    let ours = epoch.count_ones() + sequence.count_ones() <= 1;
    ours.then(|| position.saturating_add(FIXED + length).min(content.len()))
}
