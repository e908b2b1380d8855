use super::record::FIXED;
use super::*;
use crate::disk::FsDisk;
use crate::node::{NodeId, UserId};
use crate::posted::PostKey;
use crate::spool::{Content, Staged};
use bytes::Bytes;
use std::os::unix::fs::FileExt;

const LEN: u64 = 8 * BLOCK as u64;
const NONCE: u32 = 0x1234_5678;

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
        let (journal, found, damage) = self.look();
        assert_eq!(damage, []);
        let last = found.last_id;
        (journal, records(found), last)
    }

    fn look(&self) -> (Journal, Replayed, Vec<Damage>) {
        let (journal, mut found) = Journal::open(&self.disk, 3, LEN, NONCE).unwrap();
        let damage = std::mem::take(&mut found.damage);
        (journal, found, damage)
    }

    fn file(&self, segment: usize) -> std::fs::File {
        let path = self.dir.path().join(format!("journal/{segment}"));
        std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap()
    }

    fn flip(&self, segment: usize, offset: u64, bit: u8) {
        let mut byte = [0];
        self.file(segment).read_exact_at(&mut byte, offset).unwrap();
        self.file(segment).write_all_at(&[byte[0] ^ 1 << bit], offset).unwrap();
    }

    fn zero(&self, segment: usize, block: u64) {
        self.file(segment).write_all_at(&[0; BLOCK], block * BLOCK as u64).unwrap();
    }
}

fn records(found: Replayed) -> Vec<Record> {
    found.records.into_iter().map(|(_, record)| record).collect()
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
        key: id.is_multiple_of(2).then(|| PostKey::of("key")),
        goes_on: id.is_multiple_of(3),
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
        key: None,
        goes_on: false,
    };
    let records = [
        post(6, 100),
        Record::Delete(vec![MessageId::from_bits(6)], vec![node(2)]),
        Record::Delete([7, 8, 9].map(MessageId::from_bits).to_vec(), vec![node(2), node(3)]),
        Record::Drop(node(3)),
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

/// Two batches of two records, the first of which fill a block and a half.
fn two_batches() -> Store {
    let store = Store::new();
    let (mut journal, ..) = store.open();
    journal.advance(MessageId::ZERO).unwrap();
    write(&mut journal, &[post(1, 100), post(2, BLOCK)]);
    write(&mut journal, &[post(3, BLOCK), post(4, 100)]);
    store
}

#[test]
fn a_flipped_bit_anywhere_is_told_and_costs_the_record_it_hit() {
    let place = Place { epoch: 1, nonce: NONCE };
    let all = [post(1, 100), post(2, BLOCK), post(3, BLOCK), post(4, 100), Record::End];
    let mut whole = AlignedBuf::new();
    whole.resize(BLOCK);
    for (number, record) in all.iter().enumerate() {
        let index = if number == 4 { 0 } else { number as u32 % 2 };
        record.encode(&mut whole, place, number as u64, index);
        if index == 1 || number == 4 {
            whole.resize(whole.len().next_multiple_of(BLOCK));
        }
    }
    whole.resize(whole.len() + BLOCK);
    for offset in BLOCK..whole.len() {
        let mut content = whole.as_slice().to_vec();
        content[offset] ^= 1 << (offset % 8);
        let found = replay::replay(&content.into(), place, 0, None);
        let at = format!("byte {offset}");
        assert!(found.records.iter().all(|record| all.contains(record)), "{at}");
        let lost = (all.len() - found.records.len()) as u64;
        match found.damage.as_slice() {
            // Behind the last record nothing was written.
            [] => assert!(lost == 0 && offset >= 5 * BLOCK + FIXED, "{at} unnoticed"),
            [one] => {
                assert!(lost <= 1, "{lost} lost by {at}");
                assert!((one.offset..one.offset + one.bytes.len()).contains(&offset), "{at}");
                assert!(one.records.is_none_or(|records| records == lost), "{at}");
            }
            damage => panic!("{at}: {damage:?}"),
        }
    }
}

#[test]
fn a_new_journal_that_a_crash_left_without_a_record_is_not_damaged() {
    let store = Store::new();
    let (mut journal, ..) = store.open();
    journal.advance(MessageId::ZERO).unwrap();
    assert!(store.look().2.is_empty());
}

#[test]
fn what_a_crash_tore_off_the_last_batch_is_no_damage() {
    for block in [3, 4] {
        let store = two_batches();
        // The third record lies in blocks 3 and 4, the fourth in block 4.
        store.zero(0, block);
        let (_, found, damage) = store.look();
        assert_eq!(records(found), [post(1, 100), post(2, BLOCK)]);
        // Nobody can say whether what is left of it was ever whole.
        assert_eq!(damage.len(), 1);
        assert_eq!(damage[0].records, None);
    }
}

#[test]
fn what_was_not_believed_once_is_not_believed_later() {
    let store = two_batches();
    store.zero(0, 3);
    let (mut journal, ..) = store.look();
    journal.advance(MessageId::ZERO).unwrap();
    write(&mut journal, &[post(5, 100)]);
    assert_eq!(store.open().1, [post(1, 100), post(2, BLOCK), post(5, 100)]);
}

#[test]
fn a_block_lost_from_a_batch_that_another_followed_is_damage() {
    for (block, left) in [(1, vec![3, 4]), (2, vec![1, 3, 4])] {
        let store = two_batches();
        store.zero(0, block);
        let (_, found, damage) = store.look();
        let ids: Vec<_> = records(found)
            .into_iter()
            .map(|record| match record {
                Record::Post(post) => post.id.to_bits(),
                Record::Delete(..) | Record::Drop(_) | Record::End => 0,
            })
            .collect();
        assert_eq!(ids, left);
        assert_eq!(damage[0].records, Some(4 - left.len() as u64));
    }
}

#[test]
fn the_end_of_a_segment_that_another_followed_is_damage_too() {
    let store = Store::new();
    let (mut journal, ..) = store.open();
    for id in 1..3 {
        journal.advance(MessageId::ZERO).unwrap();
        write(&mut journal, &[post(id, 100)]);
    }
    store.zero(0, 1);
    let (_, found, damage) = store.look();
    assert_eq!(records(found), [post(2, 100)]);
    assert_eq!((damage.len(), damage[0].records), (1, Some(1)));
}

#[test]
fn a_record_inside_a_message_is_none() {
    let store = Store::new();
    let (mut journal, ..) = store.open();
    journal.advance(MessageId::ZERO).unwrap();
    // A client that knows all but the nonce.
    let mut forged = AlignedBuf::new();
    let place = Place { epoch: 1, nonce: NONCE + 1 };
    post(9, 10).encode(&mut forged, place, 1, 0);
    let content = Content::Whole([b"x", forged.as_slice()].concat().into());
    let Record::Post(outer) = post(1, 0) else { panic!() };
    write(&mut journal, &[Record::Post(Post { content, ..outer })]);
    store.flip(0, BLOCK as u64, 0);
    let (_, found, _) = store.look();
    assert_eq!(records(found), []);
}

#[test]
fn a_segment_that_was_cut_is_told_and_one_that_is_missing_refused() {
    let store = Store::new();
    let (mut journal, ..) = store.open();
    for id in 1..3 {
        journal.advance(MessageId::ZERO).unwrap();
        write(&mut journal, &[post(id, 100)]);
    }
    store.file(1).set_len(2 * BLOCK as u64 + 100).unwrap();
    let (mut journal, found, _) = store.look();
    assert_eq!(found.harmless, ["journal/1 was cut from 32768 to 8192 bytes"]);
    assert_eq!(records(found), [post(1, 100), post(2, 100)]);
    journal.free(1);
    journal.free(2);
    for _ in 0..2 {
        assert!(journal.advance(MessageId::ZERO).unwrap());
    }
    assert!(!journal.advance(MessageId::ZERO).unwrap(), "the short one is used");
    for len in [0, 100] {
        store.file(1).set_len(len).unwrap();
        assert!(matches!(Journal::open(&store.disk, 3, LEN, NONCE), Err(OpenError::Cut(_))));
    }
}

#[test]
fn a_batch_taken_back_leaves_no_trace() {
    let store = Store::new();
    let (mut journal, ..) = store.open();
    journal.advance(MessageId::ZERO).unwrap();
    assert!(journal.add(&post(1, 100)));
    let mark = journal.mark();
    assert!(journal.add(&post(2, 100)));
    journal.go_back(mark);
    write(&mut journal, &[post(5, 100)]);
    assert_eq!(store.open().1, [post(1, 100), post(5, 100)]);
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
        let (_, replayed) = Journal::open(&store.disk, count, len, NONCE).unwrap();
        assert_eq!(records(replayed), [post(1, 100), post(2, 100)], "{count} segments of {len}");
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
