//! Users and nodes: register, addNode, login.

use super::reposts::Posted;
use super::{Answer, Broker, LinkId, Session};
use crate::credential::InvitationKey;
use crate::directory::{AddNodeError, Credential, Edit, RegisterError, Registration};
use crate::node::NodeId;
use crate::now::{self, Now};
use crate::queue::{Patience, Queue};
use crate::quit::Quit;
use crate::reply::{self, AckError, Queued, Welcome};
use crate::request::{NodeName, Version};
use crate::spool::Amount;
use crate::store::SpoolOp;
use bytes::Bytes;
use std::time::Duration;

/// What clients of version 2 are told of us.
const SERVER: &str = concat!("websocket.MQ ", env!("CARGO_PKG_VERSION"));

/// A node that is asked for.
pub(super) struct NewNode {
    pub(super) key: Credential,
    /// Its name, if the client is yet to be told.
    pub(super) issued: Option<NodeName>,
}

impl Broker {
    pub(super) fn register(
        &mut self,
        now: Now,
        id: LinkId,
        user: &str,
        node: NewNode,
        aliases: &str,
        invitation: Option<InvitationKey>,
    ) {
        let registration = self.limits.registration;
        let registered = self
            .directory
            .may_register(registration, invitation.as_ref(), now.wall)
            .map_err(RegisterError::from)
            .and_then(|()| self.directory.register(user, node.key, aliases, self.ids.last()));
        match registered {
            Ok((accepted, mut edits)) => {
                if registration == Registration::Invite
                    && let Some(key) = invitation
                {
                    edits.extend(self.directory.use_up(key, now.wall));
                }
                let reply = reply::registered(accepted.as_deref(), None, node.issued.as_ref());
                self.edit_and_answer(id, edits, reply);
            }
            Err(error) => {
                self.totals.refuse(&error);
                let aliases = match &error {
                    RegisterError::Exists(aliases) => Some(aliases.as_str()),
                    _ => None,
                };
                self.send(id, reply::registered(aliases, Some(&error.to_string()), None));
                self.settle(id);
            }
        }
    }

    /// Answers once the edits are durable; later requests of the link wait until then.
    fn edit_and_answer(&mut self, id: LinkId, edits: Vec<Edit>, reply: Bytes) {
        let token = self.next_token();
        self.answers.insert(token, Answer::Reply { link: id, reply, copied_to: None });
        self.set_busy(id);
        self.spool(SpoolOp::Edit(token, edits));
    }

    /// Makes invitations; the operator gets them when they are durable.
    pub(super) fn invite(
        &mut self,
        now: Now,
        number: u64,
        keys: &[InvitationKey],
        lifetime: Duration,
    ) {
        let lifetime = u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX);
        let edits = self.directory.invite(keys, now.wall.saturating_add(lifetime), now.wall);
        self.edit_for_operator(number, edits);
    }

    pub(super) fn set_aliases(
        &mut self,
        now: Now,
        id: LinkId,
        own: NodeId,
        user: &str,
        node: Credential,
        aliases: &str,
    ) {
        match self.directory.set_aliases(own.user, user, node, aliases) {
            Ok((accepted, edits)) => {
                if !edits.is_empty() {
                    let token = self.next_token();
                    self.spool(SpoolOp::Edit(token, edits));
                }
                let etc = accepted.as_deref().map(reply::json_string);
                let nodes = self.nodes_of(own.user);
                self.notify(now, own, Queued::Registered, etc.as_deref(), nodes, None);
            }
            Err(error) => {
                self.totals.refuse(&error);
                self.send(id, reply::registered(None, Some(&error.to_string()), None));
            }
        }
        self.settle(id);
    }

    pub(super) fn add_node(
        &mut self,
        id: LinkId,
        own: Option<NodeId>,
        user: &str,
        new_node: NewNode,
        prev_node: Credential,
    ) {
        let added = self.directory.prev_node(own, user, prev_node).and_then(|prev| {
            match self.directory.add_node(prev.user, new_node.key) {
                Ok((node, edits)) => Ok((prev, node, edits, None)),
                Err(error @ AddNodeError::Exists(offset)) => {
                    let node = NodeId { user: prev.user, offset };
                    Ok((prev, node, Vec::new(), Some(error.to_string())))
                }
                Err(error) => Err(error),
            }
        });
        match added {
            Ok((prev, node, edits, error)) => {
                // What is copied is counted when it is.
                self.meet([node.user]);
                if !edits.is_empty() {
                    let token = self.next_token();
                    self.spool(SpoolOp::Edit(token, edits));
                }
                let token = self.next_token();
                let issued = new_node.issued.as_ref();
                let reply = reply::added(Some(node.offset), error.as_deref(), issued);
                let answer = Answer::Reply { link: id, reply, copied_to: Some(node) };
                self.answers.insert(token, answer);
                self.set_busy(id);
                self.spool(SpoolOp::Copy(token, prev, node));
            }
            Err(error) => {
                self.totals.refuse(&error);
                self.send(id, reply::added(None, Some(&error.to_string()), None));
                self.settle(id);
            }
        }
    }

    /// A node has all that waited when it was added. Its client hears of it when that is certain; on a
    /// full disk it stays uncertain, which costs no more than a bounce too many.
    pub(super) fn added(&mut self, now: Now, link: LinkId, reply: Bytes, node: NodeId) {
        let edits = if self.full { Vec::new() } else { self.directory.added(node) };
        let token = self.next_token();
        self.answers.insert(token, Answer::Reply { link, reply, copied_to: None });
        match edits.is_empty() {
            true => self.answered(now, token, Amount::default()),
            false => self.spool(SpoolOp::Edit(token, edits)),
        }
    }

    pub(super) fn login(
        &mut self,
        now: Now,
        id: LinkId,
        user: &str,
        node: Credential,
        version: Version,
        takeover: bool,
    ) {
        let Some(user) = self.directory.user_id(user) else {
            return self.close(id, Quit::UserUnknown);
        };
        let known = match node {
            Credential::Key(key) => self.directory.node(user, &key),
            Credential::Empty | Credential::Invalid | Credential::Reserved => None,
        };
        let Some(node) = known else { return self.close(id, Quit::NodeUnknown) };
        if self.directory.is_disabled(user) {
            return self.close(id, Quit::UserDisabled);
        }
        if let Some(session) = self.sessions.get(&node) {
            if !takeover {
                return self.close(id, Quit::NodeActive);
            }
            self.take_over(now, session.link, node);
        }
        if let Some(link) = self.links.get_mut(&id) {
            link.node = Some(node);
            link.version = version;
        }
        let first = self.limits.redelivery;
        let most = match version {
            Version::V1 => first,
            Version::V2 { .. } => self.limits.redelivery_max.max(first),
        };
        let queue = Queue::new(node, version, Patience { first, most });
        let unwelcomed = version != Version::V1;
        let posted = Posted::default();
        let (listing, settling, retry_at) = (0, 0, None);
        let session =
            Session { link: id, version, queue, listing, settling, unwelcomed, retry_at, posted };
        self.sessions.insert(node, session);
        self.came(now, node);
        if unwelcomed {
            self.set_busy(id);
        } else {
            self.send(id, reply::logged_in());
            self.settle(id);
        }
        self.pump(now, node);
    }

    /// A link that holds a node has to make way: from here on nothing that it sends counts, and what
    /// was in flight to it waits again.
    fn take_over(&mut self, now: Now, link: LinkId, node: NodeId) {
        self.close(link, Quit::TakenOver);
        if let Some(link) = self.links.get_mut(&link) {
            link.node = None;
        }
        self.left(now, node);
    }

    /// Answers a login of version 2, now that it is known what waits.
    pub(super) fn welcome(&mut self, now: Now, node: NodeId, queued: usize) {
        let Some(session) = self.sessions.get_mut(&node) else { return };
        let Version::V2 { window } = session.version else { return };
        if std::mem::take(&mut session.unwelcomed) {
            let link = session.link;
            let max_message = self.limits.max_message;
            let (node, time) = (node.offset, now::date(now.wall));
            let welcome =
                Welcome { v: 2, server: SERVER, node, window, queued, max_message, time: &time };
            self.send(link, reply::welcome(&welcome));
            self.settle(link);
            self.go_on(now, link);
        }
    }

    /// Queues a message of the server's own making for nodes, whose sender is answered with it.
    pub(super) fn notify(
        &mut self,
        now: Now,
        from: NodeId,
        op: Queued,
        etc: Option<&[u8]>,
        nodes: Vec<NodeId>,
        answer: Option<super::Poster>,
    ) {
        self.meet(nodes.iter().map(|node| node.user));
        let id = self.next_id(now);
        let name = self.directory.user(from.user).map(|user| user.name.clone());
        let name = name.unwrap_or_else(|| "".into());
        let body = etc.unwrap_or_default();
        let posted = self.dates.of(id.millis());
        let message = reply::queued(op, id, posted, &name, etc.map(<[u8]>::len), body);
        let answer = answer.map(|poster| (poster, AckError::Absent));
        self.commit(id, from, nodes, false, message, answer);
    }
}
