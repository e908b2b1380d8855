//! An entry's own checksum, so that it is known for what it is wherever its bytes are found.
//!
//! `mq1:<CRC32C of what follows>:<length of the JSON>:<JSON>`, both numbers in eight hex digits. The
//! JSON is an array of the number of the commit that wrote the entry, and the entry.

use super::entry::Entry;

const START: &str = "mq1:";
/// How long what goes before the JSON is.
pub(super) const HEAD: usize = START.len() + 9 + 9;
/// Where the checksum ends, and what it covers begins.
const COVERED: usize = START.len() + 9;

/// The entry behind its checksum.
pub(super) fn seal(commit: u64, entry: &Entry) -> String {
    // Strings and numbers only: this cannot fail.
    let json = serde_json::to_string(&(commit, entry)).unwrap_or_default();
    let covered = format!("{:08x}:{json}", json.len());
    format!("{START}{:08x}:{covered}", crc32c::crc32c(covered.as_bytes()))
}

/// The entry, and the commit that wrote it, if it is what was sealed.
pub(super) fn open(sealed: &str) -> Option<(u64, Entry)> {
    let (end, commit, entry) = open_at(sealed.as_bytes())?;
    (end == sealed.len()).then_some((commit, entry))
}

/// The entry that begins here, and where it ends.
pub(super) fn open_at(bytes: &[u8]) -> Option<(usize, u64, Entry)> {
    let end = end(bytes)?;
    let stored = format!("{START}{:08x}:", crc32c::crc32c(bytes.get(COVERED..end)?));
    if bytes[..COVERED] != *stored.as_bytes() {
        return None;
    }
    let (commit, entry) = serde_json::from_slice(&bytes[HEAD..end]).ok()?;
    Some((end, commit, entry))
}

/// Where an entry that begins here says that it ends.
pub(super) fn end(bytes: &[u8]) -> Option<usize> {
    let head = std::str::from_utf8(bytes.get(..HEAD)?).ok()?;
    let length = u32::from_str_radix(head.get(COVERED..HEAD - 1)?, 16).ok()?;
    HEAD.checked_add(length as usize)
}

/// Where the next entry may begin.
pub(super) fn find(bytes: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, START.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Birth;

    #[test]
    fn a_sealed_entry_opens_and_any_flipped_bit_shows() {
        let entry = Entry::birth(&Birth { salt: [7; 32], tag: 9 });
        let sealed = seal(3, &entry);
        let (commit, opened) = open(&sealed).unwrap();
        assert_eq!((commit, opened.to_birth()), (3, entry.to_birth()));
        for at in 0..sealed.len() {
            let mut damaged = sealed.clone().into_bytes();
            damaged[at] ^= 1;
            assert!(open(std::str::from_utf8(&damaged).unwrap()).is_none(), "bit at {at}");
        }
    }
}
