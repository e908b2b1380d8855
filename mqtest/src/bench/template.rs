//! A post, made once; each one sent is a copy in which id, names and stamp are filled in.

use super::people;
use super::stamp::{self, Stamp};
use anyhow::{Context, ensure};
use mqlib::header::MAX_HEADER;

/// The length of a post's id: the slot that waits for its ack, and its number, eight hex digits each.
pub(crate) const ID_LEN: usize = 16;
/// What stands between the names of two recipients.
const BETWEEN: &str = "\":1,\"";
const BEFORE_ID: &str = r#"{"op":"post","id":""#;
const BEFORE_NAMES: &str = r#"","to":{""#;
/// Where the id stands.
const ID_AT: usize = 4 + BEFORE_ID.len();
/// Where the first recipient stands.
const NAMES_AT: usize = ID_AT + ID_LEN + BEFORE_NAMES.len();

/// A post of a fixed size, to a fixed number of users or to a list.
#[derive(Debug)]
pub(crate) struct Template {
    bytes: Vec<u8>,
    /// How many users are filled in.
    names: usize,
    stamp_at: usize,
}

impl Template {
    /// A post to `names` users with `size` bytes of data.
    pub(crate) fn new(names: usize, size: usize) -> anyhow::Result<Self> {
        ensure!(names > 0, "a post needs a recipient");
        let to = vec!["0".repeat(people::NAME_LEN); names].join(BETWEEN);
        Self::with(&format!(r#"{to}":1"#), names, size)
    }

    /// A post to a list with `size` bytes of data.
    pub(crate) fn to_list(list: &str, size: usize) -> anyhow::Result<Self> {
        Self::with(&format!(r#"{list}":2"#), 0, size)
    }

    fn with(to: &str, names: usize, size: usize) -> anyhow::Result<Self> {
        ensure!(size >= stamp::LEN, "a message is at least {} bytes", stamp::LEN);
        let id = "0".repeat(ID_LEN);
        let header = format!("{BEFORE_ID}{id}{BEFORE_NAMES}{to}}}}}");
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
        Ok(Self { bytes, names, stamp_at })
    }

    /// The length of a post.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Appends a post to these users, as many as were announced.
    pub(crate) fn write(
        &self,
        out: &mut Vec<u8>,
        slot: u32,
        stamp: Stamp,
        users: impl IntoIterator<Item = u32>,
    ) {
        let start = out.len();
        out.extend_from_slice(&self.bytes);
        let bytes = &mut out[start..];
        write_hex(&mut bytes[ID_AT..ID_AT + 8], slot);
        write_hex(&mut bytes[ID_AT + 8..ID_AT + ID_LEN], stamp.number);
        let mut at = NAMES_AT;
        for user in users.into_iter().take(self.names) {
            people::write_user(&mut bytes[at..at + people::NAME_LEN], user);
            at += people::NAME_LEN + BETWEEN.len();
        }
        bytes[self.stamp_at..self.stamp_at + stamp::LEN].copy_from_slice(&stamp.to_bytes());
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
    use bytes::Bytes;
    use mqlib::request::{Incoming, Kind, Request};

    fn written(
        template: &Template,
        slot: u32,
        stamp: Stamp,
        users: &[u32],
    ) -> (String, Vec<(String, Kind)>, Bytes) {
        let mut out = b"before".to_vec();
        template.write(&mut out, slot, stamp, users.iter().copied());
        assert_eq!(out.len(), 6 + template.len());
        let message = Bytes::from(out).slice(6..);
        let request = Incoming::parse(&message).unwrap().request;
        let Ok(Request::Post { id, to, no_nodes: false, content }) = request else {
            panic!("no post");
        };
        (id, to, content.body)
    }

    #[test]
    fn a_filled_template_is_the_post_it_should_be() {
        let template = Template::new(3, 1000).unwrap();
        let stamp = Stamp { sent: 5, poster: 6, number: 0xabc };
        let users = [0, 42, 9_999_999];
        let (id, to, body) = written(&template, 0x1f, stamp, &users);
        assert_eq!(id, "0000001f00000abc");
        assert_eq!(slot(id.as_bytes()).unwrap(), 0x1f);
        assert_eq!(to, users.map(|user| (people::user(user), Kind::AllNodes)));
        assert_eq!(body.len(), 1000);
        assert_eq!(Stamp::read(&body), Some(stamp));
    }

    #[test]
    fn a_post_to_a_list_names_the_list() {
        let template = Template::to_list("everybody", 16).unwrap();
        let stamp = Stamp { sent: 5, poster: 6, number: 7 };
        let (_, to, body) = written(&template, 0, stamp, &[]);
        assert_eq!(to, [("everybody".to_owned(), Kind::List)]);
        assert_eq!(body, &stamp.to_bytes()[..]);
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
