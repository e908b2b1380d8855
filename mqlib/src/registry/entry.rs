//! What an entry of the database says, whole: nothing of it is in its key alone.

use super::Birth;
use crate::credential::{KEY_LEN, NodeKey};
use crate::directory::{Edit, Member, Node, User};
use crate::node::UserId;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;
use std::sync::Arc;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Entry {
    User(u32, StoredUser),
    Member(Arc<str>, u32, Member),
    /// The salt in hex, the tag.
    Birth(String, u32),
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StoredUser {
    name: Arc<str>,
    aliases: Vec<Arc<str>>,
    nodes: Vec<StoredNode>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    dropped: Vec<u8>,
    #[serde(default, skip_serializing_if = "is_false")]
    disabled: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    deleted: bool,
    /// A message's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredNode {
    offset: u8,
    /// Hex.
    key: String,
    /// Seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seen: Option<NonZeroU32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    noticed: Option<NonZeroU32>,
    #[serde(default, skip_serializing_if = "is_false")]
    warned: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    adding: bool,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

impl Entry {
    /// The entry that an edit makes; `None` for one that removes it.
    pub(super) fn of(edit: &Edit) -> Option<Self> {
        match edit {
            Edit::User(id, user) => Some(Self::User(id.0, StoredUser::of(user))),
            Edit::Member(list, user, Some(member)) => {
                Some(Self::Member(list.clone(), user.0, member.clone()))
            }
            Edit::NoUser(_) | Edit::Member(_, _, None) | Edit::Invitation(..) => None,
        }
    }

    /// The edit that makes this entry.
    pub(super) fn into_edit(self) -> Option<Edit> {
        match self {
            Self::User(id, user) => Some(Edit::User(UserId(id), user.into_user()?)),
            Self::Member(list, user, member) => {
                Some(Edit::Member(list, UserId(user), Some(member)))
            }
            Self::Birth(..) => None,
        }
    }

    pub(super) fn birth(birth: &Birth) -> Self {
        Self::Birth(hex(&birth.salt), birth.tag)
    }

    pub(super) fn to_birth(&self) -> Option<Birth> {
        match self {
            Self::Birth(salt, tag) => Some(Birth { salt: unhex(salt)?, tag: *tag }),
            _ => None,
        }
    }
}

impl StoredUser {
    fn of(user: &User) -> Self {
        let nodes = user.nodes.iter().map(|node| StoredNode {
            offset: node.offset,
            key: hex(&node.key.0),
            seen: node.seen,
            noticed: node.noticed,
            warned: node.warned,
            adding: node.adding,
        });
        Self {
            name: user.name.clone(),
            aliases: user.aliases.clone(),
            nodes: nodes.collect(),
            dropped: user.dropped.to_vec(),
            disabled: user.disabled,
            deleted: user.deleted,
            since: user.since.as_ref().map(|id| id.to_string()),
        }
    }

    fn into_user(self) -> Option<User> {
        let nodes = self.nodes.iter().map(|node| {
            let key = NodeKey(unhex(&node.key)?);
            let StoredNode { offset, seen, noticed, warned, adding, .. } = *node;
            Some(Node { offset, key, seen, noticed, warned, adding })
        });
        let since = match self.since {
            Some(id) => Some(Box::new(id.parse().ok()?)),
            None => None,
        };
        Some(User {
            name: self.name,
            aliases: self.aliases,
            nodes: nodes.collect::<Option<_>>()?,
            dropped: self.dropped.into(),
            disabled: self.disabled,
            deleted: self.deleted,
            since,
        })
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(hex: &str) -> Option<[u8; KEY_LEN]> {
    let mut bytes = [0; KEY_LEN];
    if hex.len() != 2 * KEY_LEN {
        return None;
    }
    for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(hex.get(at..at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_that_an_earlier_version_wrote_is_enabled_and_was_never_seen() {
        let key = "07".repeat(KEY_LEN);
        let json = format!(
            r#"{{"user":[3,{{"name":"bob","aliases":[],"nodes":[{{"offset":0,"key":"{key}"}}]}}]}}"#
        );
        let edit = serde_json::from_str::<Entry>(&json).unwrap().into_edit();
        let user = User {
            name: "bob".into(),
            nodes: vec![Node::new(0, NodeKey([7; KEY_LEN]))],
            ..User::default()
        };
        assert_eq!(edit, Some(Edit::User(UserId(3), user)));
        let written = serde_json::to_string(&Entry::of(&edit.unwrap())).unwrap();
        assert_eq!(written, json);
    }

    #[test]
    fn what_the_operator_and_a_login_left_is_read_as_it_was_written() {
        let node = Node {
            seen: NonZeroU32::new(5),
            noticed: NonZeroU32::new(4),
            warned: true,
            adding: true,
            ..Node::new(1, NodeKey([7; KEY_LEN]))
        };
        let user = User {
            name: "bob".into(),
            nodes: vec![node],
            dropped: [2, 0].into(),
            disabled: true,
            deleted: true,
            since: Some(Box::new(crate::id::MessageId::from_bits(9))),
            ..User::default()
        };
        let edit = Edit::User(UserId(3), user);
        let json = serde_json::to_string(&Entry::of(&edit)).unwrap();
        assert_eq!(serde_json::from_str::<Entry>(&json).unwrap().into_edit(), Some(edit));
    }
}
