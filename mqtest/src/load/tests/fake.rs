//! A server in a few lines: all in memory, no limits, and a fault of the test's choice.

use bytes::Bytes;
use mqlib::id::{IdSource, MessageId};
use mqlib::reply::{self, AckError, Queued};
use mqlib::request::{Incoming, Kind, Request};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use wsstream::{Limits, Link};

/// What the server does wrong, now and then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// One node does not get the message.
    Lose,
    /// The message overtakes all that wait.
    Reorder,
    /// A byte of the message changes.
    Damage,
    /// A list's last member gets nothing.
    ForgetMember,
    /// The message is in the queue twice.
    Repeat,
}

type Node = (String, String);

#[derive(Default)]
struct Queue {
    messages: VecDeque<(MessageId, Bytes)>,
    link: Option<mpsc::UnboundedSender<Bytes>>,
}

struct State {
    fault: Fault,
    turn: u64,
    ids: IdSource,
    queues: HashMap<Node, Queue>,
    aliases: HashMap<String, String>,
    lists: HashMap<String, BTreeSet<String>>,
}

pub(crate) async fn start(fault: Fault) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let state = Arc::new(Mutex::new(State {
        fault,
        turn: 0,
        ids: IdSource::new(0, MessageId::ZERO),
        queues: HashMap::new(),
        aliases: HashMap::new(),
        lists: HashMap::new(),
    }));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, state.clone()));
        }
    });
    address
}

async fn serve(stream: TcpStream, state: Arc<Mutex<State>>) {
    let Ok(mut link) = Link::accept(stream, &Limits::default()).await else { return };
    let (out, mut outbox) = mpsc::unbounded_channel();
    let mut me = None;
    loop {
        tokio::select! {
            message = link.message() => {
                let Some(Ok(message)) = message else { break };
                let request = Incoming::parse(&message).unwrap().request.unwrap();
                state.lock().unwrap().handle(request, &mut me, &out);
            }
            Some(message) = outbox.recv() => if link.send(message).await.is_err() { break },
        }
    }
    if let Some(me) = me {
        state.lock().unwrap().queue(&me).link = None;
    }
    link.close(None, std::time::Duration::from_secs(1)).await;
}

impl State {
    fn queue(&mut self, node: &Node) -> &mut Queue {
        self.queues.get_mut(node).unwrap()
    }

    fn handle(
        &mut self,
        request: Request,
        me: &mut Option<Node>,
        out: &mpsc::UnboundedSender<Bytes>,
    ) {
        let answer = |message| out.send(message).unwrap();
        let acked = |id: &str| answer(reply::ack(id, true, AckError::Absent));
        match request {
            Request::Register { user, new_node, aliases, .. } => {
                if me.is_some() {
                    return;
                }
                self.queues.insert((user.clone(), new_node.reveal().into()), Queue::default());
                self.aliases.insert(aliases.clone(), user);
                answer(reply::registered(Some(&aliases), None, None));
            }
            Request::AddNode { user, new_node, prev_node, .. } => {
                let waiting = self.queue(&(user.clone(), prev_node.reveal().into()));
                let messages = waiting.messages.clone();
                let queue = Queue { messages, link: None };
                self.queues.insert((user, new_node.reveal().into()), queue);
                answer(reply::added(Some(1), None, None));
            }
            Request::Login { user, node, .. } => {
                let node = (user, node.reveal().to_owned());
                let queue = self.queue(&node);
                if queue.link.is_some() {
                    return answer(reply::quit(&mqlib::quit::Quit::NodeActive));
                }
                queue.link = Some(out.clone());
                answer(reply::logged_in());
                queue.send_head();
                *me = Some(node);
            }
            Request::Post { id, to, no_nodes, content } => {
                let me = me.as_ref().unwrap();
                let mut users = BTreeSet::new();
                for (name, kind) in to {
                    match kind {
                        Kind::OneNode | Kind::AllNodes => _ = users.insert(name),
                        Kind::List | Kind::ListAndSender => {
                            let mut members = self.lists[&name].clone();
                            if kind == Kind::List {
                                members.remove(&me.0);
                            }
                            if self.fault == Fault::ForgetMember {
                                members.pop_last();
                            }
                            users.extend(members);
                        }
                    }
                }
                self.fan_out(me, users, !no_nodes, content.etc, &content.body);
                acked(&id);
            }
            Request::Ping { id, alias, no_nodes, content } => {
                let owner = self.aliases[&alias].clone();
                let me = me.as_ref().unwrap();
                self.fan_out(me, [owner].into(), !no_nodes, content.etc, &content.body);
                acked(&id);
            }
            Request::Ack { ids, .. } => {
                let queue = self.queue(me.as_ref().unwrap());
                if queue.messages.front().map(|(head, _)| head) == ids.first() {
                    queue.messages.pop_front();
                    queue.send_head();
                }
            }
            Request::ListEdit { id, list, edit, members: edited, .. } => {
                let me = me.as_ref().unwrap();
                let members = self.lists.entry(list).or_default();
                members.insert(me.0.clone());
                match edit.as_str() {
                    "add" => members.extend(edited),
                    _ => members.retain(|member| !edited.contains(member)),
                }
                acked(&id);
            }
            Request::DropNode { .. } | Request::Status { .. } => {
                panic!("the load run asks for no such thing")
            }
        }
    }

    fn fan_out(
        &mut self,
        me: &Node,
        users: BTreeSet<String>,
        copies: bool,
        etc: Option<usize>,
        body: &[u8],
    ) {
        let id = self.ids.next(1);
        let message = reply::queued(Queued::Deliver, id, "", &me.0, etc, body);
        let is_for =
            |node: &Node| users.contains(&node.0) || copies && node.0 == me.0 && node.1 != me.1;
        let nodes: Vec<_> = self.queues.keys().filter(|&node| is_for(node)).cloned().collect();
        for node in nodes {
            self.turn += 1;
            // An overtaken message of another sender is no fault, so this one is not rare.
            let now = self.turn.is_multiple_of(20) || self.fault == Fault::Reorder;
            let fault = if now { self.fault } else { Fault::None };
            self.queue(&node).put(id, &message, fault);
        }
    }
}

impl Queue {
    fn put(&mut self, id: MessageId, message: &Bytes, fault: Fault) {
        // What is in front is on its way.
        let was_idle = self.messages.is_empty();
        let behind = self.messages.len();
        match fault {
            Fault::None | Fault::ForgetMember => self.messages.push_back((id, message.clone())),
            Fault::Lose => return,
            Fault::Reorder if behind >= 2 => {
                self.messages.insert(1, (id, message.clone()));
            }
            Fault::Reorder => self.messages.push_back((id, message.clone())),
            Fault::Damage => {
                let mut damaged = message.to_vec();
                *damaged.last_mut().unwrap() ^= 1;
                self.messages.push_back((id, damaged.into()));
            }
            Fault::Repeat => {
                // Under another id, or the client would not show it.
                let again = MessageId::from_bits(id.to_bits() + 1);
                let text = String::from_utf8_lossy(&id.text()).into_owned();
                let at = message.windows(text.len()).position(|part| part == text.as_bytes());
                let mut copy = message.to_vec();
                let at = at.unwrap();
                copy[at..at + text.len()].copy_from_slice(&again.text());
                self.messages.push_back((id, message.clone()));
                self.messages.push_back((again, copy.into()));
            }
        }
        if was_idle {
            self.send_head();
        }
    }

    fn send_head(&self) {
        if let (Some(link), Some((_, message))) = (&self.link, self.messages.front()) {
            // A link that has just gone gets it later.
            let _ = link.send(message.clone());
        }
    }
}
