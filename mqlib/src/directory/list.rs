//! Lists: who is a member, who is invited, and how that changes.
//!
//! A list exists as long as it has members. Whoever is in it, invited or full, may add and invite;
//! who adds anyone becomes a full member by it, so accepting an invitation is adding oneself.

use super::{Directory, Edit};
use crate::name;
use crate::node::UserId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

/// How a user is in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Member {
    /// A full member.
    Full,
    /// Invited by this alias; not yet accepted.
    Invited(String),
}

/// A change of a list that was made, and who is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListChange {
    /// The users added, removed or invited, and what an added one was in the list before.
    pub members: Vec<(UserId, Option<Member>)>,
    /// The full members now, and whoever was removed.
    pub told: Vec<UserId>,
    /// What is to be stored.
    pub edits: Vec<Edit>,
}

/// Why a list was not changed. Told to the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// There is no such list.
    #[error("{edit} list {list} not found")]
    NoList {
        /// `listAdd`, `listRemove` or `listInvite`.
        edit: &'static str,
        /// The list.
        list: String,
    },
    /// Who asked is not in the list.
    #[error("{edit} list {list} by {by} not found")]
    NotIn {
        /// As above.
        edit: &'static str,
        /// The list.
        list: String,
        /// Who asked.
        by: String,
    },
    /// The member named does not exist, or is not in the list.
    #[error("{edit} list {list} member {member} not found")]
    NoMember {
        /// As above.
        edit: &'static str,
        /// The list.
        list: String,
        /// The name as given.
        member: String,
    },
    /// A full member cannot be invited.
    #[error("listInvite list {list} member {member} already a member")]
    AlreadyMember {
        /// The list.
        list: String,
        /// The alias as given.
        member: String,
    },
    /// The list has as many members as the operator allows.
    #[error("list {list} has too many members: members_per_list is {limit}")]
    TooManyMembers {
        /// The list.
        list: String,
        /// The limit.
        limit: usize,
    },
    /// A user is in as many lists as the operator allows.
    #[error("{user} is in too many lists: lists_per_user is {limit}")]
    TooManyLists {
        /// The user: who asked, or a member named.
        user: String,
        /// The limit.
        limit: usize,
    },
    /// The list's name is empty, too long, or not printable.
    #[error("invalid name")]
    InvalidName,
    /// `type` is none of add, invite, remove.
    #[error("invalid listEdit type: {0}")]
    InvalidEdit(String),
}

impl Directory {
    /// How a user is in a list; `None` if there is no such list.
    pub fn membership(&self, list: &str, user: UserId) -> Option<Option<&Member>> {
        self.lists.get(list).map(|members| members.get(&user))
    }

    /// The lists that a user is a full member of, in order.
    pub fn lists_of(&self, user: UserId) -> Vec<&str> {
        let lists = self.in_lists.get(&user).into_iter().flatten().map(|list| &**list);
        let is_full = |list: &&str| self.membership(list, user) == Some(Some(&Member::Full));
        let mut lists: Vec<_> = lists.filter(is_full).collect();
        lists.sort_unstable();
        lists
    }

    /// How many lists there are.
    pub fn list_count(&self) -> usize {
        self.lists.len()
    }

    /// The lists whose names come after one, in order, each with how many are in it or invited.
    pub fn lists_after(&self, after: &str) -> impl Iterator<Item = (&Arc<str>, usize)> {
        let behind = (Bound::Excluded(after), Bound::Unbounded);
        let lists = self.lists.range::<str, _>(behind);
        lists.map(|(list, members)| (list, members.len()))
    }

    /// Who is in a list, by number from one on, and how; `None` if there is no such list.
    pub fn members_from(
        &self,
        list: &str,
        from: UserId,
    ) -> Option<impl Iterator<Item = (UserId, &Member)>> {
        let members = self.lists.get(list)?.range(from..);
        Some(members.map(|(user, member)| (*user, member)))
    }

    /// The lists that a user is in, fully or invited, in order.
    pub(crate) fn in_lists(&self, user: UserId) -> Vec<Arc<str>> {
        let mut lists = self.in_lists.get(&user).cloned().unwrap_or_default();
        lists.sort_unstable();
        lists
    }

    /// The full members of a list.
    pub fn full_members(&self, list: &str) -> impl Iterator<Item = UserId> {
        let members = self.lists.get(list).into_iter().flatten();
        members.filter(|(_, member)| **member == Member::Full).map(|(user, _)| *user)
    }

    /// Adds, invites or removes members, for the user `by`: all of them, or none if one cannot be.
    pub fn edit_list<M: AsRef<str>>(
        &mut self,
        by: UserId,
        list: &str,
        edit: &str,
        members: &[M],
    ) -> Result<ListChange, ListError> {
        let before = self.lists.get(list).filter(|_| members.len() > 1).cloned();
        let mut change = ListChange { members: Vec::new(), told: Vec::new(), edits: Vec::new() };
        for member in members {
            let request = Request { by, list, member: member.as_ref() };
            let edited = match edit {
                "add" => self.list_add(request),
                "invite" => self.list_invite(request),
                "remove" => self.list_remove(request),
                other => Err(ListError::InvalidEdit(other.to_owned())),
            };
            match edited {
                Ok((user, was, edits)) => {
                    change.members.push((user, was));
                    change.edits.extend(edits);
                }
                Err(error) => {
                    self.undo(list, &before.unwrap_or_default(), &change.edits);
                    return Err(error);
                }
            }
        }
        change.told = self.full_members(list).collect();
        if edit == "remove" {
            change.told.extend(change.members.iter().map(|(user, _)| *user).filter(|u| *u != by));
        }
        Ok(change)
    }

    fn list_add(&mut self, request: Request<'_>) -> Result<Edited, ListError> {
        const EDIT: &str = "listAdd";
        let Request { by, list, member } = request;
        self.may_extend(EDIT, by, list)?;
        let user = self.user_id(member).ok_or_else(|| request.no_member(EDIT))?;
        let before = self.membership(list, user).flatten().cloned();
        let wanted = vec![(by, Some(Member::Full)), (user, Some(Member::Full))];
        self.changed(request, user, before, wanted)
    }

    fn list_invite(&mut self, request: Request<'_>) -> Result<Edited, ListError> {
        const EDIT: &str = "listInvite";
        let Request { by, list, member } = request;
        self.may_extend(EDIT, by, list)?;
        let user = self.alias(member).ok_or_else(|| request.no_member(EDIT))?;
        if user == by || self.membership(list, user) == Some(Some(&Member::Full)) {
            let (list, member) = (list.to_owned(), member.to_owned());
            return Err(ListError::AlreadyMember { list, member });
        }
        let invited = Member::Invited(member.to_owned());
        let wanted = vec![(by, Some(Member::Full)), (user, Some(invited))];
        self.changed(request, user, None, wanted)
    }

    fn list_remove(&mut self, request: Request<'_>) -> Result<Edited, ListError> {
        const EDIT: &str = "listRemove";
        let Request { by, list, member } = request;
        if !self.lists.contains_key(list) {
            return Err(ListError::NoList { edit: EDIT, list: list.to_owned() });
        }
        self.must_be_in(EDIT, by, list)?;
        let user = self.user_id(member);
        let user = user.filter(|user| self.membership(list, *user).flatten().is_some());
        let user = user.ok_or_else(|| request.no_member(EDIT))?;
        self.changed(request, user, None, vec![(user, None)])
    }

    /// Whoever is in a list may add to it, and anyone may begin one.
    fn may_extend(&self, edit: &'static str, by: UserId, list: &str) -> Result<(), ListError> {
        if !name::is_valid(list) {
            return Err(ListError::InvalidName);
        }
        if self.lists.contains_key(list) { self.must_be_in(edit, by, list) } else { Ok(()) }
    }

    fn must_be_in(&self, edit: &'static str, by: UserId, list: &str) -> Result<(), ListError> {
        if self.membership(list, by).flatten().is_some() {
            return Ok(());
        }
        let by = self.user(by).map(|user| user.name.to_string()).unwrap_or_default();
        Err(ListError::NotIn { edit, list: list.to_owned(), by })
    }

    fn changed(
        &mut self,
        request: Request<'_>,
        member: UserId,
        before: Option<Member>,
        wanted: Vec<(UserId, Option<Member>)>,
    ) -> Result<Edited, ListError> {
        let list: Arc<str> = request.list.into();
        self.has_room(&list, &wanted)?;
        let mut edits = Vec::new();
        for (user, wish) in wanted {
            if self.membership(&list, user).flatten() != wish.as_ref() {
                let edit = Edit::Member(list.clone(), user, wish);
                self.apply(&edit);
                edits.push(edit);
            }
        }
        Ok((member, before, edits))
    }

    /// Do the limits allow those who are not in the list yet to be in it?
    fn has_room(&self, list: &str, wanted: &[(UserId, Option<Member>)]) -> Result<(), ListError> {
        let (in_list, limits) = (self.lists.get(list), &self.limits);
        let mut new: Vec<UserId> = wanted
            .iter()
            .filter(|(user, wish)| {
                wish.is_some() && in_list.is_none_or(|members| !members.contains_key(user))
            })
            .map(|(user, _)| *user)
            .collect();
        new.dedup();
        let members = in_list.map_or(0, BTreeMap::len) + new.len();
        if !new.is_empty() && members > limits.members_per_list {
            let limit = limits.members_per_list;
            return Err(ListError::TooManyMembers { list: list.to_owned(), limit });
        }
        let limit = limits.lists_per_user;
        let full =
            |user: &UserId| self.in_lists.get(user).is_some_and(|lists| lists.len() >= limit);
        match new.into_iter().find(full) {
            Some(user) => {
                let user = self.user(user).map(|user| user.name.to_string()).unwrap_or_default();
                Err(ListError::TooManyLists { user, limit })
            }
            None => Ok(()),
        }
    }

    /// Makes a list again what it was before some edits.
    fn undo(&mut self, list: &str, before: &BTreeMap<UserId, Member>, edits: &[Edit]) {
        for edit in edits {
            if let Edit::Member(_, user, _) = edit {
                self.apply(&Edit::Member(list.into(), *user, before.get(user).cloned()));
            }
        }
    }

    /// A user is no longer in a list; the last takes it along.
    pub(super) fn take_out(&mut self, list: &str, user: UserId) {
        let Some(members) = self.lists.get_mut(list) else { return };
        if members.remove(&user).is_none() {
            return;
        }
        if members.is_empty() {
            self.lists.remove(list);
        }
        if let Some(lists) = self.in_lists.get_mut(&user) {
            lists.retain(|other| **other != *list);
            if lists.is_empty() {
                self.in_lists.remove(&user);
            }
        }
    }
}

/// One member's part of a change: who, what an added one was before, and what is to be stored.
type Edited = (UserId, Option<Member>, Vec<Edit>);

#[derive(Clone, Copy)]
struct Request<'a> {
    by: UserId,
    list: &'a str,
    member: &'a str,
}

impl Request<'_> {
    fn no_member(&self, edit: &'static str) -> ListError {
        ListError::NoMember { edit, list: self.list.to_owned(), member: self.member.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Credential;
    use super::*;
    use crate::credential::NodeKey;
    use crate::id::MessageId;

    fn with_users(names: &[&str]) -> (Directory, Vec<UserId>) {
        let mut directory = Directory::default();
        for name in names {
            let key = Credential::Key(NodeKey([0; 32]));
            directory.register(name, key, &format!("al-{name}"), MessageId::ZERO).unwrap();
        }
        let ids = names.iter().map(|name| directory.user_id(name).unwrap()).collect();
        (directory, ids)
    }

    fn error(result: Result<ListChange, ListError>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn who_begins_a_list_is_in_it_and_accepting_is_adding_oneself() {
        let (mut directory, ids) = with_users(&["u1", "u2"]);
        let invited = directory.edit_list(ids[0], "L", "invite", &["al-u2"]).unwrap();
        assert_eq!((invited.members, invited.told), (vec![(ids[1], None)], vec![ids[0]]));
        let accepted = directory.edit_list(ids[1], "L", "add", &["u2"]).unwrap();
        assert_eq!(accepted.members[0].1, Some(Member::Invited("al-u2".into())));
        assert_eq!(accepted.told, ids);
        let again = directory.edit_list(ids[0], "L", "add", &["u2"]).unwrap();
        assert_eq!((&again.members[0].1, again.edits), (&Some(Member::Full), vec![]));
    }

    #[test]
    fn the_invited_may_add_and_become_full_members_by_it() {
        let (mut directory, ids) = with_users(&["u1", "u2", "u3"]);
        directory.edit_list(ids[0], "L", "invite", &["al-u2"]).unwrap();
        assert_eq!(directory.edit_list(ids[1], "L", "add", &["u3"]).unwrap().told, ids);
    }

    #[test]
    fn the_removed_is_told_and_an_emptied_list_vanishes() {
        let (mut directory, ids) = with_users(&["u1", "u2"]);
        directory.edit_list(ids[0], "L", "add", &["u2"]).unwrap();
        assert_eq!(directory.edit_list(ids[0], "L", "remove", &["u2"]).unwrap().told, ids);
        assert_eq!(directory.edit_list(ids[0], "L", "remove", &["u1"]).unwrap().told, vec![]);
        assert_eq!(directory.membership("L", ids[0]), None);
    }

    #[test]
    fn of_several_members_all_are_edited_or_none() {
        let (mut directory, ids) = with_users(&["u1", "u2", "u3"]);
        for begun in [false, true] {
            let before = directory.lists.clone();
            let refused = directory.edit_list(ids[0], "L", "add", &["u3", "x"]);
            assert_eq!(error(refused), "listAdd list L member x not found");
            assert_eq!(directory.lists, before);
            if !begun {
                let added = directory.edit_list(ids[0], "L", "add", &["u2", "u1"]).unwrap();
                assert_eq!((added.members.len(), added.edits.len()), (2, 2));
                assert_eq!(added.told, ids[..2]);
            }
        }
        let removed = directory.edit_list(ids[0], "L", "remove", &["u2", "u1"]).unwrap();
        assert_eq!(removed.told, vec![ids[1]]);
        assert_eq!(directory.membership("L", ids[0]), None);
    }

    #[test]
    fn a_refused_edit_changes_nothing_and_says_why() {
        let (mut directory, ids) = with_users(&["u1", "u2", "u3"]);
        assert_eq!(
            error(directory.edit_list(ids[0], "L", "add", &["x"])),
            "listAdd list L member x not found"
        );
        assert_eq!(
            error(directory.edit_list(ids[0], "L", "remove", &["u1"])),
            "listRemove list L not found"
        );
        assert_eq!(
            error(directory.edit_list(ids[0], "L", "frob", &["u2"])),
            "invalid listEdit type: frob"
        );
        assert_eq!(error(directory.edit_list(ids[0], "", "add", &["u2"])), "invalid name");
        assert_eq!(directory.membership("L", ids[0]), None);
        directory.edit_list(ids[0], "L", "add", &["u2"]).unwrap();
        assert_eq!(
            error(directory.edit_list(ids[2], "L", "invite", &["al-u3"])),
            "listInvite list L by u3 not found"
        );
        assert_eq!(
            error(directory.edit_list(ids[0], "L", "remove", &["u3"])),
            "listRemove list L member u3 not found"
        );
        for (by, alias) in [(ids[0], "al-u2"), (ids[0], "al-u1")] {
            let text = format!("listInvite list L member {alias} already a member");
            assert_eq!(error(directory.edit_list(by, "L", "invite", &[alias])), text);
        }
    }
}
