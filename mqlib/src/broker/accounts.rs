//! Users and nodes: register, addNode, login.

use super::reposts::Posted;
use super::{Answer, Broker, LinkId, Session};
use crate::directory::{AddNodeError, Credential, Edit, RegisterError};
use crate::node::NodeId;
use crate::now::{self, Now};
use crate::queue::{Patience, Queue};
use crate::quit::Quit;
use crate::reply::{self, AckError, Queued, Welcome};
use crate::request::Version;
use crate::store::SpoolOp;
use bytes::Bytes;

/// What clients of version 2 are told of us.
const SERVER: &str = concat!("websocket.MQ ", env!("CARGO_PKG_VERSION"));

impl Broker {
    pub(super) fn register(&mut self, id: LinkId, user: &str, node: Credential, aliases: &str) {
        match self.directory.register(user, node, aliases) {
            Ok((accepted, edits)) => {
                let reply = reply::registered(accepted.as_deref(), None);
                self.edit_and_answer(id, edits, reply);
            }
            Err(error) => {
                let aliases = match &error {
                    RegisterError::Exists(aliases) => Some(aliases.as_str()),
                    _ => None,
                };
                self.send(id, reply::registered(aliases, Some(&error.to_string())));
                self.settle(id);
            }
        }
    }

    /// Answers once the edits are durable; later requests of the link wait until then.
    fn edit_and_answer(&mut self, id: LinkId, edits: Vec<Edit>, reply: Bytes) {
        let token = self.next_token();
        self.answers.insert(token, Answer { link: id, reply, copied_to: None });
        self.set_busy(id);
        self.spool(SpoolOp::Edit(token, edits));
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
            Err(error) => self.send(id, reply::registered(None, Some(&error.to_string()))),
        }
        self.settle(id);
    }

    pub(super) fn add_node(
        &mut self,
        id: LinkId,
        own: Option<NodeId>,
        user: &str,
        new_node: Credential,
        prev_node: Credential,
    ) {
        let added = self.directory.prev_node(own, user, prev_node).and_then(|prev| {
            match self.directory.add_node(prev.user, new_node) {
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
                if !edits.is_empty() {
                    let token = self.next_token();
                    self.spool(SpoolOp::Edit(token, edits));
                }
                let token = self.next_token();
                let reply = reply::added(Some(node.offset), error.as_deref());
                let answer = Answer { link: id, reply, copied_to: Some(node) };
                self.answers.insert(token, answer);
                self.set_busy(id);
                self.spool(SpoolOp::Copy(token, prev, node));
            }
            Err(error) => {
                self.send(id, reply::added(None, Some(&error.to_string())));
                self.settle(id);
            }
        }
    }

    pub(super) fn login(
        &mut self,
        now: Now,
        id: LinkId,
        user: &str,
        node: Credential,
        version: Version,
    ) {
        let Some(user) = self.directory.user_id(user) else {
            return self.close(id, Quit::UserUnknown);
        };
        let known = match node {
            Credential::Key(key) => self.directory.node(user, &key),
            Credential::Empty | Credential::Invalid => None,
        };
        let Some(node) = known else { return self.close(id, Quit::NodeUnknown) };
        if self.sessions.contains_key(&node) {
            return self.close(id, Quit::NodeActive);
        }
        if let Some(link) = self.links.get_mut(&id) {
            link.node = Some(node);
            link.version = version;
        }
        let first = self.limits.redelivery;
        let (window, most) = match version {
            Version::V1 => (1, first),
            Version::V2 { window } => (window, self.limits.redelivery_max.max(first)),
        };
        let queue = Queue::new(node, window, Patience { first, most });
        let unwelcomed = version != Version::V1;
        let posted = Posted::default();
        let session =
            Session { link: id, version, queue, listing: 0, unwelcomed, retry_at: None, posted };
        self.sessions.insert(node, session);
        if unwelcomed {
            self.set_busy(id);
        } else {
            self.send(id, reply::logged_in());
            self.settle(id);
        }
        self.pump(now, node);
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
