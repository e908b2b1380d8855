//! What broker and store say to each other, and what can go wrong.

use crate::directory::Edit;
use crate::id::MessageId;
use crate::journal::{self, Post};
use crate::node::NodeId;
use crate::posted::Entry;
use crate::registry::RegistryError;
use crate::spool::{Amount, Content, Glance, Measured, Named, Staged};
use bytes::Bytes;
use std::io;

/// What the broker asks of the store.
#[derive(Debug)]
pub enum SpoolOp {
    /// Make changes of the directory durable. Answered by `Edited`; what is submitted later is not
    /// durable earlier.
    Edit(u64, Vec<Edit>),
    /// Make a message durable, for all its nodes or none; with those that it goes on with, all or
    /// none of them. Answered by `Committed` or `Refused`, in the order submitted; ids increase.
    Commit(Post),
    /// These nodes have acked these messages, all at once. Not answered.
    Delete(Vec<MessageId>, Vec<NodeId>),
    /// What waits for a node, later than an id, oldest first. Answered by `Listed`.
    List(u64, NodeId, MessageId),
    /// A message that waits for a node; is it for one node only? Answered by `Loaded`.
    Read(NodeId, MessageId, bool),
    /// Give the second node all that waits for the first, durably. Answered by `Copied`.
    Copy(u64, NodeId, NodeId),
    /// Remove all that is left of a node that the directory no longer knows, durably: what waits for
    /// it, and what it has posted. What only one node of its user is to have goes to the second.
    /// Answered by `Dropped`.
    Drop(u64, NodeId, Option<NodeId>),
    /// How much waits for nodes now, up to an id; nothing later is theirs yet, nor is anything being
    /// copied to them. Of the others, which are being dropped, what is for one node of their users
    /// counts, too. Answered by `Measured`.
    Measure(u64, MessageId, Vec<NodeId>, Vec<NodeId>),
    /// Take a large body, in so many copies, behind a header of so many bytes. Answered by `Staged`.
    Stage(u64, Bytes, usize, usize),
    /// These large bodies are not needed.
    Unstage(Vec<u64>),
    /// The node went offline with nothing waiting.
    Tidy(NodeId),
    /// What a node has posted lately, up to here. Answered by `Recalled`.
    Recall(u64, NodeId),
    /// As `List`, behind all that was submitted before, and when nothing is on its way to the node from
    /// another one. Answered by `Listed`.
    Find(u64, NodeId, MessageId),
    /// Messages that were listed: their lengths, and their headers if these are wanted; and whether
    /// they wait for all of some other nodes, too. Answered by `Glanced`.
    Glance(u64, NodeId, Vec<(MessageId, bool)>, bool, Vec<NodeId>),
    /// Which queues have messages before an id? Answered by `FoundOlder`.
    FindOlder(MessageId),
    /// Make all deletes that were submitted before durable, now. Answered by `Settled`.
    Settle(u64),
}

/// What the store answers.
#[derive(Debug)]
pub enum SpoolDone {
    /// The changes are durable.
    Edited(u64),
    /// The message is durable, behind all that were committed before.
    Committed(MessageId),
    /// The message was not taken; the sender may try again.
    Refused(MessageId, Refusal),
    /// What waits for a node, each with whether it is for one node only. If there is more behind,
    /// the id up to which this is all. And how many wait in all, about.
    Listed(u64, NodeId, Vec<(MessageId, bool)>, Option<MessageId>, usize),
    /// A message; `None` if it is no longer there, or damaged.
    Loaded(NodeId, MessageId, Option<Bytes>),
    /// A message of so many bytes no longer waits for a node, though nobody acked it: it is damaged,
    /// and in quarantine.
    Lost(NodeId, usize),
    /// The node has all that the other has; how much of it is new to it, but for what is for one node
    /// only.
    Copied(u64, Amount),
    /// Nothing is left of the node.
    Dropped(u64),
    /// How much waited for these nodes when that was asked.
    Measured(Vec<NodeId>, Measured),
    /// The copies of a large body: number, length, checksum.
    Staged(u64, Result<Vec<StagedBody>, Refusal>),
    /// The disk has become full, or has room again. While it is full, changes of the directory are
    /// not to be submitted.
    Full(bool),
    /// What a node has posted lately, the oldest first.
    Recalled(u64, NodeId, Vec<Entry>),
    /// The messages, but for those that are no longer there, or damaged.
    Glanced(u64, Vec<Glance>),
    /// Queues that have such messages, some if there are many.
    FoundOlder(Vec<Named>),
    /// All earlier deletes are durable.
    Settled(u64),
    /// The operator should know. Nothing to be done by the broker.
    Trouble(String),
}

/// A large body on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StagedBody {
    pub(super) number: u64,
    pub(super) len: u64,
    pub(super) crc: u32,
}

impl StagedBody {
    /// The content of the message that begins with `header`.
    pub fn content(self, header: Bytes) -> Content {
        Content::Staged(Staged {
            number: self.number,
            body_len: self.len,
            body_crc: self.crc,
            header,
        })
    }

    /// The number, to give a copy back that is not needed.
    pub fn number(self) -> u64 {
        self.number
    }
}

/// Why a message was not taken. Told to the client, who tries again later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No room for files. The store takes messages again when there is.
    #[error("storage failure: disk full")]
    DiskFull,
    /// The disk refused a file.
    #[error("storage failure")]
    Disk,
}

/// An error after which nothing may be acked: the server exits, and a restart recovers.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    /// The journal could not be written.
    #[error("the journal could not be written")]
    Journal(#[source] io::Error),
    /// The directory could not be written.
    #[error("the directory could not be written")]
    Registry(#[from] RegistryError),
    /// The spool could not be written.
    #[error("the spool could not be written")]
    Spool(#[source] io::Error),
}

/// Why a store cannot be opened. Nothing of it was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The journal is damaged, newer, or refused by the disk.
    #[error(transparent)]
    Journal(#[from] journal::OpenError),
    /// So is the directory.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// Users and lists are gone, but not the messages.
    #[error("directory.redb is missing, but the journal is not: the store is not whole")]
    NoDirectory,
    /// The disk refused.
    #[error("{0}: {1}")]
    Io(&'static str, io::Error),
}
