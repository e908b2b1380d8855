//! What the operator does, and what stays away, with a store on a simulated disk.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::credential::NodeKey;
use crate::directory::User;
use crate::disk::Disk;
use crate::limits::Retention;
use crate::registry::Birth;
use crate::reply::Reply;
use crate::request::{Content, Kind, NodeName};
use crate::spool;
use crate::store::{Store, StoreConfig};
use crate::testing::disk::SimDisk;
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;
use serde_json::{Value, json};

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;
/// 2026-01-01.
const BEGIN: u64 = 1_767_225_600_000;

/// A server in virtual time, and all that came out of it.
struct Server {
    disk: SimDisk,
    broker: Broker,
    store: Store,
    now: Now,
    links: u64,
    operations: u64,
    got: HashMap<LinkId, Vec<Reply>>,
    closed: Vec<(LinkId, String)>,
    operated: HashMap<u64, Result<Operated, OperateError>>,
    retention: Retention,
}

fn opened(disk: &SimDisk, retention: Retention) -> (Broker, Store) {
    let config = StoreConfig { segments: 3, segment_len: 64 << 10, ..StoreConfig::default() };
    let birth = Birth { salt: [1; 32], tag: 7 };
    let (store, opened) = Store::open(&disk.mount(), config, birth).unwrap();
    let limits = Limits { retention, ..Limits::default() };
    (Broker::new(limits, opened), store)
}

fn key(name: &str, node: u8) -> Credential {
    let mut key = [node; 32];
    key[..name.len()].copy_from_slice(name.as_bytes());
    Credential::Key(NodeKey(key))
}

fn addition(user: &str) -> Request {
    let (new_node, prev_node) = (NodeName::new(String::new()), NodeName::new(String::new()));
    Request::AddNode { user: user.to_owned(), new_node, issue: false, prev_node }
}

fn post_of(id: &str, to: &[(&str, Kind)]) -> Request {
    let to = to.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect();
    let content = Content { etc: None, body: Bytes::copy_from_slice(id.as_bytes()) };
    Request::Post { id: id.to_owned(), to, no_nodes: true, content }
}

impl Server {
    fn start(retention: Retention) -> Self {
        let disk = SimDisk::new(0);
        let (broker, store) = opened(&disk, retention);
        let now = Now { mono: Duration::ZERO, wall: BEGIN };
        let mut server = Self {
            disk,
            broker,
            store,
            now,
            links: 0,
            operations: 0,
            got: HashMap::new(),
            closed: Vec::new(),
            operated: HashMap::new(),
            retention,
        };
        server.pass(1);
        server
    }

    /// A server with these users, each with one node but for bob, who has two.
    fn with(users: &[&str]) -> Self {
        let mut server = Self::start(Retention::default());
        users.iter().for_each(|user| server.register(user));
        if users.contains(&"bob") {
            server.add_node("bob", 1);
        }
        server
    }

    /// It is killed, and starts again.
    fn restart(mut self) -> Self {
        self.disk.crash(&mut Xoshiro256PlusPlus::seed_from_u64(1));
        (self.broker, self.store) = opened(&self.disk, self.retention);
        self.now.mono = Duration::ZERO;
        self.got.clear();
        self.pass(1);
        self
    }

    /// Does one thing of what is to be done; `false` if there is nothing, or the server has failed.
    fn step(&mut self) -> bool {
        while let Some(output) = self.broker.poll() {
            match output {
                Output::Spool(op) => self.store.submit(self.now.mono, op),
                Output::Send(link, message) => self.hear(link, &message),
                Output::Deliver(link, delivery) => self.hear(link, &delivery.to_bytes()),
                Output::Mark(link, bytes) => {
                    self.broker.handle(self.now, Input::Written(link, bytes));
                }
                Output::Close(link, quit) => {
                    self.closed.push((link, quit.to_string()));
                    self.broker.handle(self.now, Input::Closed(link));
                }
                Output::Operated(number, result) => drop(self.operated.insert(number, result)),
                Output::Settled(..) | Output::Trouble(_) => {}
            }
        }
        if self.store.commit(self.now.mono).is_err() {
            return false;
        }
        if let Some(job) = self.store.poll_job() {
            let done = job.run(&self.disk, &mut |_| ());
            return self.store.job_done(self.now.mono, done).is_ok();
        }
        match self.store.poll_done() {
            Some(done) => self.broker.handle(self.now, Input::Spool(done)),
            None => return false,
        }
        true
    }

    fn hear(&mut self, link: LinkId, message: &Bytes) {
        self.got.entry(link).or_default().push(Reply::parse(message).unwrap());
    }

    /// All comes to its end that can, and a moment passes.
    fn settle(&mut self) {
        for _ in 0..3 {
            while self.step() {}
            self.now.mono += Duration::from_millis(200);
            self.now.wall += 200;
            self.store.handle_timeout(self.now.mono);
        }
        while self.step() {}
    }

    /// Seconds pass, an hour at a time.
    fn pass(&mut self, seconds: u64) {
        let mut left = seconds;
        while left > 0 {
            let part = left.min(HOUR);
            left -= part;
            self.now.mono += Duration::from_secs(part);
            self.now.wall += part * 1000;
            self.broker.handle_timeout(self.now);
            self.settle();
            // The later steps of a round.
            self.broker.handle_timeout(self.now);
            self.settle();
        }
    }

    fn ask(&mut self, link: LinkId, op: Op, request: Request, new: Credential, node: Credential) {
        self.hand_in(link, op, request, new, node);
        self.settle();
    }

    /// Asks, and no time passes.
    fn hand_in(
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
        self.broker.handle(self.now, Input::Request(link, asked));
        while self.step() {}
    }

    fn connect(&mut self) -> LinkId {
        self.links += 1;
        let link = LinkId(self.links);
        self.broker.handle(self.now, Input::Opened(link, self.now.mono));
        link
    }

    fn close(&mut self, link: LinkId) {
        self.broker.handle(self.now, Input::Closed(link));
        self.settle();
    }

    fn register(&mut self, user: &str) {
        let link = self.connect();
        let (user, aliases) = (user.to_owned(), format!("al-{user}"));
        let (new_node, issue, invite) = (NodeName::new(String::new()), false, None);
        let new = key(&user, 0);
        let request = Request::Register { user, new_node, issue, aliases, invite };
        self.ask(link, Op::Register, request, new, Credential::Empty);
        assert_eq!(self.last(link).error, None);
        self.close(link);
    }

    fn add_node(&mut self, user: &str, node: u8) -> Option<String> {
        let link = self.connect();
        self.ask(link, Op::AddNode, addition(user), key(user, node), key(user, 0));
        let error = self.last(link).error.clone();
        self.close(link);
        error
    }

    fn login(&mut self, user: &str, node: u8) -> LinkId {
        let link = self.connect();
        let (version, takeover) = (Version::V2 { window: 100 }, false);
        let name = NodeName::new(String::new());
        let request = Request::Login { user: user.to_owned(), node: name, version, takeover };
        self.ask(link, Op::Login, request, Credential::Empty, key(user, node));
        link
    }

    /// Pings an alias; what the ack says is wrong.
    fn ping(&mut self, link: LinkId, alias: &str) -> Option<String> {
        let content = Content { etc: None, body: Bytes::new() };
        let (id, alias) = ("ping".to_owned(), alias.to_owned());
        let request = Request::Ping { id, alias, no_nodes: true, content };
        self.ask(link, Op::Ping, request, Credential::Empty, Credential::Empty);
        self.last(link).error.clone()
    }

    /// Posts to users; what the ack says is wrong.
    fn post(&mut self, link: LinkId, id: &str, to: &[(&str, Kind)]) -> Option<String> {
        self.ask(link, Op::Post, post_of(id, to), Credential::Empty, Credential::Empty);
        self.last(link).error.clone()
    }

    fn edit_list(&mut self, link: LinkId, list: &str, edit: &str, member: &str) {
        let (list, edit) = (list.to_owned(), edit.to_owned());
        let content = Content { etc: None, body: Bytes::new() };
        let members = vec![member.to_owned()];
        let request = Request::ListEdit { id: "e".into(), list, edit, members, content };
        self.ask(link, Op::ListEdit, request, Credential::Empty, Credential::Empty);
        assert_eq!(self.last(link).kind.as_deref(), Some("ok"));
    }

    /// Has a link ack all that it got.
    fn ack(&mut self, link: LinkId) {
        let got = self.deliveries(link);
        let ids = got.iter().filter_map(|reply| reply.id.as_deref()?.parse().ok());
        let request = Request::Ack { ids: ids.collect(), ok: true };
        self.ask(link, Op::Ack, request, Credential::Empty, Credential::Empty);
    }

    fn last(&self, link: LinkId) -> &Reply {
        self.got[&link].last().unwrap()
    }

    /// What was delivered on a link.
    fn deliveries(&self, link: LinkId) -> Vec<Reply> {
        let got = self.got.get(&link).into_iter().flatten();
        let got = got.filter(|reply| reply.from.is_some() && reply.redelivered == 0);
        got.cloned().collect()
    }

    /// The bodies of posts that a node gets at a login, and what the server tells it.
    fn queue(&mut self, user: &str, node: u8) -> (Vec<String>, Vec<Value>) {
        let link = self.login(user, node);
        self.settle();
        let (own, posts): (Vec<_>, Vec<_>) =
            self.deliveries(link).into_iter().partition(|reply| reply.from.as_deref() == Some(""));
        self.close(link);
        let posts = posts.iter().filter(|reply| reply.op == "deliver");
        let text = |reply: &Reply| String::from_utf8(reply.body.to_vec()).unwrap();
        let told = own.iter().map(|reply| serde_json::from_slice(&reply.etc().unwrap()).unwrap());
        (posts.map(text).collect(), told.collect())
    }

    fn begin(&mut self, operation: Operation) -> u64 {
        self.operations += 1;
        self.broker.handle(self.now, Input::Operate(self.operations, operation));
        self.operations
    }

    fn operate(&mut self, operation: Operation) -> Result<Operated, OperateError> {
        let number = self.begin(operation);
        self.settle();
        self.operated.remove(&number).unwrap()
    }

    fn purge(&mut self, up_to: Option<MessageId>, bounce: bool) -> Result<Operated, OperateError> {
        let user = "bob".to_owned();
        self.operate(Operation::Purge { user, offset: 0, up_to, bounce })
    }

    fn user(&self, name: &str) -> Option<&User> {
        self.broker.directory().user(self.broker.directory().user_id(name)?)
    }

    /// Files and directories of a user's on the disk.
    fn left_of(&self, user: &str) -> Vec<String> {
        let mut left = Vec::new();
        for root in [spool::ROOT, crate::posted::ROOT] {
            let names = self.disk.list(root).unwrap();
            left.extend(names.into_iter().filter(|name| name.starts_with(&format!("{user},"))));
        }
        left
    }
}

fn reasons(told: &[Value]) -> Vec<&str> {
    told.iter().map(|told| told["bounce"]["reason"].as_str().unwrap()).collect()
}

const ALL: Kind = Kind::AllNodes;

#[test]
fn a_deleted_user_is_logged_out_and_gone_with_its_queues_aliases_and_lists() {
    let mut server = Server::with(&["alice", "bob"]);
    let alice = server.login("alice", 0);
    server.edit_list(alice, "team", "add", "bob");
    server.ack(alice);
    let bob = server.login("bob", 0);
    assert_eq!(server.operate(Operation::DeleteUser("bob".into())), Ok(Operated::Done));
    assert_eq!(server.closed, [(bob, "user deleted".to_owned())]);
    assert!(server.user("bob").is_none() && server.left_of("bob").is_empty());
    let notice = server.deliveries(alice).pop().unwrap();
    assert_eq!((notice.op.as_str(), notice.from.as_deref()), ("listEdited", Some("bob")));
    let notice: Value = serde_json::from_slice(&notice.body).unwrap();
    assert_eq!((&notice["op"], &notice["uid"]), (&json!("remove"), &json!("bob")));
    assert_eq!(server.post(alice, "p", &[("bob", ALL)]).as_deref(), Some("userId unknown"));
    let error = server.operate(Operation::DeleteUser("bob".into()));
    assert_eq!(error, Err(OperateError::NoUser("bob".into())));
    server = server.restart();
    assert!(server.user("bob").is_none());
    // The alias was free, and is the new one's.
    server.register("bob");
    assert_eq!(server.user("bob").unwrap().aliases[0].as_ref(), "al-bob");
    assert_eq!(server.queue("bob", 0), (vec![], vec![]));
}

#[test]
fn what_no_node_of_a_deleted_user_has_is_bounced_once_to_each_sender_who_is_there() {
    let mut server = Server::with(&["alice", "bob", "carol"]);
    let alice = server.login("alice", 0);
    let carol = server.login("carol", 0);
    server.post(alice, "had", &[("bob", ALL)]);
    let bob = server.login("bob", 0);
    server.ack(bob);
    server.close(bob);
    server.post(alice, "all", &[("bob", ALL)]);
    server.post(alice, "one", &[("bob", Kind::OneNode)]);
    server.post(carol, "gone", &[("bob", ALL)]);
    assert_eq!(server.operate(Operation::DeleteUser("carol".into())), Ok(Operated::Done));
    assert_eq!(server.operate(Operation::DeleteUser("bob".into())), Ok(Operated::Done));
    let ids: Vec<_> = server.got[&alice].iter().filter_map(|reply| reply.msgid.clone()).collect();
    server.close(alice);
    let (posts, told) = server.queue("alice", 0);
    assert_eq!((posts.len(), reasons(&told)), (0, vec!["user deleted"; 2]));
    let of = |told: &Value| told["bounce"]["id"].as_str().unwrap().to_owned();
    assert_eq!(told.iter().map(of).collect::<Vec<_>>(), ids[1..]);
    assert_eq!(told[0]["bounce"]["to"], "bob");
    assert_eq!(told[0]["bounce"]["posted"].as_str().unwrap()[..11], *"2026-01-01T");
}

#[test]
fn a_name_is_free_only_when_nothing_is_left_wherever_a_crash_comes() {
    let mut finished = 0;
    for cut in 1..60 {
        let mut server = Server::with(&["alice", "bob"]);
        let alice = server.login("alice", 0);
        for number in 0..3 {
            server.post(alice, &number.to_string(), &[("bob", ALL)]);
        }
        server.pass(5);
        let bob = server.login("bob", 1);
        server.post(bob, "mine", &[("alice", ALL)]);
        let number = server.begin(Operation::DeleteUser("bob".into()));
        server.disk.crash_at(cut);
        server.settle();
        let answered = server.operated.contains_key(&number);
        finished += usize::from(answered);
        server = server.restart();
        let is_there = server.user("bob").is_some();
        assert!(!(answered && is_there), "cut {cut}");
        server.pass(5);
        if is_there {
            assert_eq!(server.queue("bob", 0).0.len(), 3, "cut {cut}");
            continue;
        }
        assert_eq!(server.left_of("bob"), [""; 0], "cut {cut}");
        server.register("bob");
        assert_eq!(server.queue("bob", 0), (vec![], vec![]), "cut {cut}");
        // Told once, or more often.
        let told = server.queue("alice", 0).1;
        let told: std::collections::BTreeSet<_> =
            told.iter().map(|told| told["bounce"]["id"].as_str().unwrap()).collect();
        assert_eq!(told.len(), 3, "cut {cut}");
    }
    assert!(finished > 0, "no deletion came to its end");
}

#[test]
fn a_disabled_user_neither_logs_in_nor_adds_nodes_and_what_is_posted_to_it_waits() {
    let mut server = Server::with(&["alice", "bob"]);
    let alice = server.login("alice", 0);
    let bob = server.login("bob", 0);
    assert_eq!(server.operate(Operation::Disable("bob".into(), true)), Ok(Operated::Done));
    assert_eq!(server.closed, [(bob, "user disabled".to_owned())]);
    assert_eq!(server.post(alice, "waits", &[("bob", ALL)]), None);
    server = server.restart();
    let again = server.login("bob", 0);
    assert_eq!(server.closed.last(), Some(&(again, "user disabled".to_owned())));
    let guess = server.login("bob", 9);
    assert_eq!(server.closed.last(), Some(&(guess, "nodeId unknown".to_owned())));
    assert_eq!(server.add_node("bob", 2).as_deref(), Some("user disabled"));
    assert_eq!(server.operate(Operation::Disable("bob".into(), false)), Ok(Operated::Done));
    assert_eq!(server.queue("bob", 0).0, ["waits"]);
    let error = server.operate(Operation::Disable("eve".into(), true)).unwrap_err();
    assert_eq!(error.to_string(), "no user eve");
}

#[test]
fn a_purge_removes_up_to_an_id_for_one_node_and_tells_senders_if_it_is_to() {
    let mut server = Server::with(&["alice", "bob"]);
    let alice = server.login("alice", 0);
    let bob = server.login("bob", 0);
    for number in 0..5 {
        server.post(alice, &number.to_string(), &[("bob", ALL)]);
    }
    server.post(alice, "one", &[("bob", Kind::OneNode)]);
    let second: MessageId = server.deliveries(bob)[1].id.as_deref().unwrap().parse().unwrap();
    assert_eq!(server.purge(Some(second), false), Ok(Operated::Purged(2)));
    assert_eq!(server.purge(None, true), Ok(Operated::Purged(4)));
    // They were in flight, and their acks come too late to count.
    server.ack(bob);
    assert_eq!(server.purge(None, true), Ok(Operated::Purged(0)));
    server = server.restart();
    assert_eq!(server.queue("bob", 0).0, [""; 0]);
    assert_eq!(server.queue("bob", 1).0, ["0", "1", "2", "3", "4"]);
    let (_, told) = server.queue("alice", 0);
    assert_eq!(reasons(&told), ["purged"; 4]);
    // The bounces wait for alice, and do not bounce themselves.
    let purge = Operation::Purge { user: "alice".into(), offset: 0, up_to: None, bounce: true };
    assert_eq!(server.operate(purge), Ok(Operated::Purged(4)));
    let nobody = Operation::Purge { user: "bob".into(), offset: 7, up_to: None, bounce: true };
    assert_eq!(server.operate(nobody).unwrap_err().to_string(), "bob has no node 7");
    assert_eq!(server.broker.counted(), "");
}

#[test]
fn the_last_node_of_a_user_is_dropped_by_the_operator_and_its_queue_bounced() {
    let mut server = Server::with(&["alice", "bob"]);
    let alice = server.login("alice", 0);
    let drop_node = |offset| Operation::DropNode("bob".into(), offset);
    server.post(alice, "1", &[("bob", ALL)]);
    server.post(alice, "2", &[("bob", Kind::OneNode)]);
    assert_eq!(server.operate(drop_node(0)), Ok(Operated::Done));
    assert_eq!(server.deliveries(alice).len(), 0);
    assert_eq!(server.operate(drop_node(0)), Err(OperateError::NoNode("bob".into(), 0)));
    assert_eq!(server.operate(drop_node(1)), Ok(Operated::Done));
    assert_eq!(server.deliveries(alice).len(), 2);
    assert!(server.left_of("bob").is_empty());
    assert_eq!(server.post(alice, "3", &[("bob", ALL)]).as_deref(), Some("bob: no nodes"));
    assert_eq!(
        server.post(alice, "4", &[("bob", Kind::OneNode)]).as_deref(),
        Some("bob: no nodes")
    );
    // Whose alias it is stays a secret.
    assert_eq!(server.ping(alice, "al-bob").as_deref(), Some("al-bob: no nodes"));
    assert_eq!(server.operate(Operation::DeleteUser("bob".into())), Ok(Operated::Done));
    server.register("bob");
    server.ack(alice);
    assert_eq!(server.broker.counted(), "");
}

#[test]
fn nobody_is_told_of_what_an_earlier_user_of_its_name_posted() {
    let mut server = Server::with(&["alice", "bob"]);
    let alice = server.login("alice", 0);
    server.post(alice, "of the old one", &[("bob", ALL)]);
    assert_eq!(server.operate(Operation::DeleteUser("alice".into())), Ok(Operated::Done));
    server.register("alice");
    let alice = server.login("alice", 0);
    server.post(alice, "of the new one", &[("bob", ALL)]);
    server = server.restart();
    assert_eq!(server.purge(None, true), Ok(Operated::Purged(2)));
    assert_eq!(server.queue("alice", 0).1.len(), 1);
}

#[test]
fn while_the_disk_is_full_nothing_is_operated_on_but_a_purge_that_tells_nobody() {
    let mut server = Server::with(&["alice", "bob"]);
    let alice = server.login("alice", 0);
    server.post(alice, "1", &[("bob", ALL)]);
    server.pass(5);
    server.disk.set_full(true);
    server.post(alice, "2", &[("bob", ALL)]);
    assert!(server.post(alice, "3", &[("bob", ALL)]).is_some());
    let full = Err(OperateError::NoRoom(Refusal::DiskFull));
    assert_eq!(server.operate(Operation::DeleteUser("bob".into())), full);
    assert_eq!(server.purge(None, true), full);
    assert_eq!(server.purge(None, false), Ok(Operated::Purged(2)));
}

#[test]
fn a_message_stays_until_its_bounce_is_taken_by_a_disk_that_was_full() {
    let mut server = Server::with(&["alice", "bob"]);
    let alice = server.login("alice", 0);
    server.post(alice, "1", &[("bob", ALL)]);
    server.pass(5);
    let user = "bob".to_owned();
    server.disk.set_full(true);
    let number = server.begin(Operation::Purge { user, offset: 0, up_to: None, bounce: true });
    server.pass(5);
    assert!(!server.operated.contains_key(&number));
    server.disk.set_full(false);
    server.pass(5);
    assert_eq!(server.operated.remove(&number), Some(Ok(Operated::Purged(1))));
    assert_eq!(server.deliveries(alice).len(), 1);
}

#[test]
fn what_is_too_old_for_one_node_is_bounced_once_and_only_if_no_other_has_it() {
    let age = Some(Duration::from_secs(2 * DAY));
    let mut server = Server::start(Retention { message_max_age: age, ..Retention::default() });
    ["alice", "bob"].iter().for_each(|user| server.register(user));
    server.add_node("bob", 1);
    let alice = server.login("alice", 0);
    server.post(alice, "had by one", &[("bob", ALL)]);
    let bob = server.login("bob", 0);
    server.ack(bob);
    server.close(bob);
    server.post(alice, "had by none", &[("bob", ALL)]);
    server.post(alice, "for one", &[("bob", Kind::OneNode)]);
    server.pass(3 * DAY);
    assert_eq!(server.deliveries(alice).len(), 2);
    assert_eq!(server.queue("bob", 0).0, [""; 0]);
    assert_eq!(server.queue("bob", 1).0, [""; 0]);
}

/// A server that warns after 10 days and drops after 20.
fn strict() -> Server {
    let days = |days| Some(Duration::from_secs(days * DAY));
    let retention =
        Retention { warn_after: days(10), drop_after: days(20), ..Retention::default() };
    let mut server = Server::start(retention);
    ["alice", "bob"].iter().for_each(|user| server.register(user));
    server.add_node("bob", 1);
    server
}

#[test]
fn when_a_node_was_online_survives_a_restart_and_is_never_later_than_the_truth() {
    let mut server = strict();
    let left = server.login("bob", 0);
    let stays = server.login("bob", 1);
    server.pass(100);
    server.close(left);
    let left_at = server.now.wall / 1000;
    server.pass(30 * HOUR);
    server = server.restart();
    let seen = |server: &Server, at: usize| {
        let seen = server.user("bob").unwrap().nodes[at].seen.unwrap().get();
        u64::from(seen)
    };
    assert!(seen(&server, 0).abs_diff(left_at) <= 1, "{} {left_at}", seen(&server, 0));
    let behind = server.now.wall / 1000 - seen(&server, 1);
    assert!(behind <= DAY, "{behind} s behind");
    assert!(stays > left);
}

#[test]
fn a_node_that_stays_away_is_dropped_and_the_others_are_warned_and_told_across_restarts() {
    let mut server = strict();
    let alice = server.login("alice", 0);
    server.post(alice, "1", &[("bob", Kind::OneNode)]);
    // Nobody knows when node 1 was there: it counts from when that was noticed.
    server.pass(11 * DAY);
    let bob = server.login("bob", 0);
    server.ack(bob);
    let told = server.deliveries(bob).pop().unwrap();
    let told: Value = serde_json::from_slice(&told.etc().unwrap()).unwrap();
    assert_eq!(told["inactive"]["node"], 1);
    assert_eq!(told["inactive"]["dropAt"].as_str().unwrap()[..10], *"2026-01-21");
    server.pass(120);
    server = server.restart();
    server.pass(8 * DAY);
    assert_eq!(server.user("bob").unwrap().nodes.len(), 2);
    server.pass(DAY + 7 * HOUR);
    let (_, told) = server.queue("bob", 0);
    assert_eq!(told, [json!({"inactive": {"node": 1, "dropped": true}})]);
    assert_eq!(server.user("bob").unwrap().nodes.len(), 1);
    server.pass(HOUR);
    assert!(server.left_of("bob").iter().all(|name| !name.ends_with(",1")));
}

#[test]
fn the_last_node_that_stays_away_stays_and_what_waits_for_it_is_bounced() {
    let mut server = strict();
    let alice = server.login("alice", 0);
    server.pass(19 * DAY);
    server.post(alice, "1", &[("bob", ALL)]);
    server.pass(3 * DAY);
    // Node 1 was added last, and neither was ever there: one of them is left.
    assert_eq!(server.user("bob").unwrap().nodes.len(), 1);
    server.post(alice, "2", &[("bob", ALL)]);
    server.pass(2 * HOUR);
    let told = server.deliveries(alice);
    let told: Vec<Value> =
        told.iter().map(|reply| serde_json::from_slice(&reply.etc().unwrap()).unwrap()).collect();
    assert_eq!(reasons(&told), ["inactive"; 2]);
    let offset = server.user("bob").unwrap().nodes[0].offset;
    assert_eq!(server.queue("bob", offset).0, [""; 0]);
}

#[test]
fn a_disabled_users_nodes_are_not_dropped_and_nobody_is_before_they_could_come_back() {
    let mut server = strict();
    assert_eq!(server.operate(Operation::Disable("bob".into(), true)), Ok(Operated::Done));
    server.pass(30 * DAY);
    assert_eq!(server.user("bob").unwrap().nodes.len(), 2);
    assert_eq!(server.operate(Operation::Disable("bob".into(), false)), Ok(Operated::Done));
    // Noticed now, and then there is an outage of a year.
    server.pass(2 * HOUR);
    server.now.wall += 365 * DAY * 1000;
    server = server.restart();
    server.pass(5 * HOUR);
    assert_eq!(server.user("bob").unwrap().nodes.len(), 2);
    server.pass(3 * HOUR);
    assert_eq!(server.user("bob").unwrap().nodes.len(), 1);
}

#[test]
fn a_message_that_has_waited_for_too_long_is_bounced() {
    let age = Some(Duration::from_secs(2 * DAY));
    let mut server = Server::start(Retention { message_max_age: age, ..Retention::default() });
    ["alice", "bob"].iter().for_each(|user| server.register(user));
    let alice = server.login("alice", 0);
    server.post(alice, "old", &[("bob", ALL)]);
    server.pass(DAY + 12 * HOUR);
    server.post(alice, "young", &[("bob", ALL)]);
    assert_eq!(server.deliveries(alice).len(), 0);
    server.pass(12 * HOUR + 2);
    assert_eq!(server.deliveries(alice).len(), 1);
    assert_eq!(server.queue("bob", 0).0, ["young"]);
}

#[test]
fn a_new_node_gets_what_has_no_file_yet_although_the_one_that_it_is_copied_from_is_dropped() {
    let mut server = Server::with(&["alice", "bob"]);
    let alice = server.login("alice", 0);
    let post = post_of("1", &[("bob", ALL)]);
    server.hand_in(alice, Op::Post, post, Credential::Empty, Credential::Empty);
    let link = server.connect();
    // The broker hears of all of it before the store does any of it.
    let incoming = Incoming { op: Op::AddNode, request: Ok(addition("bob")), in_v1: None };
    let names = Names { new_node: key("bob", 2), node: key("bob", 0), ..Names::default() };
    let asked = Asked { incoming, names: Some(Box::new(names)), read: None };
    server.broker.handle(server.now, Input::Request(link, asked));
    assert_eq!(server.operate(Operation::DropNode("bob".into(), 0)), Ok(Operated::Done));
    assert_eq!(server.last(link).op, "added");
    assert_eq!(server.queue("bob", 2).0, ["1"]);
}

#[test]
fn what_a_node_never_had_that_a_crash_kept_from_being_filled_is_bounced_when_it_is_too_old() {
    let age = Some(Duration::from_secs(2 * DAY));
    let mut unfilled = 0;
    for cut in 1..40 {
        let mut server = Server::start(Retention { message_max_age: age, ..Retention::default() });
        ["alice", "bob"].iter().for_each(|user| server.register(user));
        let alice = server.login("alice", 0);
        server.post(alice, "old", &[("bob", ALL)]);
        server.pass(5);
        let link = server.connect();
        server.disk.crash_at(cut);
        server.hand_in(link, Op::AddNode, addition("bob"), key("bob", 1), key("bob", 0));
        let answered = server.got.contains_key(&link);
        server = server.restart();
        let nodes = server.user("bob").unwrap().nodes.len();
        unfilled += usize::from(nodes == 2 && !answered);
        assert!(nodes == 2 || !answered, "cut {cut}");
        server.pass(3 * DAY);
        assert_eq!(reasons(&server.queue("alice", 0).1), ["too old"], "cut {cut}");
    }
    assert!(unfilled > 0, "no crash came between");
}
