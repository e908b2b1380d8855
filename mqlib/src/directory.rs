//! The directory: users with their nodes and aliases, and lists with their members.
//!
//! It lives in memory whole, and answers by small numbers. Every change is an [`Edit`]: a method
//! checks the request, applies its edits here, and hands them out to be made durable; the same
//! edits fill the directory at a start. A request that changed it is answered when its edits are
//! durable, not before.

mod edit;
mod error;
mod invitations;
mod list;
#[cfg(test)]
mod tests;
mod user;

pub use edit::Edit;
pub use error::{AddNodeError, DropNodeError, NoUser, RegisterError};
pub use invitations::{InviteError, Registration};
pub use list::{ListChange, ListError, Member};
pub use user::{Node, User};

use crate::by_user::ByUser;
use crate::credential::{InvitationKey, NodeKey};
use crate::id::MessageId;
use crate::limits::AccountLimits;
use crate::name;
use crate::node::{MAX_NODES, NodeId, UserId};
use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU32;
use std::sync::Arc;

/// The directory. Its owner is the broker.
#[derive(Debug, Default)]
pub struct Directory {
    users: ByUser<User>,
    names: HashMap<Arc<str>, UserId>,
    aliases: HashMap<Arc<str>, UserId>,
    /// By name, so that they can be told in order.
    lists: BTreeMap<Arc<str>, BTreeMap<UserId, Member>>,
    /// The lists that each user is in, fully or invited, if in any.
    in_lists: HashMap<UserId, Vec<Arc<str>>>,
    /// What is kept of invitations that are not used up, and when each expires, in ms since 1970.
    invitations: HashMap<InvitationKey, u64>,
    /// The next user's number.
    next_user: u32,
    /// How many users there are, and nodes of theirs.
    count: (usize, usize),
    limits: AccountLimits,
}

/// A node's name in a request: its key, or why it has none.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Credential {
    /// The name was empty.
    #[default]
    Empty,
    /// The name is none that a node may have.
    Invalid,
    /// The name is none that a client may choose: it has the form of those that we issue.
    Reserved,
    /// The name's hash.
    Key(NodeKey),
}

impl Directory {
    /// A directory with a next user's number, to be filled by [`apply`](Self::apply).
    pub fn new(next_user: u32) -> Self {
        Self { next_user, ..Self::default() }
    }

    /// What each user may have from now on; what is there stays.
    pub fn limit(&mut self, limits: AccountLimits) {
        self.limits = limits;
    }

    /// Makes a change that was checked, or stored, before.
    pub fn apply(&mut self, edit: &Edit) {
        match edit {
            Edit::User(id, user) => self.put_user(*id, user.clone()),
            Edit::NoUser(id) => self.remove_user(*id),
            Edit::Member(list, user, Some(member)) => {
                let members = self.lists.entry(list.clone()).or_default();
                if members.insert(*user, member.clone()).is_none() {
                    self.in_lists.entry(*user).or_default().push(list.clone());
                }
            }
            Edit::Member(list, user, None) => self.take_out(list, *user),
            Edit::Invitation(key, Some(expires)) => drop(self.invitations.insert(*key, *expires)),
            Edit::Invitation(key, None) => drop(self.invitations.remove(key)),
        }
    }

    fn put_user(&mut self, id: UserId, user: User) {
        self.uncount(id);
        self.count.0 += usize::from(!user.deleted);
        self.count.1 += user.nodes.len();
        if let Some(before) = self.users.get(id) {
            for alias in &before.aliases {
                self.aliases.remove(alias);
            }
        }
        for alias in &user.aliases {
            self.aliases.insert(alias.clone(), id);
        }
        self.names.insert(user.name.clone(), id);
        self.next_user = self.next_user.max(id.0 + 1);
        self.users.insert(id, user);
    }

    fn uncount(&mut self, id: UserId) {
        if let Some(user) = self.users.get(id) {
            self.count.0 -= usize::from(!user.deleted);
            self.count.1 -= user.nodes.len();
        }
    }

    fn remove_user(&mut self, id: UserId) {
        self.uncount(id);
        let Some(user) = self.users.get(id) else { return };
        for alias in &user.aliases {
            self.aliases.remove(alias);
        }
        if self.names.get(&user.name) == Some(&id) {
            self.names.remove(&user.name);
        }
        self.users.remove(id);
    }

    /// The user of this name.
    pub fn user_id(&self, name: &str) -> Option<UserId> {
        let id = *self.names.get(name)?;
        self.user(id).filter(|user| !user.deleted).map(|_| id)
    }

    /// The user with this number, which may have been [deleted](User::deleted) a moment ago.
    pub fn user(&self, id: UserId) -> Option<&User> {
        self.users.get(id)
    }

    /// The owner of this alias.
    pub fn alias(&self, alias: &str) -> Option<UserId> {
        self.aliases.get(alias).copied()
    }

    /// No user has this number, or a larger one.
    pub fn end(&self) -> UserId {
        UserId(self.next_user)
    }

    /// All users, in the order of their numbers.
    pub fn users(&self) -> impl Iterator<Item = (UserId, &User)> {
        self.users.iter().filter(|(_, user)| !user.deleted)
    }

    /// The users behind a number, or from the first, in that order.
    pub(crate) fn users_from(&self, first: UserId) -> impl Iterator<Item = (UserId, &User)> {
        self.users.iter_from(first).filter(|(_, user)| !user.deleted)
    }

    /// Users that were deleted, and of which something may be left.
    pub fn leaving(&self) -> impl Iterator<Item = (UserId, &User)> {
        self.users.iter().filter(|(_, user)| user.deleted)
    }

    /// How many users there are.
    pub fn user_count(&self) -> usize {
        self.count.0
    }

    /// How many nodes they have.
    pub fn node_count(&self) -> usize {
        self.count.1
    }

    /// Who is in which list, and how.
    pub fn members(&self) -> impl Iterator<Item = (&str, UserId, &Member)> {
        self.lists.iter().flat_map(|(list, members)| {
            members.iter().map(move |(user, member)| (&**list, *user, member))
        })
    }

    /// The node of `user` whose name has this key.
    pub fn node(&self, user: UserId, key: &NodeKey) -> Option<NodeId> {
        let nodes = &self.user(user)?.nodes;
        nodes.iter().find(|node| node.key == *key).map(|node| NodeId { user, offset: node.offset })
    }

    /// All nodes of a user.
    pub fn nodes(&self, user: UserId) -> impl Iterator<Item = NodeId> {
        let nodes = self.user(user).map(|user| user.nodes.as_slice()).unwrap_or_default();
        nodes.iter().map(move |node| NodeId { user, offset: node.offset })
    }

    /// Creates a user with its node 0, when `last` is the last message's id. The aliases accepted, or
    /// `None` if none were asked for.
    pub fn register(
        &mut self,
        name: &str,
        node: Credential,
        aliases: &str,
        last: MessageId,
    ) -> Result<(Option<String>, Vec<Edit>), RegisterError> {
        if !name::is_valid(name) {
            return Err(RegisterError::InvalidName);
        }
        // Also of one that is leaving: the name is free when nothing is left.
        if let Some(user) = self.names.get(name).and_then(|id| self.user(*id)) {
            return Err(RegisterError::Exists(user.aliases.join(" ")));
        }
        let key = match node {
            Credential::Empty => return Err(RegisterError::NodeRequired),
            Credential::Invalid => return Err(RegisterError::InvalidName),
            Credential::Reserved => return Err(RegisterError::NodeReserved),
            Credential::Key(key) => key,
        };
        let accepted = self.accept(aliases, None)?;
        let answer = (!aliases.is_empty()).then(|| accepted.join(" "));
        let nodes = vec![Node::new(0, key)];
        // Without a gap in the numbers nobody was ever deleted.
        let had_others = self.names.len() < self.next_user as usize;
        let since = had_others.then(|| Box::new(last));
        let user = User { name: name.into(), aliases: accepted, nodes, since, ..User::default() };
        Ok((answer, self.change(vec![Edit::User(UserId(self.next_user), user)])))
    }

    /// Replaces a user's aliases; an empty string changes nothing. The aliases accepted, or `None`
    /// if none were asked for.
    pub fn set_aliases(
        &mut self,
        own: UserId,
        name: &str,
        node: Credential,
        aliases: &str,
    ) -> Result<(Option<String>, Vec<Edit>), RegisterError> {
        let user = self.user(own).filter(|user| &*user.name == name);
        let mut user = user.ok_or(RegisterError::NotOneself)?.clone();
        if node != Credential::Empty {
            return Err(RegisterError::NodeUnwanted);
        }
        if aliases.is_empty() {
            return Ok((None, Vec::new()));
        }
        user.aliases = self.accept(aliases, Some(own))?;
        let answer = user.aliases.join(" ");
        Ok((Some(answer), self.change(vec![Edit::User(own, user)])))
    }

    /// The aliases that `own` may have of those asked for: of doubled ones the last, none of
    /// another's.
    fn accept(&self, aliases: &str, own: Option<UserId>) -> Result<Vec<Arc<str>>, RegisterError> {
        let mut accepted: Vec<Arc<str>> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for alias in aliases.split_whitespace().rev() {
            if !name::is_valid(alias) {
                return Err(RegisterError::InvalidName);
            }
            if seen.insert(alias) && self.alias(alias).is_none_or(|owner| Some(owner) == own) {
                accepted.push(alias.into());
            }
        }
        if accepted.len() > self.limits.aliases_per_user {
            return Err(RegisterError::TooManyAliases(self.limits.aliases_per_user));
        }
        accepted.reverse();
        Ok(accepted)
    }

    /// Checks an addNode's credential: the node whose queue the new one gets. Logged in, that is
    /// one's own.
    pub fn prev_node(
        &self,
        own: Option<NodeId>,
        user: &str,
        prev: Credential,
    ) -> Result<NodeId, AddNodeError> {
        let user = match own {
            Some(own) => own.user,
            None => self.user_id(user).ok_or(AddNodeError::UserUnknown)?,
        };
        let found = match prev {
            Credential::Key(key) => self.node(user, &key),
            Credential::Empty | Credential::Invalid | Credential::Reserved => None,
        };
        match (found, own) {
            (Some(_), _) if self.is_disabled(user) => Err(AddNodeError::Disabled),
            (Some(_), Some(own)) => Ok(own),
            (Some(prev), None) => Ok(prev),
            (None, Some(_)) => Err(AddNodeError::PrevInvalid),
            (None, None) => Err(AddNodeError::NodeUnknown),
        }
    }

    /// Adds a node at the lowest free offset.
    pub fn add_node(
        &mut self,
        user: UserId,
        node: Credential,
    ) -> Result<(NodeId, Vec<Edit>), AddNodeError> {
        let key = match node {
            Credential::Empty => return Err(AddNodeError::NodeRequired),
            Credential::Invalid => return Err(AddNodeError::InvalidName),
            Credential::Reserved => return Err(AddNodeError::NodeReserved),
            Credential::Key(key) => key,
        };
        if let Some(node) = self.node(user, &key) {
            return Err(AddNodeError::Exists(node.offset));
        }
        let mut changed = self.user(user).ok_or(AddNodeError::UserUnknown)?.clone();
        let taken = |offset: &u8| {
            changed.dropped.contains(offset)
                || changed.nodes.iter().any(|node| node.offset == *offset)
        };
        let free = (0..MAX_NODES as u8).find(|offset| !taken(offset));
        let offset = free.ok_or(AddNodeError::NoOffsets)?;
        if changed.nodes.len() >= self.limits.nodes_per_user {
            return Err(AddNodeError::TooManyNodes(self.limits.nodes_per_user));
        }
        changed.nodes.push(Node { adding: true, ..Node::new(offset, key) });
        changed.nodes.sort_by_key(|node| node.offset);
        let edits = self.change(vec![Edit::User(user, changed)]);
        Ok((NodeId { user, offset }, edits))
    }

    /// A node that was added has all that waited.
    pub(crate) fn added(&mut self, node: NodeId) -> Vec<Edit> {
        match self.node_mut(node) {
            Some(known) if known.adding => known.adding = false,
            _ => return Vec::new(),
        }
        self.user(node.user).map(|user| Edit::User(node.user, user.clone())).into_iter().collect()
    }

    /// Takes a node away that is not its user's last. Its offset stays taken until it is
    /// [freed](Self::free).
    pub fn drop_node(
        &mut self,
        user: UserId,
        offset: u64,
    ) -> Result<(NodeId, Vec<Edit>), DropNodeError> {
        let nodes = self.user(user).map(|user| user.nodes.as_slice());
        match nodes.unwrap_or_default() {
            [last] if u64::from(last.offset) == offset => Err(DropNodeError::Last(offset)),
            _ => self.take_node(user, offset),
        }
    }

    /// Takes a node away, the last one, too.
    pub fn take_node(
        &mut self,
        user: UserId,
        offset: u64,
    ) -> Result<(NodeId, Vec<Edit>), DropNodeError> {
        let not_found = DropNodeError::NotFound(offset);
        let mut changed = self.user(user).ok_or(not_found.clone())?.clone();
        let at = changed.nodes.iter().position(|node| u64::from(node.offset) == offset);
        let offset = changed.nodes.remove(at.ok_or(not_found)?).offset;
        changed.dropped = changed.dropped.iter().copied().chain([offset]).collect();
        Ok((NodeId { user, offset }, self.change(vec![Edit::User(user, changed)])))
    }

    /// Deletes a user that is in no list: its nodes are dropped, and its aliases are free. The entry
    /// goes when all its nodes are [freed](Self::free).
    pub fn delete_user(&mut self, user: UserId) -> Vec<Edit> {
        let Some(mut changed) = self.user(user).cloned() else { return Vec::new() };
        // The one that was there last has got most: what waits for it, nobody has.
        changed.nodes.sort_by_key(|node| (node.seen, std::cmp::Reverse(node.offset)));
        let nodes = changed.nodes.iter().map(|node| node.offset);
        changed.dropped = changed.dropped.iter().copied().chain(nodes).collect();
        changed.nodes.clear();
        changed.aliases.clear();
        changed.deleted = true;
        let gone = changed.dropped.is_empty();
        self.change(vec![if gone { Edit::NoUser(user) } else { Edit::User(user, changed) }])
    }

    /// Disables a user, or enables it. Nothing is to be stored if it was that already.
    pub fn disable(&mut self, user: UserId, disabled: bool) -> Vec<Edit> {
        let other = self.user(user).filter(|user| user.disabled != disabled);
        let Some(mut changed) = other.cloned() else { return Vec::new() };
        changed.disabled = disabled;
        self.change(vec![Edit::User(user, changed)])
    }

    /// Has the operator disabled the user?
    pub fn is_disabled(&self, user: UserId) -> bool {
        self.user(user).is_some_and(|user| user.disabled)
    }

    /// Nothing is left of a node that was dropped: its offset may be given again. With the last of a
    /// user that was deleted, so may its name.
    pub fn free(&mut self, node: NodeId) -> Vec<Edit> {
        let user = self.user(node.user).filter(|user| user.dropped.contains(&node.offset));
        let Some(mut changed) = user.cloned() else { return Vec::new() };
        changed.dropped = changed.dropped.into_iter().filter(|at| *at != node.offset).collect();
        let gone = changed.deleted && changed.dropped.is_empty();
        let edit = if gone { Edit::NoUser(node.user) } else { Edit::User(node.user, changed) };
        self.change(vec![edit])
    }

    /// Who gets what only one node of its user was to have, when this one is dropped: another node,
    /// or the last of those that are dropped; nobody for that one itself.
    pub fn heir(&self, node: NodeId) -> Option<NodeId> {
        let last = self.dropped(node.user).last().filter(|last| *last != node);
        self.nodes(node.user).find(|other| *other != node).or(last)
    }

    /// The nodes of a user's that were dropped and are not freed.
    pub fn dropped(&self, user: UserId) -> impl Iterator<Item = NodeId> {
        let dropped = self.user(user).map(|user| &*user.dropped).unwrap_or_default();
        dropped.iter().map(move |&offset| NodeId { user, offset })
    }

    /// A node is online, or was until now, at this time in ms since 1970.
    pub(crate) fn saw(&mut self, node: NodeId, wall: u64) {
        if let Some(known) = self.node_mut(node) {
            known.seen = seconds(wall);
            known.warned = false;
        }
    }

    /// When a node was last online, in seconds since 1970, if it was.
    pub(crate) fn seen(&self, node: NodeId) -> Option<NonZeroU32> {
        let nodes = &self.user(node.user)?.nodes;
        nodes.iter().find(|known| known.offset == node.offset)?.seen
    }

    /// Was a node added that may not have all that waited then?
    pub(crate) fn is_adding(&self, node: NodeId) -> bool {
        let nodes = self.user(node.user).map(|user| user.nodes.as_slice()).unwrap_or_default();
        nodes.iter().any(|known| known.offset == node.offset && known.adding)
    }

    /// It is noticed that it is not known when a node was online.
    pub(crate) fn noticed(&mut self, node: NodeId, wall: u64) {
        if let Some(known) = self.node_mut(node) {
            known.noticed = seconds(wall);
        }
    }

    /// A node's user was warned that it will be dropped.
    pub(crate) fn warned(&mut self, node: NodeId) {
        if let Some(known) = self.node_mut(node) {
            known.warned = true;
        }
    }

    fn node_mut(&mut self, node: NodeId) -> Option<&mut Node> {
        let nodes = &mut self.users.get_mut(node.user)?.nodes;
        nodes.iter_mut().find(|known| known.offset == node.offset)
    }

    fn change(&mut self, edits: Vec<Edit>) -> Vec<Edit> {
        for edit in &edits {
            self.apply(edit);
        }
        edits
    }
}

/// A time in ms since 1970 as nodes keep it.
fn seconds(wall: u64) -> Option<NonZeroU32> {
    NonZeroU32::new(u32::try_from(wall / 1000).unwrap_or(u32::MAX))
}
