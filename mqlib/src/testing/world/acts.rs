//! What clients do in the world: come, introduce themselves, post, ack, leave; and what they get.

use super::{LARGE, World, post_ref};
use crate::broker::{Asked, Input, LinkId, Names};
use crate::directory::Credential;
use crate::fanout;
use crate::id::MessageId;
use crate::node::NodeId;
use crate::reply::Reply;
use crate::request::{Content, Incoming, Kind, NodeName, Op, Request, Version};
use crate::testing::Mutation;
use crate::testing::client::{NODES, USERS, key, user};
use crate::testing::history::{Arrival, PostRef, Violation};
use bytes::Bytes;
use rand::RngExt;
use rand::seq::SliceRandom;

impl World {
    /// A client gets a message.
    pub(super) fn receive(&mut self, link: LinkId, message: &Bytes) -> Result<(), Violation> {
        let number = self.clients.iter().position(|client| client.link == Some(link));
        let Some(number) = number else {
            self.unheard(message);
            return Ok(());
        };
        // As it was when this was sent: the directory may be ahead.
        let node = self.owners.iter().find(|(_, owner)| **owner == number).map(|(node, _)| *node);
        let client = &mut self.clients[number];
        let Ok(reply) = Reply::parse(message) else {
            return Err(Violation::Stuck(format!("{number} got no message: {message:?}")));
        };
        let queued = reply.from.is_some();
        match (reply.op.as_str(), node) {
            (_, Some(node)) if queued => {
                let id: Option<MessageId> = reply.id.as_deref().and_then(|id| id.parse().ok());
                let is_post = reply.op == "deliver" && reply.from.as_deref() != Some("");
                if id.is_none() || (is_post && !is_intact(&reply.body)) {
                    self.history.corrupted(node.into(), "other contents than were posted");
                }
                client.received.extend(id);
                let post = post_of(&reply.body).filter(|_| is_post);
                let post = post.and_then(|number| post_ref(&self.senders, number));
                let marked = client.speaks_v2.then_some(reply.redelivered > 0);
                self.history.delivered(Arrival { node: node.into(), post, id, marked });
            }
            ("registered", _) => {
                client.asking = false;
                client.confirmed |= reply.error.is_none();
            }
            ("added", _) => {
                client.asking = false;
                client.confirmed |= reply.offset.is_some();
                let server = self.server.as_mut();
                if let Some((from, to, waiting)) =
                    server.and_then(|server| server.copying.remove(&link))
                    && reply.offset.is_some()
                {
                    self.history.copied(from.into(), to.into(), &waiting);
                }
            }
            ("info", Some(node)) => {
                client.asking = false;
                client.logged_in = true;
                client.speaks_v2 = reply.v.is_some();
                // Version 1 never learns what became of its posts.
                let mut loose = std::mem::take(&mut client.loose);
                if !client.speaks_v2 {
                    client.reposts.clear();
                    loose.extend(std::mem::take(&mut client.unacked).into_keys());
                }
                for number in loose {
                    if let Some(post) = post_ref(&self.senders, number) {
                        self.history.abandoned(post);
                    }
                }
                self.history.logged_in(node.into(), reply.window.unwrap_or(1));
                if reply.window.is_none() {
                    self.history.may_repeat(node.into());
                }
            }
            ("ack", _) => {
                let number: Option<u64> = reply.id.as_deref().and_then(|id| id.parse().ok());
                let ok = reply.kind.as_deref() == Some("ok");
                if let Some(number) = number {
                    client.loose.retain(|loose| *loose != number);
                    client.unacked.remove(&number);
                }
                let post = number.and_then(|number| post_ref(&self.senders, number));
                if let Some(post) = post.filter(|_| ok) {
                    let id = reply.msgid.as_deref().and_then(|id| id.parse().ok());
                    let error = reply.error.as_deref().unwrap_or_default();
                    let known = self.meant.contains_key(&post.seq);
                    if known && !reply.dup && !self.stored.contains_key(&post.seq) {
                        // It became no message, so it says nothing of acks before it either.
                        self.history.refused(post);
                    } else {
                        self.history.acked(post, id);
                    }
                    if !reply.dup {
                        self.check_told(post.seq, error)?;
                    }
                }
            }
            _ => {}
        }
        self.history.verdict()
    }

    /// A message comes on a link that its client has left.
    fn unheard(&mut self, message: &Bytes) {
        let Ok(reply) = Reply::parse(message) else { return };
        let unstored = reply.op == "ack" && reply.msgid.is_none();
        let number = reply.id.filter(|_| unstored).and_then(|id| id.parse().ok());
        if let Some(post) = number.and_then(|number| post_ref(&self.senders, number)) {
            self.history.came_to_nothing(post);
        }
    }

    /// The node that a client is, if the server knows it.
    pub(super) fn node_id(&self, number: usize) -> Option<NodeId> {
        let directory = self.server.as_ref()?.broker.directory();
        let Credential::Key(key) = key(number / NODES, number % NODES) else { return None };
        directory.node(directory.user_id(&user(number / NODES))?, &key)
    }

    pub(super) fn client_acts(&mut self) {
        let number = self.rng.random_range(0..self.clients.len());
        let client = &self.clients[number];
        match (client.link, client.logged_in, client.asking) {
            (None, ..) => self.connect(number),
            (Some(_), false, false) => self.introduce(number),
            (Some(_), false, true) => {}
            (Some(link), true, _) if !client.reposts.is_empty() => self.repost(number, link),
            (Some(link), true, _) => match self.rng.random_range(0..20) {
                0..9 => self.post(number, link),
                9..17 => self.ack(number, link),
                // What waits would be copied, again and again.
                _ if self.calm && self.posts_left == 0 => {}
                17 => self.edit_list(number, link),
                18 if self.chance(70) => self.add_node(number, link),
                18 => self.drop_node(number, link),
                _ => {
                    let received = std::mem::take(&mut self.clients[number].received);
                    self.clients[number].disconnected();
                    if self.chance(50) {
                        self.handle(Input::Closed(link));
                    } else {
                        // The server does not learn of it: only a takeover frees the node.
                        self.ghosts.push((link, received));
                    }
                }
            },
        }
    }

    /// A link that was taken over says a last thing, which is ignored, and ends.
    pub(super) fn end_ghost(&mut self) {
        if self.taken_over.is_empty() {
            return;
        }
        let link = self.taken_over.swap_remove(self.rng.random_range(0..self.taken_over.len()));
        if let Some(at) = self.ghosts.iter().position(|(ghost, _)| *ghost == link) {
            let request = Request::Ack { ids: self.ghosts.swap_remove(at).1, ok: true };
            self.ask(link, Op::Ack, request, Credential::Empty, Credential::Empty);
        }
        self.handle(Input::Closed(link));
    }

    pub(super) fn connect(&mut self, number: usize) {
        self.links += 1;
        let link = LinkId(self.links);
        self.clients[number].link = Some(link);
        self.handle(Input::Opened(link, self.now.mono));
    }

    /// Registers, adds the node, or logs in, whichever is next.
    pub(super) fn introduce(&mut self, number: usize) {
        let Some(link) = self.clients[number].link else { return };
        let (owner, node) = (number / NODES, number % NODES);
        let name = user(owner);
        let none = || NodeName::new(String::new());
        self.clients[number].asking = true;
        // It may exist although the answer was lost.
        if self.clients[number].confirmed || self.node_id(number).is_some() {
            let version = match self.rng.random_range(0..3) {
                0 => Version::V1,
                _ => Version::V2 { window: self.rng.random_range(1..8) },
            };
            let takeover = version != Version::V1 && self.chance(50);
            let request = Request::Login { user: name, node: none(), version, takeover };
            return self.ask(link, Op::Login, request, Credential::Empty, key(owner, node));
        }
        // Of a user that exists, any node lets others be added.
        let prev = self.some_node(owner);
        if let Some(prev) = prev {
            return self.add(number, link, node, prev);
        }
        if node == 0 {
            let aliases = format!("alias{owner}");
            let (new_node, issue, invite) = (none(), false, None);
            let request = Request::Register { user: name, new_node, issue, aliases, invite };
            return self.ask(link, Op::Register, request, key(owner, 0), Credential::Empty);
        }
        self.add(number, link, node, 0);
    }

    /// A node that a user has.
    fn some_node(&self, owner: usize) -> Option<usize> {
        (0..NODES).find(|node| self.node_id(owner * NODES + node).is_some())
    }

    /// Adds a node of the client's user by another one.
    pub(super) fn add(&mut self, number: usize, link: LinkId, node: usize, prev: usize) {
        let owner = number / NODES;
        let none = || NodeName::new(String::new());
        let (user, new_node, prev_node) = (user(owner), none(), none());
        let request = Request::AddNode { user, new_node, issue: false, prev_node };
        let from = match self.clients[number].logged_in {
            true => self.node_id(number),
            false => self.node_id(owner * NODES + prev),
        };
        let waiting_before = from;
        self.ask(link, Op::AddNode, request, key(owner, node), key(owner, prev));
        let to = self.node_id(owner * NODES + node);
        if let (Some(from), Some(to), Some(server)) = (waiting_before, to, &mut self.server)
            && from != to
        {
            let waiting = self.history.waiting_for(from.into());
            server.copying.insert(link, (from, to, waiting));
        }
    }

    pub(super) fn add_node(&mut self, number: usize, link: LinkId) {
        // The answers to two would be mistaken for each other.
        if self.clients[number].asking {
            return;
        }
        let node = self.rng.random_range(0..NODES);
        if let Some(prev) = self.some_node(number / NODES) {
            self.clients[number].asking = true;
            self.add(number, link, node, prev);
        }
    }

    /// Drops a node of the client's user, perhaps its own.
    fn drop_node(&mut self, number: usize, link: LinkId) {
        let node = number / NODES * NODES + self.rng.random_range(0..NODES);
        let Some(dropped) = self.node_id(node).filter(|_| self.clients[number].speaks_v2) else {
            return;
        };
        let request = Request::DropNode { id: "drop".into(), node: dropped.offset.into() };
        self.ask(link, Op::DropNode, request, Credential::Empty, Credential::Empty);
    }

    /// A client's node is being dropped: it is promised nothing any more, and whoever comes back under
    /// its name is another poster.
    pub(super) fn loses_node(&mut self, number: usize, node: NodeId) {
        let client = &mut self.clients[number];
        client.confirmed = false;
        client.reposts.clear();
        let mut unanswered = std::mem::take(&mut client.loose);
        unanswered.extend(std::mem::take(&mut client.unacked).into_keys());
        // It may be about to hear that the node exists, and must not take that for the next one.
        let link = client.link.filter(|_| !client.logged_in);
        if let Some(link) = link {
            client.disconnected();
            self.handle(Input::Closed(link));
        }
        for post in unanswered {
            if let Some(post) = post_ref(&self.senders, post) {
                self.history.abandoned(post);
            }
        }
        for meant in self.meant.values_mut() {
            meant.retain(|other| *other != node);
        }
        if let Some(server) = &mut self.server {
            server.copying.retain(|_, (_, to, _)| *to != node);
        }
    }

    pub(super) fn ask(
        &mut self,
        link: LinkId,
        op: Op,
        request: Request,
        new: Credential,
        node: Credential,
    ) {
        let incoming = Incoming { op, request: Ok(request), in_v1: None };
        let names = Names { new_node: new, node, ..Names::default() };
        let asked = Asked { incoming, names: Some(Box::new(names)), read: None };
        self.handle(Input::Request(link, asked));
    }

    /// Every recipient of a post that was named is stored for, or said to have a full queue.
    fn check_told(&mut self, post: u64, error: &str) -> Result<(), Violation> {
        let mut full = Vec::new();
        for line in error.lines().filter(|_| self.mutation != Mutation::DropSilently) {
            let Some((name, rest)) = line.split_once(": queue full") else { continue };
            let (at, _limit) = rest.split_once(", limit ").unwrap_or((rest, ""));
            let at = at.trim_start_matches(" at node").trim_start_matches('s');
            let at: Vec<u8> = at.split(',').filter_map(|node| node.trim().parse().ok()).collect();
            full.push((name.to_owned(), at));
        }
        self.full += full.len() as u64;
        let Some(server) = &self.server else { return Ok(()) };
        let directory = server.broker.directory();
        for &node in self.meant.get(&post).into_iter().flatten() {
            let name = directory.user(node.user).map(|user| &*user.name).unwrap_or_default();
            let is_full = |(full, at): &(String, Vec<u8>)| {
                full == name && (at.is_empty() || at.contains(&node.offset))
            };
            let stored = self.stored.get(&post).is_some_and(|nodes| nodes.contains(&node));
            if !stored && !full.iter().any(is_full) {
                return Err(Violation::Untold { post, node: node.into() });
            }
        }
        Ok(())
    }

    /// Remembers for which nodes a post is that is about to be handed over: those that are known now.
    fn remember_meant(&mut self, post: u64, to: &[(String, Kind)]) {
        let Some(server) = &self.server else { return };
        let directory = server.broker.directory();
        let all = to.iter().filter(|(_, kind)| *kind == Kind::AllNodes);
        let users = all.filter_map(|(name, _)| directory.user_id(name));
        let meant = users.flat_map(|user| directory.nodes(user)).collect();
        self.meant.insert(post, meant);
    }

    /// Is it too late to send anything?
    fn is_silent(&mut self) -> bool {
        if self.calm {
            self.posts_left = self.posts_left.saturating_sub(1);
        }
        self.posts_left == 0
    }

    pub(super) fn post(&mut self, number: usize, link: LinkId) {
        if self.is_silent() {
            return;
        }
        if self.next_post(number).is_none() {
            return;
        }
        let size = match self.rng.random_range(0..20) {
            0 => LARGE + 100,
            1..4 => 2500,
            _ => self.rng.random_range(0..200),
        };
        let body = body(self.posts, size);
        let mut to = Vec::new();
        for _ in 0..self.rng.random_range(1..3) {
            let kind = match self.rng.random_range(0..10) {
                0..2 => Kind::OneNode,
                2..8 => Kind::AllNodes,
                8 => Kind::List,
                _ => Kind::ListAndSender,
            };
            let name = match kind {
                Kind::OneNode | Kind::AllNodes => user(self.rng.random_range(0..USERS)),
                Kind::List | Kind::ListAndSender => "list".to_owned(),
            };
            if !to.iter().any(|(other, _)| *other == name) {
                to.push((name, kind));
            }
        }
        debug_assert!(self.fans_out(number, &to));
        self.remember_meant(self.posts, &to);
        let content = Content { etc: None, body };
        let request =
            Request::Post { id: self.posts.to_string(), to, no_nodes: self.chance(10), content };
        let client = &mut self.clients[number];
        match client.speaks_v2 {
            true => drop(client.unacked.insert(self.posts, request.clone())),
            false => client.loose.push(self.posts),
        }
        self.ask(link, Op::Post, request, Credential::Empty, Credential::Empty);
    }

    /// Posts once more what had no answer.
    fn repost(&mut self, number: usize, link: LinkId) {
        let client = &mut self.clients[number];
        let Some(post) = client.reposts.pop_front() else { return };
        let Some(request) = client.unacked.get(&post).cloned() else { return };
        self.stored.remove(&post);
        if let Request::Post { to, .. } = &request {
            // A node that nobody was told of may be gone.
            self.remember_meant(post, to);
        }
        if let Some(post) = post_ref(&self.senders, post) {
            self.history.reposted(post);
        }
        self.ask(link, Op::Post, request, Credential::Empty, Credential::Empty);
    }

    /// Gives the client's next post its number.
    fn next_post(&mut self, number: usize) -> Option<()> {
        let from = self.node_id(number)?.into();
        self.posts += 1;
        self.senders.push(from);
        self.history.posted(PostRef { from, seq: self.posts }, None);
        Some(())
    }

    /// No fan-out names a node that the directory does not know.
    pub(super) fn fans_out(&self, number: usize, to: &[(String, Kind)]) -> bool {
        let (Some(server), Some(own)) = (&self.server, self.node_id(number)) else { return true };
        let directory = server.broker.directory();
        let fanout = fanout::fanout(directory, own, to, false);
        let known = |node: &NodeId| directory.nodes(node.user).any(|known| known == *node);
        fanout.nodes.iter().chain(fanout.to_one.iter().flatten()).all(known)
    }

    pub(super) fn edit_list(&mut self, number: usize, link: LinkId) {
        if self.is_silent() {
            return;
        }
        let edit = ["add", "add", "invite", "remove"][self.rng.random_range(0..4)];
        let members = (0..self.rng.random_range(1..3)).map(|_| {
            let other = self.rng.random_range(0..USERS);
            if edit == "invite" { format!("alias{other}") } else { user(other) }
        });
        let members = members.collect();
        if self.next_post(number).is_none() {
            return;
        }
        let content = Content { etc: None, body: body(self.posts, 10) };
        let request = Request::ListEdit {
            id: self.posts.to_string(),
            list: "list".into(),
            edit: edit.into(),
            members,
            content,
        };
        self.ask(link, Op::ListEdit, request, Credential::Empty, Credential::Empty);
    }

    pub(super) fn ack(&mut self, number: usize, link: LinkId) {
        let mut ids = std::mem::take(&mut self.clients[number].received);
        ids.shuffle(&mut self.rng);
        let acked = self.rng.random_range(0..=ids.len());
        self.clients[number].received = ids.split_off(acked);
        if let Some(node) = self.node_id(number) {
            for id in &ids {
                self.history.client_acked(node.into(), None, Some(*id));
            }
        }
        let request = Request::Ack { ids, ok: true };
        self.ask(link, Op::Ack, request, Credential::Empty, Credential::Empty);
    }
}

/// A body that says which post it is of, and can be checked.
pub(super) fn body(post: u64, size: usize) -> Bytes {
    let mut body = format!("{post:08} {size:08} ").into_bytes();
    body.extend((0..size).map(|at| (at as u64 * 31 + post) as u8));
    body.into()
}

pub(super) fn post_of(body: &[u8]) -> Option<u64> {
    std::str::from_utf8(body.get(..8)?).ok()?.parse().ok()
}

pub(super) fn is_intact(bytes: &[u8]) -> bool {
    let size = bytes.get(9..17).and_then(|size| std::str::from_utf8(size).ok()?.parse().ok());
    match (post_of(bytes), size) {
        (Some(post), Some(size)) => body(post, size) == bytes,
        _ => false,
    }
}
