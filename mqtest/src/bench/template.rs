//! A post, made once; for each one sent a copy is taken, and id, names and stamp are filled in.

use super::people;
use super::stamp::{self, Stamp};
use anyhow::{Context, ensure};
use bytes::Bytes;
use mqlib::header::MAX_HEADER;

/// The length of a post's id: the slot that waits for its ack, and its number, eight hex digits each.
pub(crate) const ID_LEN: usize = 16;
/// What stands between the names of two recipients.
const BETWEEN: &str = "\":1,\"";

/// A post to a fixed number of users, of a fixed size.
#[derive(Debug)]
pub(crate) struct Template {
    bytes: Vec<u8>,
    id_at: usize,
    names_at: usize,
    names: usize,
    stamp_at: usize,
}

impl Template {
    /// A post to `names` users with `size` bytes of data.
    pub(crate) fn new(names: usize, size: usize) -> anyhow::Result<Self> {
        ensure!(names > 0, "a post needs a recipient");
        ensure!(size >= stamp::LEN, "a message is at least {} bytes", stamp::LEN);
        let before_id = r#"{"op":"post","id":""#;
        let before_names = r#"","to":{""#;
        let id = "0".repeat(ID_LEN);
        let to = vec!["0".repeat(people::NAME_LEN); names].join(BETWEEN);
        let header = format!(r#"{before_id}{id}{before_names}{to}":1}}}}"#);
        ensure!(header.len() <= MAX_HEADER, "{names} recipients do not fit into a header");
        let mut bytes = format!("{:<4x}{header}", header.len()).into_bytes();
        let stamp_at = bytes.len();
        // Nothing that a compressing disk could make small, and the same in every run.
        let mut noise = 0x9e37_79b9_7f4a_7c15_u64;
        bytes.extend(
            std::iter::repeat_with(|| {
                noise ^= noise << 13;
                noise ^= noise >> 7;
                noise ^= noise << 17;
                noise as u8
            })
            .take(size),
        );
        let id_at = 4 + before_id.len();
        let names_at = id_at + ID_LEN + before_names.len();
        Ok(Self { bytes, id_at, names_at, names, stamp_at })
    }

    /// A post to these users, as many as were announced.
    pub(crate) fn fill(
        &self,
        slot: u32,
        stamp: Stamp,
        users: impl IntoIterator<Item = u32>,
    ) -> Bytes {
        let mut bytes = self.bytes.clone();
        write_hex(&mut bytes[self.id_at..self.id_at + 8], slot);
        write_hex(&mut bytes[self.id_at + 8..self.id_at + ID_LEN], stamp.number);
        let mut at = self.names_at;
        for user in users.into_iter().take(self.names) {
            people::write_user(&mut bytes[at..at + people::NAME_LEN], user);
            at += people::NAME_LEN + BETWEEN.len();
        }
        bytes[self.stamp_at..self.stamp_at + stamp::LEN].copy_from_slice(&stamp.to_bytes());
        bytes.into()
    }
}

fn write_hex(out: &mut [u8], value: u32) {
    for (place, digit) in out.iter_mut().rev().enumerate() {
        *digit = b"0123456789abcdef"[(value >> (4 * place)) as usize & 15];
    }
}

/// The slot in a post's id, as the ack gives it back.
pub(crate) fn slot(id: &[u8]) -> anyhow::Result<u32> {
    let digits = id.get(..8).filter(|_| id.len() == ID_LEN);
    let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
    let slot = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
    slot.with_context(|| format!("an ack for {:?}, an id we never gave", id.escape_ascii()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mqlib::request::{Incoming, Request};

    #[test]
    fn a_filled_template_is_the_post_it_should_be() {
        let template = Template::new(3, 1000).unwrap();
        let stamp = Stamp { sent: 5, poster: 6, number: 0xabc };
        let message = template.fill(0x1f, stamp, [0, 42, 9_999_999]);
        let Ok(Request::Post { id, to, no_nodes, content }) =
            Incoming::parse(&message).unwrap().request
        else {
            panic!("no post");
        };
        assert_eq!(id, "0000001f00000abc");
        assert_eq!(slot(id.as_bytes()).unwrap(), 0x1f);
        let names: Vec<_> = to.iter().map(|(name, _)| name.clone()).collect();
        assert_eq!(names, [0, 42, 9_999_999].map(people::user));
        assert!(to.iter().all(|(_, kind)| *kind == mqlib::request::Kind::AllNodes));
        assert!(!no_nodes);
        assert_eq!(content.body.len(), 1000);
        assert_eq!(Stamp::read(&content.body), Some(stamp));
    }

    #[test]
    fn one_post_leaves_nothing_behind_in_the_next() {
        let template = Template::new(1, 16).unwrap();
        let stamp = Stamp { sent: u64::MAX, poster: u32::MAX, number: u32::MAX };
        template.fill(u32::MAX, stamp, [1]);
        let stamp = Stamp { sent: 0, poster: 0, number: 0 };
        assert_eq!(template.fill(0, stamp, [2]), template.fill(0, stamp, [2]));
    }

    #[test]
    fn what_makes_no_post_is_refused() {
        assert!(Template::new(0, 100).is_err());
        assert!(Template::new(1, 15).is_err());
        assert!(Template::new(6000, 16).is_err());
        for id in ["", "0000001", "0000001f00000ab", "xxxxxxxx00000000"] {
            assert!(slot(id.as_bytes()).is_err(), "{id:?}");
        }
    }
}
