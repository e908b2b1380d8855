//! Fan-out: who is meant becomes which nodes get it.
//!
//! One message goes to all nodes of all recipients, once each, however often a recipient is named.
//! The sender's other nodes get a copy; the sending node does not, unless its user is a recipient.
//! A recipient of type 0 gets a message of its own, for one of its nodes, without copies. Who is
//! unknown does not fail the post: the ack tells, lists first.

use crate::directory::Directory;
use crate::failed::{Failed, Reason};
use crate::node::{NodeId, UserId};
use crate::reply::AckError;
use crate::request::Kind;

/// Where a post goes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fanout {
    /// The nodes that all get it, in order.
    pub(crate) nodes: Vec<NodeId>,
    /// For each recipient of type 0 its nodes, one of which is to have it.
    pub(crate) to_one: Vec<Vec<NodeId>>,
    /// Who is unknown.
    pub(crate) failed: Failed,
    /// What the ack says besides `ok` if nobody is.
    pub(crate) error: AckError,
}

/// The nodes that a post of `sender` to these recipients goes to.
pub(crate) fn fanout(
    directory: &Directory,
    sender: NodeId,
    to: &[(String, Kind)],
    no_nodes: bool,
) -> Fanout {
    let mut users = Vec::new();
    let mut to_one = Vec::new();
    let mut failed = Failed::default();
    let mut lists = Vec::new();
    let mut unknown = Vec::new();
    let mut without = Vec::new();
    for (name, kind) in to {
        match kind {
            Kind::OneNode => match directory.user_id(name) {
                Some(user) if directory.nodes(user).next().is_none() => without.push(user),
                Some(user) => to_one.push(directory.nodes(user).collect()),
                None => unknown.push(name),
            },
            Kind::AllNodes => match directory.user_id(name) {
                Some(user) => users.push(user),
                None => unknown.push(name),
            },
            Kind::List | Kind::ListAndSender => {
                match directory.membership(name, sender.user) {
                    Some(Some(_)) => {
                        let members = directory.full_members(name);
                        users.extend(members.filter(|member| *member != sender.user));
                    }
                    Some(None) => lists.push((name, not_in(directory, sender.user))),
                    None => lists.push((name, Reason::NoList)),
                }
                if *kind == Kind::ListAndSender {
                    users.push(sender.user);
                }
            }
        }
    }
    users.sort_unstable();
    users.dedup();
    without.extend(users.iter().filter(|user| directory.nodes(**user).next().is_none()));
    let mut nodes: Vec<NodeId> = users.iter().flat_map(|user| directory.nodes(*user)).collect();
    if !no_nodes && !users.contains(&sender.user) {
        nodes.extend(directory.nodes(sender.user).filter(|node| *node != sender));
        nodes.sort_unstable();
    }
    for (name, why) in lists {
        failed.push(name, why);
    }
    for name in unknown {
        failed.push(name, Reason::NoUser);
    }
    for user in without {
        let name = directory.user(user).map(|user| &*user.name).unwrap_or_default();
        failed.push(name, Reason::NoNodes);
    }
    let only_to_one = !to.is_empty() && to.iter().all(|(_, kind)| *kind == Kind::OneNode);
    let error = if only_to_one { AckError::Null } else { AckError::Absent };
    Fanout { nodes, to_one, failed, error }
}

fn not_in(directory: &Directory, user: UserId) -> Reason {
    Reason::NotInList(directory.user(user).map(|user| user.name.to_string()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credential::NodeKey;
    use crate::directory::Credential;
    use crate::id::MessageId;

    fn key(byte: u8) -> Credential {
        Credential::Key(NodeKey([byte; 32]))
    }

    /// `a` with two nodes, `b` with two, `c` with one; list `L` of a and b, with c invited.
    fn directory() -> Directory {
        let mut directory = Directory::default();
        for (name, nodes) in [("a", 2), ("b", 2), ("c", 1)] {
            directory.register(name, key(0), name, MessageId::ZERO).unwrap();
            let user = directory.user_id(name).unwrap();
            for node in 1..nodes {
                directory.add_node(user, key(node)).unwrap();
            }
        }
        let a = directory.user_id("a").unwrap();
        directory.edit_list(a, "L", "add", &["b"]).unwrap();
        directory.edit_list(a, "L", "invite", &["c"]).unwrap();
        directory
    }

    fn show(nodes: &[NodeId]) -> String {
        let name =
            |node: &NodeId| format!("{}{}", ["a", "b", "c"][node.user.0 as usize], node.offset);
        nodes.iter().map(name).collect::<Vec<_>>().join(" ")
    }

    fn post(sender: &str, to: &[(&str, Kind)], no_nodes: bool) -> (String, Vec<String>, AckError) {
        let directory = directory();
        let sender = NodeId { user: directory.user_id(sender).unwrap(), offset: 0 };
        let to: Vec<_> = to.iter().map(|(name, kind)| (name.to_string(), *kind)).collect();
        let fanout = fanout(&directory, sender, &to, no_nodes);
        (
            show(&fanout.nodes),
            fanout.to_one.iter().map(|one| show(one)).collect(),
            fanout.failed.error(fanout.error),
        )
    }

    #[test]
    fn recipients_become_nodes() {
        use Kind::*;
        let text = |text: &str| AckError::Text(text.into());
        type Case<'a> = (&'a str, &'a [(&'a str, Kind)], bool, &'a str, &'a [&'a str], AckError);
        let table: &[Case<'_>] = &[
            ("a", &[("b", AllNodes)], false, "a1 b0 b1", &[], AckError::Absent),
            ("a", &[("b", AllNodes)], true, "b0 b1", &[], AckError::Absent),
            ("a", &[("a", AllNodes)], false, "a0 a1", &[], AckError::Absent),
            ("a", &[], false, "a1", &[], AckError::Absent),
            ("a", &[("L", List)], false, "a1 b0 b1", &[], AckError::Absent),
            ("a", &[("L", ListAndSender)], false, "a0 a1 b0 b1", &[], AckError::Absent),
            (
                "a",
                &[("L", List), ("b", AllNodes), ("c", AllNodes)],
                false,
                "a1 b0 b1 c0",
                &[],
                AckError::Absent,
            ),
            ("c", &[("L", List)], false, "a0 a1 b0 b1", &[], AckError::Absent),
            ("a", &[("b", OneNode)], false, "a1", &["b0 b1"], AckError::Null),
            ("a", &[("b", OneNode), ("c", OneNode)], true, "", &["b0 b1", "c0"], AckError::Null),
            ("a", &[("b", OneNode), ("c", AllNodes)], true, "c0", &["b0 b1"], AckError::Absent),
            (
                "c",
                &[("x", AllNodes), ("y", OneNode), ("M", List)],
                false,
                "",
                &[],
                text("list M not found\nuserId unknown\nuserId unknown"),
            ),
        ];
        for (sender, to, no_nodes, nodes, to_one, error) in table {
            let (found, found_one, found_error) = post(sender, to, *no_nodes);
            assert_eq!((found.as_str(), &found_error), (*nodes, error), "{sender} to {to:?}");
            assert_eq!(found_one, *to_one, "{sender} to {to:?}");
        }
    }

    #[test]
    fn who_is_not_in_a_list_reaches_only_oneself_with_it() {
        let mut directory = directory();
        directory.register("d", key(0), "", MessageId::ZERO).unwrap();
        let sender = NodeId { user: directory.user_id("d").unwrap(), offset: 0 };
        for (kind, nodes) in [(Kind::List, vec![]), (Kind::ListAndSender, vec![sender])] {
            let fanout = fanout(&directory, sender, &[("L".into(), kind)], false);
            assert_eq!(fanout.nodes, nodes);
            let error = fanout.failed.error(fanout.error);
            assert_eq!(error, AckError::Text("uid d not found".into()));
        }
    }
}
