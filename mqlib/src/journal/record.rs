//! A record of the journal, in bytes.
//!
//! Checksum (CRC32C of all that follows), length of what follows the fixed part, epoch, sequence,
//! kind; then what the kind says. Numbers are little-endian.

use crate::disk::{AlignedBuf, BLOCK};
use crate::id::MessageId;
use crate::node::{NodeId, UserId};
use crate::spool::{Content, Staged};
use bytes::Bytes;

const FIXED: usize = 4 + 4 + 8 + 8 + 1;

const POST: u8 = 1;
const POST_TO_ONE: u8 = 2;
const POST_STAGED: u8 = 3;
const POST_STAGED_TO_ONE: u8 = 4;
const DELETE: u8 = 5;

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
}

/// What the journal keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A message was accepted.
    Post(Post),
    /// Nodes acked messages, one at least.
    Delete(Vec<MessageId>, Vec<NodeId>),
}

impl Record {
    /// Appends the record to a batch.
    pub(super) fn encode(&self, out: &mut AlignedBuf, epoch: u64, sequence: u64) {
        let start = out.len();
        let (kind, id, nodes) = match self {
            Self::Post(post) => {
                let kind = match (&post.content, post.to_one) {
                    (Content::Whole(_), false) => POST,
                    (Content::Whole(_), true) => POST_TO_ONE,
                    (Content::Staged(_), false) => POST_STAGED,
                    (Content::Staged(_), true) => POST_STAGED_TO_ONE,
                };
                (kind, post.id, &post.nodes)
            }
            Self::Delete(ids, nodes) => {
                (DELETE, ids.first().copied().unwrap_or(MessageId::ZERO), nodes)
            }
        };
        // Checksum and length follow when all is written.
        let mut head = [0; FIXED + 16 + 4];
        head[8..16].copy_from_slice(&epoch.to_le_bytes());
        head[16..24].copy_from_slice(&sequence.to_le_bytes());
        head[24] = kind;
        head[FIXED..FIXED + 16].copy_from_slice(&id.to_bits().to_le_bytes());
        head[FIXED + 16..].copy_from_slice(&(nodes.len() as u32).to_le_bytes());
        out.extend(&head);
        for node in nodes {
            encode_node(out, *node);
        }
        match self {
            Self::Post(post) => {
                encode_node(out, post.origin);
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
        }
        let length = (out.len() - start - FIXED) as u32;
        let bytes = &mut out.as_mut_slice()[start..];
        bytes[4..8].copy_from_slice(&length.to_le_bytes());
        let checksum = crc32c::crc32c(&bytes[4..]);
        bytes[..4].copy_from_slice(&checksum.to_le_bytes());
    }

    /// The record at `position` and where it ends, if it is right and of this epoch and sequence.
    pub(super) fn decode(
        content: &Bytes,
        position: usize,
        epoch: u64,
        sequence: u64,
    ) -> Option<(Self, usize)> {
        let fixed = content.get(position..position + FIXED)?;
        let mut rest = fixed;
        let checksum = u32::from_le_bytes(take(&mut rest)?);
        let length = u32::from_le_bytes(take(&mut rest)?) as usize;
        if u64::from_le_bytes(take(&mut rest)?) != epoch
            || u64::from_le_bytes(take(&mut rest)?) != sequence
        {
            return None;
        }
        let [kind] = take(&mut rest)?;
        let end = (position + FIXED).checked_add(length)?;
        if crc32c::crc32c(content.get(position + 4..end)?) != checksum {
            return None;
        }
        let mut rest = content.get(position + FIXED..end)?;
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
            return Some((Self::Delete(ids, nodes), end));
        }
        let origin = decode_node(&mut rest)?;
        let message = match kind {
            POST | POST_TO_ONE => Content::Whole(Bytes::copy_from_slice(rest)),
            POST_STAGED | POST_STAGED_TO_ONE => Content::Staged(Staged {
                number: u64::from_le_bytes(take(&mut rest)?),
                body_len: u64::from_le_bytes(take(&mut rest)?),
                body_crc: u32::from_le_bytes(take(&mut rest)?),
                header: Bytes::copy_from_slice(rest),
            }),
            _ => return None,
        };
        let to_one = matches!(kind, POST_TO_ONE | POST_STAGED_TO_ONE);
        Some((Self::Post(Post { id, origin, nodes, to_one, content: message }), end))
    }
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
