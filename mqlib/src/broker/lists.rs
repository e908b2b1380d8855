//! Lists: edits, and the notices that tell of them.

use super::posts::{Body, Meant};
use super::{Broker, Poster};
use crate::directory::{ListChange, ListError, Member};
use crate::json;
use crate::node::{NodeId, UserId};
use crate::now::{self, Now};
use crate::reply::{self, AckError, Queued};
use serde::Serialize;
use std::collections::BTreeSet;

/// The `etc` of a listEdited.
#[derive(Serialize)]
struct Notice<'a> {
    list: &'a str,
    op: &'a str,
    date: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alias: Option<Alias<'a>>,
    /// Of an edit with several members, in place of the two above.
    #[serde(skip_serializing_if = "Option::is_none")]
    members: Option<&'a [String]>,
}

/// What an added user was before: invited by an alias, or a member already, which is the number 1.
#[derive(Serialize)]
#[serde(untagged)]
enum Alias<'a> {
    Name(&'a str),
    Member(u8),
}

/// A listEdit, without what an invitation says.
#[derive(Debug)]
pub(super) struct ListEdit {
    pub(super) list: String,
    pub(super) edit: String,
    pub(super) members: Vec<String>,
}

impl Broker {
    /// A user leaves all lists, as if it had removed itself from each.
    pub(super) fn leave_lists(&mut self, now: Now, user: UserId) {
        let name = self.directory.user(user).map(|user| user.name.to_string()).unwrap_or_default();
        let date = now::date(now.wall);
        for list in self.directory.in_lists(user) {
            let edited = self.directory.edit_list(user, &list, "remove", &[&name]);
            let Ok(ListChange { told, edits, .. }) = edited else { continue };
            let token = self.next_token();
            self.spool(crate::store::SpoolOp::Edit(token, edits));
            let uid = Some(name.as_str());
            let notice =
                Notice { list: &list, op: "remove", date: &date, uid, alias: None, members: None };
            let mut etc = Vec::new();
            json::write(&mut etc, &notice);
            let nodes = told.iter().flat_map(|user| self.directory.nodes(*user)).collect();
            let mut meant = Meant { nodes, to_one: Vec::new() };
            self.admit(&mut meant, None);
            if !meant.nodes.is_empty() {
                let from = NodeId { user, offset: 0 };
                self.notify(now, from, Queued::ListEdited, Some(&etc), meant.nodes, None);
            }
        }
    }

    pub(super) fn edit_list(
        &mut self,
        now: Now,
        own: NodeId,
        poster: Poster,
        request: &ListEdit,
        body: Body,
    ) {
        let ListEdit { list, edit, members } = request;
        match self.directory.edit_list(own.user, list, edit, members) {
            Ok(change) => self.list_edited(now, own, poster, request, change, body),
            Err(error) => {
                self.discard(body);
                self.refuse_list_edit(poster, &error);
            }
        }
    }

    fn refuse_list_edit(&mut self, poster: Poster, error: &ListError) {
        self.totals.refuse(error);
        let error = AckError::Text(error.to_string());
        self.send(poster.link, reply::ack(&poster.id, false, error));
        self.settle(poster.link);
    }

    fn list_edited(
        &mut self,
        now: Now,
        own: NodeId,
        mut poster: Poster,
        request: &ListEdit,
        change: ListChange,
        body: Body,
    ) {
        if !change.edits.is_empty() {
            let token = self.next_token();
            self.spool(crate::store::SpoolOp::Edit(token, change.edits));
        }
        let inviting = request.edit == "invite";
        if inviting {
            let users: BTreeSet<_> = change.members.iter().map(|(user, _)| *user).collect();
            let nodes = users.iter().flat_map(|user| self.directory.nodes(*user)).collect();
            let mut meant = Meant { nodes, to_one: Vec::new() };
            let mut full = self.admit(&mut meant, None);
            // The editor knows them by their aliases.
            full.rename(|name| {
                let user = self.directory.user_id(name)?;
                let alias = |alias: &&String| self.directory.alias(alias) == Some(user);
                request.members.iter().find(alias).cloned()
            });
            poster.failed.append(full);
            self.send_out(now, own, body, meant, None);
        } else {
            self.discard(body);
        }
        let date = now::date(now.wall);
        let (uid, alias, members) = match (&*request.members, &*change.members) {
            ([alias], _) if inviting => (None, Some(Alias::Name(alias)), None),
            ([member], [(_, before)]) => {
                let alias = match before {
                    Some(Member::Invited(alias)) => Some(Alias::Name(alias)),
                    Some(Member::Full) if request.edit == "add" => Some(Alias::Member(1)),
                    _ => None,
                };
                (Some(member.as_str()), alias, None)
            }
            (members, _) => (None, None, Some(members)),
        };
        let (list, op) = (&request.list, &request.edit);
        let notice = Notice { list, op, date: &date, uid, alias, members };
        let mut etc = Vec::new();
        json::write(&mut etc, &notice);
        let mut users = change.told;
        users.push(own.user);
        users.sort_unstable();
        users.dedup();
        let nodes = users.iter().flat_map(|user| self.directory.nodes(*user)).collect();
        let mut meant = Meant { nodes, to_one: Vec::new() };
        // The editor's own node learns of it in any case: its client goes by that.
        poster.failed.append(self.admit(&mut meant, Some(own)));
        self.notify(now, own, Queued::ListEdited, Some(&etc), meant.nodes, Some(poster));
    }
}
