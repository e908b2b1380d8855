//! The mark in each message's `etc`: who posted it, the how manieth it is, and a checksum.
//!
//! It is in `etc` because the data may be as short as 3 bytes.

use bytes::Bytes;
use mqclient::Message;
use mqlib::testing::history::{NodeRef, PostRef};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
struct Stamp<'a> {
    run: &'a str,
    user: u32,
    node: u32,
    seq: u64,
    len: usize,
    /// CRC-32C of the data, continued over the rest of the stamp.
    crc: u32,
}

impl Stamp<'_> {
    fn checksum(&self, data: &[u8]) -> u32 {
        let Self { run, user, node, seq, len, crc: _ } = self;
        crc32c::crc32c_append(
            crc32c::crc32c(data),
            format!("{run}/{user}/{node}/{seq}/{len}").as_bytes(),
        )
    }
}

/// The message that is `post` of the run `run`.
pub(crate) fn seal(run: &str, post: PostRef, data: Bytes) -> anyhow::Result<Message> {
    let NodeRef { user, node } = post.from;
    let mut stamp = Stamp { run, user, node, seq: post.seq, len: data.len(), crc: 0 };
    stamp.crc = stamp.checksum(&data);
    Ok(Message::new(&stamp, data)?)
}

/// Which post of the run this is; the error says what is wrong with it.
pub(crate) fn open(run: &str, etc: Option<&[u8]>, data: &[u8]) -> Result<PostRef, String> {
    let etc = etc.ok_or_else(|| format!("{} bytes of data without a stamp", data.len()))?;
    let stamp: Stamp<'_> = serde_json::from_slice(etc)
        .map_err(|error| format!("no stamp: {error}: {:?}", String::from_utf8_lossy(etc)))?;
    if stamp.run != run {
        return Err(format!("of another run: {}", stamp.run));
    }
    let Stamp { user, node, seq, len, .. } = stamp;
    let post = PostRef { from: NodeRef { user, node }, seq };
    if data.len() != len {
        return Err(format!("{post} has {} bytes in place of {len}", data.len()));
    }
    if stamp.checksum(data) != stamp.crc {
        return Err(format!("{post} has other contents than were posted"));
    }
    Ok(post)
}

#[cfg(test)]
mod tests {
    use super::*;

    const POST: PostRef = PostRef { from: NodeRef { user: 3, node: 1 }, seq: 9 };

    fn sealed() -> (String, Bytes) {
        let message = seal("r", POST, Bytes::from_static(b"abc")).unwrap();
        (message.etc.unwrap().get().to_owned(), message.data)
    }

    #[test]
    fn what_was_sealed_opens() {
        let (etc, data) = sealed();
        assert_eq!(open("r", Some(etc.as_bytes()), &data), Ok(POST));
    }

    #[test]
    fn any_change_to_data_or_stamp_shows() {
        let (etc, _) = sealed();
        for data in [&b"abd"[..], b"ab", b"", b"abcd"] {
            assert!(open("r", Some(etc.as_bytes()), data).is_err(), "{data:?}");
        }
        let changed = etc.replace("\"seq\":9", "\"seq\":8");
        assert_ne!(changed, etc);
        assert!(open("r", Some(changed.as_bytes()), b"abc").is_err());
        assert!(open("r", None, b"abc").is_err());
        assert!(open("other", Some(etc.as_bytes()), b"abc").is_err());
    }
}
