//! A record of the journal, in bytes.
//!
//! Checksum (CRC32C of the segment's nonce and all that follows), length of what follows the fixed
//! part, epoch, sequence, place in the batch, kind; then what the kind says. Numbers are
//! little-endian.
//!
//! The nonce keeps a client from writing something into a message that a replay could take for a
//! record, when it looks for the next one behind damage.

use crate::disk::{AlignedBuf, BLOCK};
use crate::id::MessageId;
use crate::node::{NodeId, UserId};
use crate::posted::PostKey;
use crate::spool::{Content, Staged};
use bytes::Bytes;

pub(super) const FIXED: usize = 4 + 4 + 8 + 8 + 4 + 1;
/// Where the epoch stands in a record.
pub(super) const EPOCH_AT: usize = 8;

const POST: u8 = 1;
const DELETE: u8 = 2;
const END: u8 = 3;
const DROP: u8 = 4;
/// What is special about a post, added to its kind.
const TO_ONE: u8 = 0x10;
const STAGED: u8 = 0x20;
const GOES_ON: u8 = 0x40;
const KEYED: u8 = 0x80;

/// What is the same for all records of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) epoch: u64,
    pub(super) nonce: u32,
}

/// A record as it stands in a segment.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) record: Record,
    pub(super) sequence: u64,
    /// The sequence of its batch's first record.
    pub(super) batch: u64,
    /// Where it ends.
    pub(super) end: usize,
}

/// A message that was accepted, for all its recipients at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Post {
    /// The message.
    pub id: MessageId,
    /// The node that posted it.
    pub origin: NodeId,
    /// The nodes that get it.
    pub nodes: Vec<NodeId>,
    /// Only one of the nodes is to have it: the first that takes it (type 0).
    pub to_one: bool,
    /// The message as it is delivered.
    pub content: Content,
    /// The poster's own id for it, by which a repeat is known; for the last message of a post.
    pub key: Option<PostKey>,
    /// Another message of the same post follows: all of them count, or none.
    pub goes_on: bool,
}

/// What the journal keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A message was accepted.
    Post(Post),
    /// Nodes acked messages, one at least.
    Delete(Vec<MessageId>, Vec<NodeId>),
    /// The server stopped: all before it was durable.
    End,
    /// A node was dropped, and nothing is left of it: what stands before it for that node, or of it,
    /// counts no more.
    Drop(NodeId),
}

impl Record {
    /// Appends the record to a batch, as the `index`th.
    pub(super) fn encode(&self, out: &mut AlignedBuf, place: Place, sequence: u64, index: u32) {
        let start = out.len();
        let dropped;
        let (kind, id, nodes) = match self {
            Self::Post(post) => {
                let mut kind = POST;
                for (is, flag) in [
                    (post.to_one, TO_ONE),
                    (matches!(post.content, Content::Staged(_)), STAGED),
                    (post.goes_on, GOES_ON),
                    (post.key.is_some(), KEYED),
                ] {
                    kind |= if is { flag } else { 0 };
                }
                (kind, post.id, &post.nodes)
            }
            Self::Delete(ids, nodes) => {
                (DELETE, ids.first().copied().unwrap_or(MessageId::ZERO), nodes)
            }
            Self::End => (END, MessageId::ZERO, &Vec::new()),
            Self::Drop(node) => {
                dropped = vec![*node];
                (DROP, MessageId::ZERO, &dropped)
            }
        };
        // Checksum and length follow when all is written.
        let mut head = [0; FIXED + 16 + 4];
        head[EPOCH_AT..16].copy_from_slice(&place.epoch.to_le_bytes());
        head[16..24].copy_from_slice(&sequence.to_le_bytes());
        head[24..28].copy_from_slice(&index.to_le_bytes());
        head[28] = kind;
        head[FIXED..FIXED + 16].copy_from_slice(&id.to_bits().to_le_bytes());
        head[FIXED + 16..].copy_from_slice(&(nodes.len() as u32).to_le_bytes());
        out.extend(&head);
        for node in nodes {
            encode_node(out, *node);
        }
        match self {
            Self::Post(post) => {
                encode_node(out, post.origin);
                if let Some(key) = &post.key {
                    out.extend(key.as_bytes());
                }
                match &post.content {
                    Content::Whole(message) => out.extend(message),
                    Content::Staged(staged) => {
                        out.extend(&staged.number.to_le_bytes());
                        out.extend(&staged.body_len.to_le_bytes());
                        out.extend(&staged.body_crc.to_le_bytes());
                        out.extend(&staged.header);
                    }
                }
            }
            Self::Delete(ids, _) => {
                for id in ids.iter().skip(1) {
                    out.extend(&id.to_bits().to_le_bytes());
                }
            }
            Self::End | Self::Drop(_) => {}
        }
        let length = (out.len() - start - FIXED) as u32;
        let bytes = &mut out.as_mut_slice()[start..];
        bytes[4..8].copy_from_slice(&length.to_le_bytes());
        let checksum = checksum(place.nonce, &bytes[4..]);
        bytes[..4].copy_from_slice(&checksum.to_le_bytes());
    }

    /// The record at `position`, if it is right and of this place, whatever its sequence.
    pub(super) fn decode(content: &Bytes, position: usize, place: Place) -> Option<Found> {
        let mut rest = content.get(position..position.checked_add(FIXED)?)?;
        let stored = u32::from_le_bytes(take(&mut rest)?);
        let length = u32::from_le_bytes(take(&mut rest)?) as usize;
        if u64::from_le_bytes(take(&mut rest)?) != place.epoch {
            return None;
        }
        let sequence = u64::from_le_bytes(take(&mut rest)?);
        let index = u32::from_le_bytes(take(&mut rest)?);
        let [kind] = take(&mut rest)?;
        let end = (position + FIXED).checked_add(length)?;
        if checksum(place.nonce, content.get(position + 4..end)?) != stored {
            return None;
        }
        let record = Self::decode_body(kind, content.get(position + FIXED..end)?)?;
        Some(Found { record, sequence, batch: sequence.checked_sub(index.into())?, end })
    }

    fn decode_body(kind: u8, mut rest: &[u8]) -> Option<Self> {
        let id = MessageId::from_bits(u128::from_le_bytes(take(&mut rest)?));
        let count = u32::from_le_bytes(take(&mut rest)?) as usize;
        let mut nodes = Vec::with_capacity(count.min(rest.len()));
        for _ in 0..count {
            nodes.push(decode_node(&mut rest)?);
        }
        if kind == DELETE {
            let mut ids = vec![id];
            while !rest.is_empty() {
                ids.push(MessageId::from_bits(u128::from_le_bytes(take(&mut rest)?)));
            }
            return Some(Self::Delete(ids, nodes));
        }
        if kind == END {
            return Some(Self::End);
        }
        if kind == DROP {
            return nodes.first().copied().map(Self::Drop);
        }
        if kind & !(TO_ONE | STAGED | GOES_ON | KEYED) != POST {
            return None;
        }
        let is = |flag| kind & flag != 0;
        let origin = decode_node(&mut rest)?;
        let key = match is(KEYED) {
            true => Some(PostKey::from_bytes(take(&mut rest)?)),
            false => None,
        };
        let content = match is(STAGED) {
            false => Content::Whole(Bytes::copy_from_slice(rest)),
            true => Content::Staged(Staged {
                number: u64::from_le_bytes(take(&mut rest)?),
                body_len: u64::from_le_bytes(take(&mut rest)?),
                body_crc: u32::from_le_bytes(take(&mut rest)?),
                header: Bytes::copy_from_slice(rest),
            }),
        };
        let (to_one, goes_on) = (is(TO_ONE), is(GOES_ON));
        Some(Self::Post(Post { id, origin, nodes, to_one, content, key, goes_on }))
    }
}

fn checksum(nonce: u32, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(nonce, bytes)
}

/// Are the bytes from here to the end of the block those that follow a batch?
pub(super) fn is_padding(content: &[u8], position: usize) -> bool {
    let end = position.next_multiple_of(BLOCK).min(content.len());
    content[position..end].iter().all(|&byte| byte == 0)
}

fn encode_node(out: &mut AlignedBuf, node: NodeId) {
    out.extend(&node.user.0.to_le_bytes());
    out.extend(&[node.offset]);
}

fn decode_node(bytes: &mut &[u8]) -> Option<NodeId> {
    let user = UserId(u32::from_le_bytes(take(bytes)?));
    let [offset] = take(bytes)?;
    Some(NodeId { user, offset })
}

/// The next `N` bytes.
pub(super) fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*taken)
}
