//! Users and nodes: register, addNode, login.

use super::{Answer, Broker, LinkId, Session};
use crate::directory::{AddNodeError, Credential, Edit, RegisterError};
use crate::node::NodeId;
use crate::now::Now;
use crate::queue::Queue;
use crate::quit::Quit;
use crate::reply::{self, AckError, Queued};
use crate::store::SpoolOp;
use bytes::Bytes;

/// Version 1 has one delivery in flight.
const WINDOW: usize = 1;

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

    pub(super) fn login(&mut self, now: Now, id: LinkId, user: &str, node: Credential) {
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
        }
        let queue = Queue::new(node, WINDOW);
        self.sessions.insert(node, Session { link: id, queue, listing: 0, retry_at: None });
        self.send(id, reply::info("ok login"));
        self.settle(id);
        self.pump(now, node);
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
        let message = reply::queued(op, id, &name, etc.map(<[u8]>::len), body);
        let answer = answer.map(|poster| (poster, AckError::Absent));
        self.commit(id, from, nodes, false, message, answer);
    }
}
