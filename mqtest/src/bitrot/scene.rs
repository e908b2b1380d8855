//! The store that is damaged: a few users and nodes, a list, and messages in every place where one
//! can wait. The history knows what was posted and acked.

use super::life::{LARGE, Life};
use super::point::look;
use super::tree::Tree;
use anyhow::ensure;
use mqlib::broker::LinkId;
use mqlib::disk::Disk;
use mqlib::id::MessageId;
use mqlib::reply::Reply;
use mqlib::testing::disk::SimDisk;
use mqlib::testing::history::{Arrival, Audience, History, NodeRef, PostRef};
use serde_json::json;
use std::collections::HashMap;

/// Users with their nodes. The first one posts.
pub(super) const USERS: [(&str, u32); 3] = [("alice", 2), ("bob", 1), ("carol", 1)];
/// Messages that come and go before, so that the journal has been round its ring.
pub(super) const PASSING: u64 = 110;
/// What is none of ours.
pub(super) const STRANGERS: [&str; 2] = ["notes.txt", "spool/bob,0/README"];

/// A store and what is known of it.
pub(super) struct Scene {
    /// `young` for one whose journal has not been round its ring; `stopped` or `killed`.
    pub(super) name: &'static str,
    pub(super) tree: Tree,
    pub(super) history: History,
    /// What a check finds wrong with it: a file that is none of ours, in a queue.
    pub(super) wrong: Vec<String>,
    /// The posts that are in the journal only.
    pub(super) unfiled: Vec<u64>,
    /// The ids of posts that are posted again, to whom, and how long they are.
    pub(super) again: Vec<(u64, &'static [&'static str], usize)>,
}

/// Every node of every user.
pub(super) fn nodes() -> impl Iterator<Item = NodeRef> {
    let users = (0..).zip(USERS);
    users.flat_map(|(user, (_, nodes))| (0..nodes).map(move |node| NodeRef { user, node }))
}

/// The clients that are connected, and the history that they write.
pub(super) struct Clients<'a> {
    pub(super) history: &'a mut History,
    pub(super) links: HashMap<LinkId, NodeRef>,
}

impl Clients<'_> {
    /// All nodes log in; those that cannot.
    pub(super) fn login(&mut self, life: &mut Life) -> anyhow::Result<Vec<NodeRef>> {
        let mut refused = Vec::new();
        for node in nodes() {
            let link = life.connect();
            let user = USERS[node.user as usize].0;
            let key = (node.user * 10 + node.node).to_string();
            let header = json!({"op": "login", "userId": user, "nodeId": key, "v": 2});
            self.links.insert(link, node);
            self.history.logged_in(node, 100);
            life.send(link, &header, b"");
            let heard = life.work()?;
            if !heard.iter().any(|(at, reply)| *at == link && reply.v.is_some()) {
                self.links.remove(&link);
                refused.push(node);
            }
            self.hear(life, heard)?;
        }
        Ok(refused)
    }

    /// Takes what came, acks it, and what comes then.
    pub(super) fn hear(
        &mut self,
        life: &mut Life,
        mut heard: Vec<(LinkId, Reply)>,
    ) -> anyhow::Result<()> {
        while !heard.is_empty() {
            for (link, reply) in heard {
                let Some(&node) = self.links.get(&link) else { continue };
                self.hear_one(life, link, node, &reply);
            }
            heard = life.work()?;
        }
        Ok(())
    }

    fn hear_one(&mut self, life: &mut Life, link: LinkId, node: NodeRef, reply: &Reply) {
        if reply.op == "ack" {
            let seq = reply.id.as_deref().and_then(|id| id.parse().ok());
            if let Some(seq) = seq.filter(|_| reply.kind.as_deref() == Some("ok")) {
                let id = reply.msgid.as_deref().and_then(|id| id.parse().ok());
                self.history.acked(PostRef { from: node, seq }, id);
            }
            return;
        }
        if reply.from.is_none() {
            return;
        }
        let id: Option<MessageId> = reply.id.as_deref().and_then(|id| id.parse().ok());
        let is_post = reply.op == "deliver";
        let post = seq_of(&reply.body).map(|seq| PostRef { from: POSTER, seq });
        if id.is_none() || is_post && !is_intact(&reply.body) {
            self.history.corrupted(node, "a body that nobody posted");
        }
        let post = post.filter(|_| is_post);
        let marked = Some(reply.redelivered > 0);
        self.history.delivered(Arrival { node, post, id, marked });
        self.history.client_acked(node, post, id);
        let id = reply.id.clone().unwrap_or_default();
        life.send(link, &json!({"op": "ack", "id": id, "type": "ok"}), b"");
    }

    /// The first user's first node posts.
    pub(super) fn post(&mut self, life: &mut Life, seq: u64, to: &[&str], size: usize) {
        let Some(link) = self.links.iter().find(|(_, node)| **node == POSTER) else { return };
        let to: serde_json::Map<_, _> = to
            .iter()
            .map(|to| match *to {
                "team" => ("team".into(), json!(2)),
                to => match to.strip_suffix('!') {
                    Some(one) => (one.into(), json!(0)),
                    None => (to.into(), json!(1)),
                },
            })
            .collect();
        let header = json!({"op": "post", "id": seq.to_string(), "to": to, "noNodes": true});
        life.send(*link.0, &header, &body(seq, size));
    }
}

/// The node that posts.
pub(super) const POSTER: NodeRef = NodeRef { user: 0, node: 0 };

impl Scene {
    /// Makes the store, through which so many messages have passed; the server ends by a kill or in
    /// good order.
    pub(super) fn make(name: &'static str, passing: u64, kill: bool) -> anyhow::Result<Self> {
        let disk = SimDisk::new(1);
        let mut history = History::of_reposts();
        let mut again = Vec::new();
        let mut life = Life::open(&disk)?;
        register(&mut life, &mut history)?;
        let mut clients = Clients { history: &mut history, links: HashMap::new() };
        ensure!(clients.login(&mut life)?.is_empty(), "a node cannot log in");
        let mut seq = 0;
        let mut post = |clients: &mut Clients<'_>,
                        life: &mut Life,
                        to: &'static [&'static str],
                        size|
         -> anyhow::Result<u64> {
            seq += 1;
            let is =
                |name| to.iter().any(|to: &&str| to.trim_end_matches('!') == name || *to == "team");
            let users = [1, 2].into_iter().filter(|user| is(USERS[*user as usize].0)).collect();
            let audience = Audience { users, ..Audience::default() };
            clients.history.posted(PostRef { from: POSTER, seq }, Some(audience));
            clients.post(life, seq, to, size);
            let heard = life.work()?;
            clients.hear(life, heard)?;
            Ok(seq)
        };
        for _ in 0..passing {
            let seq = post(&mut clients, &mut life, &["bob"], 700)?;
            again.push((seq, &["bob"][..], 700));
        }
        // From now on the others are away.
        for link in clients.links.clone() {
            if link.1 != POSTER {
                life.leave(link.0);
                clients.links.remove(&link.0);
            }
        }
        let to: [(&[&str], usize); 6] = [
            (&["bob"], 60),
            (&["team"], 300),
            (&["carol!"], 10),
            (&["bob", "carol"], LARGE + 900),
            (&["carol"], 0),
            (&["bob"], 1200),
        ];
        for files in [true, false] {
            life.files = files;
            for (to, size) in to {
                let seq = post(&mut clients, &mut life, to, size)?;
                again.push((seq, to, size));
            }
        }
        for path in STRANGERS {
            disk.create(path, 0, &[b"none of ours"])?;
        }
        life.end(kill)?;
        history.crashed(None);
        // The oldest are forgotten, by and by.
        let again = again.split_off(again.len().saturating_sub(20));
        let unfiled = again[again.len() - to.len()..].iter().map(|(seq, ..)| *seq).collect();
        let tree = Tree::read(&disk)?;
        let wrong = look(&tree.to_disk()?, false)?;
        ensure!(wrong.len() == 1, "the store is not well to begin with: {wrong:?}");
        Ok(Self { name, tree, history, wrong, unfiled, again })
    }
}

fn register(life: &mut Life, history: &mut History) -> anyhow::Result<()> {
    let link = life.connect();
    for node in nodes() {
        let (user, key) = (USERS[node.user as usize].0, (node.user * 10 + node.node).to_string());
        let prev = (node.user * 10).to_string();
        let header = match node.node {
            0 => json!({"op": "register", "userId": user, "newNode": key, "aliases": user[..2]}),
            _ => json!({"op": "addNode", "userId": user, "newNode": key, "prevNode": prev}),
        };
        life.send(link, &header, b"");
        life.work()?;
        history.joined(node);
    }
    life.leave(link);
    let link = life.connect();
    life.send(link, &json!({"op": "login", "userId": "alice", "nodeId": "0", "v": 2}), b"");
    life.work()?;
    for member in ["alice", "bob", "carol"] {
        let header = json!({"op": "listEdit", "id": member, "to": "team", "type": "add",
            "member": member});
        life.send(link, &header, b"");
        life.work()?;
    }
    life.leave(link);
    life.work()?;
    ensure!(life.broker.directory().members().count() == 3, "the list is not as it should be");
    Ok(())
}

/// A body that says which post it is of, and can be checked.
pub(super) fn body(seq: u64, size: usize) -> Vec<u8> {
    let mut body = format!("post {seq:08} {size:08} ").into_bytes();
    body.extend((0..size).map(|at| (at as u64 * 31 + seq) as u8));
    body
}

/// The post that a body says it is of.
pub(super) fn seq_of(body: &[u8]) -> Option<u64> {
    let number = body.strip_prefix(b"post ")?.get(..8)?;
    std::str::from_utf8(number).ok()?.parse().ok()
}

fn is_intact(bytes: &[u8]) -> bool {
    let size = bytes.get(14..22).and_then(|size| std::str::from_utf8(size).ok()?.parse().ok());
    match (seq_of(bytes), size) {
        (Some(seq), Some(size)) => body(seq, size) == bytes,
        _ => false,
    }
}
