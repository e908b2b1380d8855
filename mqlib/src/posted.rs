//! What a node has posted lately, so that what it posts again after a cut is stored once (version 2).
//!
//! A post's own id, which its node chose, becomes a [`PostKey`], and the last [`REMEMBERED`] of a node
//! are kept, each with the id of the message that it became. They are durable with the message, in
//! the journal; before a segment is freed they go to the node's file, `posted/<user>,<node>`. A node
//! that does not post has neither file nor memory. The broker keeps a few bytes a post for a node
//! that is online (`Tags`), and asks the store when they say that a post may be a repeat.
//!
//! A file is an array of slots: key, message id, checksum. It is no log: each entry replaces the
//! oldest, so entries may be written again after a crash, and lost slots cost what they held.

use crate::id::MessageId;
use hashbrown::HashTable;
use sha2::{Digest, Sha256};

/// The directory of the nodes' files.
pub const ROOT: &str = "posted";

/// How many posts of a node are known again.
pub const REMEMBERED: usize = 4096;

/// A slot's length in a file.
pub(crate) const SLOT: usize = 16 + 16 + 4;

/// A post's own id, as it is kept: ids of up to 15 bytes as they are, longer ones as a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PostKey([u8; 16]);

impl PostKey {
    /// The key of a post's own id.
    pub fn of(id: &str) -> Self {
        let mut key = [0; 16];
        match key.get_mut(1..=id.len()) {
            Some(place) => {
                place.copy_from_slice(id.as_bytes());
                key[0] = id.len() as u8;
            }
            None => {
                key.copy_from_slice(&Sha256::digest(id)[..16]);
                // No length, so never the key of a short id.
                key[0] |= 0x80;
            }
        }
        Self(key)
    }

    /// The key with these bytes, as [`as_bytes`](Self::as_bytes) gave them.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes, for storing.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    fn tag(self) -> u32 {
        crc32c::crc32c(&self.0)
    }
}

/// A post, and the message that it became; the last, if it became several.
pub type Entry = (PostKey, MessageId);

/// The keys of a node's last posts, shortened: what they do not know is new, what they know is
/// mostly a repeat.
#[derive(Debug, Default)]
pub(crate) struct Tags {
    /// A ring once it is full.
    tags: Vec<u32>,
    /// Where the oldest is, which the next one replaces.
    oldest: usize,
    places: HashTable<u16>,
}

impl Tags {
    /// Those of entries, the oldest first.
    pub(crate) fn new(entries: &[Entry]) -> Self {
        let places = HashTable::with_capacity(entries.len());
        let mut tags = Self { tags: Vec::with_capacity(entries.len()), oldest: 0, places };
        for (key, _) in entries {
            tags.insert(*key);
        }
        tags
    }

    /// May this be one of the posts?
    pub(crate) fn may_have(&self, key: PostKey) -> bool {
        let tag = key.tag();
        self.places.find(hash(tag), |place| self.tags[usize::from(*place)] == tag).is_some()
    }

    /// Adds a post.
    pub(crate) fn insert(&mut self, key: PostKey) {
        let tag = key.tag();
        let place = if self.tags.len() < REMEMBERED {
            self.tags.push(tag);
            self.tags.len() - 1
        } else {
            let place = self.oldest;
            self.oldest = (place + 1) % REMEMBERED;
            let gone = std::mem::replace(&mut self.tags[place], tag);
            let found = self.places.find_entry(hash(gone), |at| usize::from(*at) == place);
            if let Ok(entry) = found {
                entry.remove();
            }
            place
        };
        let tags = &self.tags;
        self.places.insert_unique(hash(tag), place as u16, |place| hash(tags[usize::from(*place)]));
    }
}

/// Spreads a tag over the bits that the table looks at, the highest ones too.
fn hash(tag: u32) -> u64 {
    u64::from(tag).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Where a node's next entry goes in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Next {
    /// The slot.
    pub slot: usize,
    /// Only one that is later than this: others may be there already.
    pub after: MessageId,
}

/// What a file holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Slots {
    /// An entry for each slot; `None` for one that is empty, or damaged.
    slots: Vec<Option<Entry>>,
    /// How many are damaged.
    pub(crate) damaged: usize,
}

impl Slots {
    /// Reads a file. What is behind the last slot is none of ours.
    pub(crate) fn parse(content: &[u8]) -> Self {
        let mut damaged = 0;
        let mut slots: Vec<_> = content
            .chunks(SLOT)
            .take(REMEMBERED)
            .map(|bytes| {
                let entry = decode(bytes);
                damaged += usize::from(entry.is_none() && !is_empty(bytes));
                entry
            })
            .collect();
        while slots.last().is_some_and(Option::is_none) {
            slots.pop();
        }
        Self { slots, damaged }
    }

    /// All entries, the oldest first.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        let mut entries: Vec<_> = self.slots.iter().flatten().copied().collect();
        // Mostly two runs in order, which a stable sort only has to merge.
        entries.sort_by_key(|(_, id)| *id);
        entries
    }

    /// Puts entries, the oldest first, in place of what is empty, and then of the oldest. The slots
    /// that changed.
    pub(crate) fn put(&mut self, entries: &[Entry]) -> Vec<usize> {
        self.slots.resize(REMEMBERED, None);
        let id_at = |place: &usize| self.slots[*place].map(|(_, id)| id);
        let mut places: Vec<usize> = (0..REMEMBERED).collect();
        places.sort_by_key(id_at);
        let is_there = |id: MessageId| places.binary_search_by_key(&Some(id), id_at).is_ok();
        let news: Vec<_> = entries.iter().filter(|(_, id)| !is_there(*id)).copied().collect();
        let skip = news.len().saturating_sub(REMEMBERED);
        let mut changed = Vec::new();
        for (entry, place) in news.into_iter().skip(skip).zip(places) {
            self.slots[place] = Some(entry);
            changed.push(place);
        }
        changed
    }

    /// The slot that the next entry goes to, if from there on they are in order, so that nobody has
    /// to look again.
    pub(crate) fn next(&self) -> Option<Next> {
        let newest = (0..self.slots.len()).max_by_key(|at| self.slots[*at].map(|(_, id)| id))?;
        let next = (newest + 1) % REMEMBERED;
        let (_, after) = self.slots[newest]?;
        let id = |at: usize| self.slots.get(at % REMEMBERED).copied().flatten().map(|(_, id)| id);
        let sorted = (next..next + REMEMBERED - 1).all(|at| id(at) <= id(at + 1));
        sorted.then_some(Next { slot: next, after })
    }
}

/// The content of a node's file with entries, the oldest first, put into it; and how many of its own
/// are damaged, and gone.
pub fn with(file: &[u8], entries: &[Entry]) -> (Vec<u8>, usize) {
    let mut slots = Slots::parse(file);
    slots.put(entries);
    (slots.encode(), slots.damaged)
}

impl Slots {
    /// All slots, as they stand in a file.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let empty = [0; SLOT];
        let slot = |slot: &Option<Entry>| slot.map_or(empty.to_vec(), |entry| encode(&[entry]));
        let used = self.slots.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        self.slots[..used].iter().flat_map(slot).collect()
    }
}

/// Entries as slots of a file.
pub(crate) fn encode(entries: &[Entry]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(entries.len() * SLOT);
    for (key, id) in entries {
        let start = bytes.len();
        bytes.extend_from_slice(key.as_bytes());
        bytes.extend_from_slice(&id.to_bits().to_le_bytes());
        let checksum = crc32c::crc32c(&bytes[start..]);
        bytes.extend_from_slice(&checksum.to_le_bytes());
    }
    bytes
}

/// Where a slot stands in a file.
pub(crate) fn offset(slot: usize) -> u64 {
    (slot * SLOT) as u64
}

/// Is a slot what was written there, or empty?
pub(crate) fn is_right(slot: &[u8]) -> bool {
    decode(slot).is_some() || is_empty(slot)
}

fn is_empty(slot: &[u8]) -> bool {
    slot.iter().all(|&byte| byte == 0)
}

fn decode(bytes: &[u8]) -> Option<Entry> {
    let (key, rest) = bytes.split_first_chunk::<16>()?;
    let (id, checksum) = rest.split_first_chunk::<16>()?;
    if crc32c::crc32c(&bytes[..32]).to_le_bytes() != checksum {
        return None;
    }
    Some((PostKey(*key), MessageId::from_bits(u128::from_le_bytes(*id))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(number: u128) -> Entry {
        (PostKey::of(&number.to_string()), MessageId::from_bits(number))
    }

    fn entries(numbers: std::ops::Range<u128>) -> Vec<Entry> {
        numbers.map(entry).collect()
    }

    #[test]
    fn ids_that_differ_have_keys_that_differ() {
        let long = "x".repeat(16);
        let ids = ["", "a", "a\0", "\0a", &long[..15], &long, &"x".repeat(300), "\u{1}"];
        for (at, a) in ids.iter().enumerate() {
            for b in &ids[..at] {
                assert_ne!(PostKey::of(a), PostKey::of(b), "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn tags_know_the_last_posts_and_forget_those_before() {
        let mut tags = Tags::default();
        for (key, _) in entries(0..10_000) {
            tags.insert(key);
        }
        for (key, _) in entries(10_000 - REMEMBERED as u128..10_000) {
            assert!(tags.may_have(key));
        }
        let known = entries(0..5_000).iter().filter(|(key, _)| tags.may_have(*key)).count();
        assert!(known < 3, "{known}");
        assert_eq!(tags.places.len(), REMEMBERED);
    }

    #[test]
    fn a_file_keeps_the_last_entries_whatever_was_written_twice_or_lost() {
        let mut slots = Slots::default();
        let all = entries(1..6_000);
        for part in all.chunks(700) {
            slots.put(part);
            slots.put(part);
            let next = slots.next().unwrap();
            assert_eq!(next.after, part.last().unwrap().1);
            assert_eq!(next.slot, (part.last().unwrap().1.to_bits() as usize) % REMEMBERED);
        }
        let last = &all[all.len() - REMEMBERED..];
        assert_eq!(slots.entries(), last);
        let mut file = slots.encode();
        assert_eq!(Slots::parse(&file), slots);
        // A block of the file was never written: what it held comes from the journal once more.
        file[offset(100) as usize..offset(200) as usize].fill(0);
        file[offset(300) as usize] ^= 1;
        let mut holed = Slots::parse(&file);
        assert_eq!(holed.damaged, 1);
        assert_eq!(holed.entries().len(), REMEMBERED - 101);
        holed.put(last);
        assert_eq!(holed.entries(), last);
    }

    #[test]
    fn more_entries_than_are_kept_leave_the_newest() {
        let mut slots = Slots::default();
        let all = entries(1..10_000);
        assert_eq!(slots.put(&all).len(), REMEMBERED);
        assert_eq!(slots.entries(), all[all.len() - REMEMBERED..]);
    }
}
