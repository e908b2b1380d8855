//! The head of a segment: what use of it this is, and what the ring was like when that began.
//!
//! It stands twice in the segment's first block, so that damage to one copy harms nobody. Each is
//! magic, version, nonce, epoch, the oldest epoch still needed, the first record's sequence, the
//! last id before it, the segment's length, how many segments there are, and a checksum.

use super::OpenError;
use super::record::{Place, take};
use crate::disk::{AlignedBuf, BLOCK};
use crate::id::MessageId;

/// The version of everything on disk; a store of another one is refused.
pub const VERSION: u32 = 2;

const MAGIC: [u8; 8] = *b"wsMQjrnl";
const LEN: usize = 80;
/// Where the copies begin.
const COPIES: [usize; 2] = [0, BLOCK / 2];

/// A segment's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) nonce: u32,
    pub(super) epoch: u64,
    pub(super) oldest: u64,
    pub(super) sequence: u64,
    pub(super) last_id: MessageId,
    pub(super) len: u64,
    pub(super) count: u64,
}

/// What a segment's first block says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// It was never used.
    Unused,
    /// The head, and whether one of its copies is damaged.
    Head(Head, bool),
}

impl Head {
    /// What its records have in common.
    pub(super) fn place(&self) -> Place {
        Place { epoch: self.epoch, nonce: self.nonce }
    }

    /// The segment's first block.
    pub(super) fn encode(&self) -> AlignedBuf {
        let mut block = AlignedBuf::new();
        for at in COPIES {
            block.resize(at);
            block.extend(&MAGIC);
            block.extend(&VERSION.to_le_bytes());
            block.extend(&self.nonce.to_le_bytes());
            for word in [self.epoch, self.oldest, self.sequence] {
                block.extend(&word.to_le_bytes());
            }
            block.extend(&self.last_id.to_bits().to_le_bytes());
            for word in [self.len, self.count] {
                block.extend(&word.to_le_bytes());
            }
            block.resize(at + LEN);
            let checksum = crc32c::crc32c(&block.as_slice()[at..]);
            block.extend(&checksum.to_le_bytes());
        }
        block.resize(BLOCK);
        block
    }

    /// Reads the first block of `path`.
    pub(super) fn decode(path: &str, block: &[u8]) -> Result<Read, OpenError> {
        let damaged = || OpenError::Damaged(path.to_owned());
        if block.len() < BLOCK {
            return Err(OpenError::Cut(path.to_owned()));
        }
        if block.iter().all(|&byte| byte == 0) {
            return Ok(Read::Unused);
        }
        let copies = COPIES.map(|at| Self::decode_copy(&block[at..]));
        let newest = copies.iter().flatten().filter_map(|copy| copy.as_ref().ok());
        match newest.copied().max_by_key(|head| head.epoch) {
            Some(head) => Ok(Read::Head(head, copies.iter().any(Option::is_none))),
            None => match copies.into_iter().flatten().find_map(Result::err) {
                Some(version) => Err(OpenError::Version { path: path.to_owned(), version }),
                None => Err(damaged()),
            },
        }
    }

    /// `None` for one that is damaged; the version of one that is whole and not ours.
    fn decode_copy(bytes: &[u8]) -> Option<Result<Self, u32>> {
        let mut rest = bytes.get(..LEN)?;
        let stored = bytes.get(LEN..LEN + 4)?;
        let magic = take(&mut rest)?;
        let version = u32::from_le_bytes(take(&mut rest)?);
        if magic != MAGIC {
            return None;
        }
        if crc32c::crc32c(&bytes[..LEN]).to_le_bytes() != stored {
            // Of another version the checksum may stand elsewhere; a flipped bit looks like none.
            let flipped = (version ^ VERSION).count_ones() == 1;
            return if version == VERSION || flipped { None } else { Some(Err(version)) };
        }
        if version != VERSION {
            return Some(Err(version));
        }
        let nonce = u32::from_le_bytes(take(&mut rest)?);
        let mut words = [0; 3];
        for word in &mut words {
            *word = u64::from_le_bytes(take(&mut rest)?);
        }
        let [epoch, oldest, sequence] = words;
        let last_id = MessageId::from_bits(u128::from_le_bytes(take(&mut rest)?));
        let len = u64::from_le_bytes(take(&mut rest)?);
        let count = u64::from_le_bytes(take(&mut rest)?);
        Some(Ok(Self { nonce, epoch, oldest, sequence, last_id, len, count }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(epoch: u64) -> Head {
        let last_id = MessageId::from_bits(7);
        Head { nonce: 5, epoch, oldest: 1, sequence: 3, last_id, len: 8192, count: 4 }
    }

    #[test]
    fn a_flipped_bit_anywhere_is_outlived() {
        let whole = head(9).encode();
        assert_eq!(Head::decode("s", whole.as_slice()).unwrap(), Read::Head(head(9), false));
        for byte in 0..BLOCK {
            for bit in 0..8 {
                let mut block = whole.as_slice().to_vec();
                block[byte] ^= 1 << bit;
                let Read::Head(read, _) = Head::decode("s", &block).unwrap() else { panic!() };
                assert_eq!(read, head(9), "bit {bit} of byte {byte}");
            }
        }
    }

    #[test]
    fn of_a_head_whose_write_was_torn_the_newer_copy_counts() {
        let (old, new) = (head(8).encode(), head(9).encode());
        for (first, second) in [(&old, &new), (&new, &old)] {
            let torn = [&first.as_slice()[..BLOCK / 2], &second.as_slice()[BLOCK / 2..]].concat();
            assert_eq!(Head::decode("s", &torn).unwrap(), Read::Head(head(9), false));
        }
    }

    #[test]
    fn another_version_is_told_and_what_is_damaged_twice_is_refused() {
        let mut block = head(9).encode().as_slice().to_vec();
        for at in COPIES {
            block[at + 8] = 1 + 4;
        }
        assert!(matches!(Head::decode("s", &block), Err(OpenError::Version { version: 5, .. })));
        for at in COPIES {
            block[at] = 0;
        }
        assert!(matches!(Head::decode("s", &block), Err(OpenError::Damaged(_))));
        assert!(matches!(Head::decode("s", &[]), Err(OpenError::Cut(_))));
    }
}
