//! A fuzz target: a journal is written, damaged, and replayed.
//!
//! An input is a script: bytes that append, write, free and open again, up to [`END`], and then the
//! damage.

use super::tests::{node, post};
use super::*;
use crate::testing::disk::SimDisk;

/// Runs in `cargo test`, besides the corpus.
const RUNS: usize = 300;

const LEN: usize = 4 * BLOCK;
const SEGMENTS: usize = 3;
const END: u8 = 0xff;

struct Script<'a> {
    rest: &'a [u8],
    disk: SimDisk,
    journal: Journal,
    last: MessageId,
    /// All that was ever written, and what of it was in the batch.
    written: Vec<(Epoch, Record)>,
    batch: Vec<Record>,
    /// The oldest epoch that the newest head says is needed.
    needed: Epoch,
    /// How often it was opened.
    lives: u32,
}

impl<'a> Script<'a> {
    fn new(rest: &'a [u8]) -> Self {
        let disk = SimDisk::new(0);
        disk.create_dir("journal").unwrap();
        let (journal, ..) = Journal::open(&disk, SEGMENTS, LEN as u64, 1).unwrap();
        let (written, batch) = (Vec::new(), Vec::new());
        Self { rest, disk, journal, last: MessageId::ZERO, written, batch, needed: 0, lives: 1 }
    }

    fn byte(&mut self) -> u8 {
        self.rest.split_off_first().copied().unwrap_or(END)
    }

    fn word(&mut self) -> usize {
        usize::from(self.byte()) << 8 | usize::from(self.byte())
    }

    fn run(&mut self) {
        loop {
            match self.byte() {
                END => return,
                byte if byte < 0x80 => {
                    self.last = MessageId::from_bits(self.last.to_bits() + 1);
                    let size = usize::from(byte) * usize::from(byte);
                    self.add(post(self.last.to_bits(), size));
                }
                0x80..0x9c => self.add(Record::Delete(vec![self.last; 2], vec![node(1)])),
                0x9c..0xa0 => self.add(Record::Drop(node(1))),
                0xa0..0xd0 => self.write(),
                0xd0..0xf0 => self.advance(),
                _ => self.open(),
            }
        }
    }

    fn add(&mut self, record: Record) {
        if self.journal.add(&record) {
            self.batch.push(record);
        }
    }

    fn write(&mut self) {
        let epoch = self.journal.write().unwrap();
        self.written.extend(self.batch.drain(..).map(|record| (epoch, record)));
    }

    fn advance(&mut self) {
        self.write();
        while !self.journal.advance(self.last).unwrap() {
            self.journal.free(self.journal.oldest().unwrap());
        }
        self.needed = self.journal.oldest().unwrap();
    }

    /// The batch is lost.
    fn open(&mut self) {
        self.batch.clear();
        self.lives += 1;
        let opened = Journal::open(&self.disk, SEGMENTS, LEN as u64, self.lives);
        let (journal, replayed) = opened.unwrap();
        let expected = self.written.iter().filter(|(epoch, _)| *epoch >= self.needed);
        assert!(replayed.records.iter().eq(expected), "what was written is replayed");
        assert!(replayed.damage.is_empty() && replayed.harmless.is_empty(), "{replayed:?}");
        let last = replayed.last_id;
        assert!(self.written.iter().all(|record| id(record) <= last) && last <= self.last);
        self.journal = journal;
    }

    /// Damages the disk, and says from which epoch on a record may still come.
    fn damage(&mut self) -> Option<Epoch> {
        let (kind, at, to) = (self.byte(), self.word() * 3, self.word());
        let path = format!("journal/{}", at / LEN % SEGMENTS);
        let at = at % LEN;
        let content = self.disk.read(&path).unwrap();
        let other = self.disk.read(&format!("journal/{}", to / LEN % SEGMENTS)).unwrap();
        let block = at / BLOCK * BLOCK;
        match kind % 5 {
            0 => self.disk.patch(&path, at as u64, &[content[at] ^ 1 << (to % 8)]).unwrap(),
            1 => self.disk.patch(&path, block as u64, &[0; BLOCK]).unwrap(),
            2 => {
                // As after a write that went to the wrong place: perhaps an older head.
                let from = to % LEN / BLOCK * BLOCK;
                self.disk.patch(&path, block as u64, &other[from..from + BLOCK]).unwrap();
                return Some(0);
            }
            3 => {
                self.disk.unlink(&path).unwrap();
                self.disk.create(&path, 0, &[&content[..at]]).unwrap();
            }
            _ => {
                let forged = &self.rest[..self.rest.len().min(LEN - at)];
                self.disk.patch(&path, at as u64, forged).unwrap();
                return None;
            }
        }
        Some(if at < BLOCK { 0 } else { self.needed })
    }
}

/// The id that a record used up.
fn id((_, record): &(Epoch, Record)) -> MessageId {
    match record {
        Record::Post(post) => post.id,
        Record::Delete(..) | Record::Drop(_) | Record::End => MessageId::ZERO,
    }
}

#[test]
fn replay() {
    bolero::check!().with_iterations(RUNS).for_each(|input: &[u8]| {
        let mut script = Script::new(input);
        script.run();
        script.open();
        let from = script.damage();
        let Ok((_, replayed)) = Journal::open(&script.disk, SEGMENTS, LEN as u64, 0) else {
            return;
        };
        // With enough tries a checksum can be forged; then it is enough to survive it.
        let Some(from) = from else { return };
        let mut written = script.written.iter().filter(|(epoch, _)| *epoch >= from);
        for record in &replayed.records {
            assert!(
                written.any(|other| other == record),
                "{record:?} was not written, or not here"
            );
            assert!(id(record) <= replayed.last_id);
        }
    });
}
