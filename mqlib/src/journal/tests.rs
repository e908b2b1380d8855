use super::*;
use crate::disk::FsDisk;
use crate::node::{NodeId, UserId};
use crate::spool::{Content, Staged};
use std::os::unix::fs::FileExt;

const LEN: u64 = 8 * BLOCK as u64;

struct Store {
    dir: tempfile::TempDir,
    disk: FsDisk,
}

impl Store {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let disk = FsDisk::open(dir.path()).unwrap();
        disk.create_dir("journal").unwrap();
        Self { dir, disk }
    }

    fn open(&self) -> (Journal, Vec<Record>, MessageId) {
        let (journal, records, last) = Journal::open(&self.disk, 3, LEN).unwrap();
        (journal, records.into_iter().map(|(_, record)| record).collect(), last)
    }

    fn flip(&self, segment: usize, offset: u64) {
        let path = self.dir.path().join(format!("journal/{segment}"));
        let file = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, offset).unwrap();
        file.write_all_at(&[byte[0] ^ 1], offset).unwrap();
    }
}

pub(super) fn node(user: u32) -> NodeId {
    NodeId { user: UserId(user), offset: 1 }
}

pub(super) fn post(id: u128, size: usize) -> Record {
    let content = Content::Whole(vec![b'x'; size].into());
    let nodes = vec![node(1), node(2)];
    Record::Post(Post {
        id: MessageId::from_bits(id),
        origin: node(3),
        nodes,
        to_one: false,
        content,
    })
}

fn write(journal: &mut Journal, records: &[Record]) {
    for record in records {
        assert!(journal.add(record));
    }
    journal.write().unwrap();
}

#[test]
fn what_was_written_is_replayed_in_order_with_the_largest_id() {
    let store = Store::new();
    let (mut journal, ..) = store.open();
    assert!(journal.advance(MessageId::from_bits(5)).unwrap());
    let staged = Content::Staged(Staged {
        number: 9,
        body_len: 1 << 20,
        body_crc: 7,
        header: Bytes::from_static(b"header"),
    });
    let one = Post {
        id: MessageId::from_bits(8),
        origin: node(1),
        nodes: vec![],
        to_one: true,
        content: staged,
    };
    let records = [
        post(6, 100),
        Record::Delete(vec![MessageId::from_bits(6)], vec![node(2)]),
        Record::Delete([7, 8, 9].map(MessageId::from_bits).to_vec(), vec![node(2), node(3)]),
        post(7, 2 * BLOCK),
        Record::Post(one),
    ];
    write(&mut journal, &records[..1]);
    write(&mut journal, &records[1..]);
    let (_, replayed, last) = store.open();
    assert_eq!(replayed, records);
    assert_eq!(last, MessageId::from_bits(8));
}

#[test]
fn a_full_segment_takes_no_more_and_a_recycled_one_forgets_the_old_records() {
    let store = Store::new();
    let (mut journal, ..) = store.open();
    for round in 0..10u128 {
        assert!(journal.advance(MessageId::from_bits(round)).unwrap());
        write(&mut journal, &[post(round + 1, 6 * BLOCK)]);
        assert!(!journal.add(&post(99, 2 * BLOCK)));
        if round > 0 {
            journal.free(journal.oldest().unwrap());
        }
    }
    // The last head was written before the last segment was freed, so that one is replayed too.
    let (_, replayed, last) = store.open();
    assert_eq!(replayed, [post(9, 6 * BLOCK), post(10, 6 * BLOCK)]);
    assert_eq!(last, MessageId::from_bits(10));
}

#[test]
fn a_ring_without_a_free_segment_waits() {
    let store = Store::new();
    let (mut journal, ..) = store.open();
    for _ in 0..3 {
        assert!(journal.advance(MessageId::ZERO).unwrap());
    }
    assert!(!journal.advance(MessageId::ZERO).unwrap());
    journal.free(1);
    assert!(journal.advance(MessageId::ZERO).unwrap());
}

#[test]
fn a_flipped_bit_anywhere_in_a_record_ends_the_replay_there() {
    for offset in [0, 4, 8, 16, 24, 30, 60, 120] {
        let store = Store::new();
        let (mut journal, ..) = store.open();
        journal.advance(MessageId::ZERO).unwrap();
        write(&mut journal, &[post(1, 100)]);
        write(&mut journal, &[post(2, 100)]);
        store.flip(0, 2 * BLOCK as u64 + offset);
        assert_eq!(store.open().1, [post(1, 100)], "offset {offset}");
    }
}

#[test]
fn a_damaged_or_newer_head_is_refused() {
    let store = Store::new();
    let (mut journal, ..) = store.open();
    journal.advance(MessageId::ZERO).unwrap();
    store.flip(0, 20);
    assert!(matches!(Journal::open(&store.disk, 3, LEN), Err(OpenError::Damaged(_))));
    store.flip(0, 20);
    store.flip(0, 9);
    let error = Journal::open(&store.disk, 3, LEN).unwrap_err().to_string();
    assert_eq!(error, "journal/0 is of version 257; this program knows versions up to 1");
}

#[test]
fn other_settings_lose_nothing_of_the_segments_that_exist() {
    let store = Store::new();
    let (mut journal, ..) = store.open();
    for id in 1..3 {
        journal.advance(MessageId::ZERO).unwrap();
        write(&mut journal, &[post(id, 100)]);
    }
    for (count, len) in [(1, LEN), (3, 4 * LEN), (5, 2 * LEN)] {
        let (_, replayed, _) = Journal::open(&store.disk, count, len).unwrap();
        let records: Vec<_> = replayed.into_iter().map(|(_, record)| record).collect();
        assert_eq!(records, [post(1, 100), post(2, 100)], "{count} segments of {len}");
    }
}

#[test]
fn appends_after_a_replay_start_in_another_segment() {
    let store = Store::new();
    let (mut journal, ..) = store.open();
    journal.advance(MessageId::ZERO).unwrap();
    write(&mut journal, &[post(1, 100)]);
    let (mut journal, ..) = store.open();
    assert!(!journal.add(&post(2, 100)));
    journal.advance(MessageId::ZERO).unwrap();
    write(&mut journal, &[post(2, 100)]);
    assert_eq!(store.open().1, [post(1, 100), post(2, 100)]);
}
