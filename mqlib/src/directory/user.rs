//! Users and their nodes, as the directory knows them.

use crate::credential::NodeKey;
use crate::id::MessageId;
use std::num::NonZeroU32;
use std::sync::Arc;

/// A user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct User {
    /// The name, unique among users.
    pub name: Arc<str>,
    /// The aliases, unique in the directory, in the order given.
    pub aliases: Vec<Arc<str>>,
    /// The nodes, by offset.
    pub nodes: Vec<Node>,
    /// Offsets of nodes that were dropped, as long as anything of them may be left: until then they
    /// are not given again. Of a user without nodes, the last of them is the heir of those before it.
    pub dropped: Box<[u8]>,
    /// Its nodes may not log in, nor be added; what is posted to it waits.
    pub disabled: bool,
    /// The operator has deleted it. It is no user any more, and its name is taken until nothing of
    /// its nodes is left.
    pub deleted: bool,
    /// Messages up to this one are not its own, though they may be of an earlier user of its name;
    /// none if there was no such user.
    pub since: Option<Box<MessageId>>,
}

/// A node as the directory knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node {
    /// 0–99, unique in its user.
    pub offset: u8,
    /// The hash of its name.
    pub key: NodeKey,
    /// When it was last online, in seconds since 1970, if it ever was: never later than the truth.
    /// What is stored may be a day behind.
    pub seen: Option<NonZeroU32>,
    /// When it was first noticed that this is not known, in seconds since 1970.
    pub noticed: Option<NonZeroU32>,
    /// Its user was warned that it will be dropped if it stays away.
    pub warned: bool,
    /// It was added, and may not have all that waited then: nobody was told that it is there.
    pub adding: bool,
}

impl Node {
    /// A node that was never online.
    pub fn new(offset: u8, key: NodeKey) -> Self {
        Self { offset, key, seen: None, noticed: None, warned: false, adding: false }
    }
}
