//! A member of the crowd: one node of one user, over many connections and many lives of the server.

use super::letter;
use crate::bench::common::{Framing, Protocol};
use crate::bench::dial::Dial;
use crate::bench::origin::Origin;
use crate::bench::people;
use anyhow::Context;
use bytes::Bytes;
use mqlib::id::MessageId;
use mqlib::reply::Reply;
use mqlib::request;
use mqlib::testing::history::{Arrival, Audience, History, NodeRef, PostRef};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Map, json};
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

/// Letters are up to this, and one in `LARGELY` is large enough to be staged. Bytes.
const SMALL: usize = 8000;
const LARGE: usize = 600 << 10;
/// Posts just before a connection breaks, and how long it takes to break.
const UNREAD: usize = 3;
const UNREAD_FOR: Duration = Duration::from_millis(20);
/// Deliveries that are held back, of those that are not acked at once.
const HELD: usize = 10;
/// The server's first pause before it sends again is 10 s; a little less, for clocks that differ.
const AGAIN: Duration = Duration::from_millis(9_800);

/// How a crowd behaves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    /// How many members there are.
    pub(crate) members: u32,
    /// How many of them come only when all is to be received.
    pub(crate) absent: u32,
    /// The pause between two posts of a member.
    pub(crate) pace: Duration,
    /// Posts of a member that wait for their ack.
    pub(crate) in_flight: usize,
    /// One of so many letters is large.
    pub(crate) largely: u32,
    /// Deliveries in flight.
    pub(crate) window: u32,
    /// Post again what was not answered, under the same id.
    pub(crate) repost: bool,
    /// Of a hundred deliveries, how many are acked at once; the rest when all is to be received.
    pub(crate) diligence: u32,
}

/// What the members do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// They post and receive.
    Load,
    /// They receive, and ack all.
    Drain,
    /// They go.
    Over,
    /// They post a last time, and their connections break before they have read the acks.
    Cut,
}

/// A member.
#[derive(Debug)]
pub(crate) struct Member {
    me: NodeRef,
    manner: Manner,
    history: Arc<Mutex<History>>,
    random: StdRng,
    seq: u64,
    /// Posts that are not answered, as they were sent.
    open: BTreeMap<u64, Bytes>,
    /// Delivered and not acked.
    held: Vec<(Option<PostRef>, MessageId)>,
    /// When each delivery came first on this connection.
    came: HashMap<MessageId, Instant>,
    /// Deliveries that were sent again when it was time.
    pub(crate) again: u64,
    /// The latest time in a message's id, in ms since 1970.
    pub(crate) latest: u64,
    /// Reposts that the server said to know.
    pub(crate) known: u64,
    /// What the server refused, other than a letter.
    pub(crate) complaint: Option<String>,
}

impl Member {
    pub(crate) fn new(user: u32, manner: Manner, history: Arc<Mutex<History>>, seed: u64) -> Self {
        let me = NodeRef { user, node: 0 };
        let random = StdRng::seed_from_u64(seed ^ u64::from(user) << 32);
        Self {
            me,
            manner,
            history,
            random,
            seq: 0,
            open: BTreeMap::new(),
            held: Vec::new(),
            came: HashMap::new(),
            again: 0,
            latest: 0,
            known: 0,
            complaint: None,
        }
    }

    /// Whose node it is.
    pub(crate) fn user(&self) -> u32 {
        self.me.user
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(|locked| locked.into_inner())
    }

    /// One connection, until it breaks or the crowd goes.
    pub(crate) async fn live(&mut self, addr: SocketAddr, mut stage: watch::Receiver<Stage>) {
        let ended = self.stay(addr, &mut stage).await;
        if let Err(error) = ended
            && format!("{error:#}").contains("answers a login")
        {
            self.complaint = Some(format!("{}: {error:#}", self.me));
        }
        if !self.manner.repost {
            for (seq, _) in std::mem::take(&mut self.open) {
                self.history().abandoned(PostRef { from: self.me, seq });
            }
        }
        self.held.clear();
        self.came.clear();
    }

    async fn stay(
        &mut self,
        addr: SocketAddr,
        stage: &mut watch::Receiver<Stage>,
    ) -> anyhow::Result<()> {
        let window = self.manner.window;
        let protocol = Protocol::Two { window };
        let dial =
            Dial { addr, tls: None, framing: Framing::Ws, protocol, origin: Origin::default() };
        let mut wire = tokio::select! {
            session = dial.log_in(self.me.user) => session?.wire,
            _ = stage.wait_for(|stage| matches!(stage, Stage::Over | Stage::Cut)) => return Ok(()),
        };
        self.history().logged_in(self.me, window as usize);
        for (&seq, request) in &self.open {
            self.history().reposted(PostRef { from: self.me, seq });
            wire.send(request).await?;
        }
        let mut pace = interval(self.manner.pace);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let now = *stage.borrow_and_update();
            if now == Stage::Drain {
                for (post, id) in std::mem::take(&mut self.held) {
                    let ack = self.ack(post, id)?;
                    wire.send(&ack).await?;
                }
            }
            let posting = now == Stage::Load && self.open.len() < self.manner.in_flight;
            tokio::select! {
                _ = stage.changed() => {}
                () = std::future::ready(()), if now == Stage::Cut => {
                    // Committed, most of them, and nobody reads the acks.
                    for _ in 0..UNREAD {
                        let request = self.letter()?;
                        wire.send(&request).await?;
                    }
                    sleep(UNREAD_FOR).await;
                    return Ok(());
                }
                () = std::future::ready(()), if now == Stage::Over => {
                    wire.close().await;
                    return Ok(());
                }
                message = wire.message() => {
                    if let Some(ack) = self.receive(&message?, now)? {
                        wire.send(&ack).await?;
                    }
                }
                _ = pace.tick(), if posting => {
                    let request = self.letter()?;
                    wire.send(&request).await?;
                }
            }
        }
    }

    /// The next letter, entered in the history.
    fn letter(&mut self) -> anyhow::Result<Bytes> {
        let size = match self.random.random_range(0..self.manner.largely) {
            0 => LARGE,
            _ => self.random.random_range(0..SMALL),
        };
        let count = self.random.random_range(1..=3);
        let users = (0..count).map(|_| self.random.random_range(0..self.manner.members)).collect();
        let audience = Audience { users, copies: true, ..Audience::default() };
        let to: Map<_, _> = audience.users.iter().map(|&to| (people::user(to), json!(1))).collect();
        self.seq += 1;
        let post = PostRef { from: self.me, seq: self.seq };
        let header = json!({"op": "post", "id": self.seq.to_string(), "to": to});
        let body = letter::write(post, size);
        let request = request::encode(&header, None, &body).context("too long a header")?;
        self.history().posted(post, Some(audience));
        self.open.insert(self.seq, request.clone());
        Ok(request)
    }

    /// Takes a message of the server's; the ack to be sent.
    fn receive(&mut self, message: &Bytes, stage: Stage) -> anyhow::Result<Option<Bytes>> {
        let reply = Reply::parse(message)?;
        match reply.op.as_str() {
            "ack" => {
                let seq: u64 = reply.id.as_deref().unwrap_or_default().parse()?;
                let post = PostRef { from: self.me, seq };
                self.open.remove(&seq);
                self.known += u64::from(reply.dup);
                let mut history = self.history();
                if reply.kind.as_deref() == Some("ok") {
                    let id = reply.msgid.as_deref().and_then(|id| id.parse().ok());
                    history.acked(post, id);
                } else if reply.error.as_deref().is_some_and(|error| error.contains("disk full")) {
                    history.refused(post);
                } else {
                    // Of the disk's failure nobody knows what it left.
                    history.abandoned(post);
                }
                Ok(None)
            }
            "deliver" => {
                let id: MessageId = reply.id.as_deref().unwrap_or_default().parse()?;
                let post = letter::read(&reply.body);
                if post.is_none() {
                    self.history().corrupted(self.me, "other contents than were posted");
                }
                let marked = Some(reply.redelivered > 0);
                self.latest = self.latest.max(id.millis());
                let came = self.came.entry(id).or_insert_with(Instant::now).elapsed();
                if reply.redelivered > 0 && came < AGAIN {
                    self.complaint = Some(format!("message {id} was sent again after {came:?}"));
                }
                self.again += u64::from(reply.redelivered > 0);
                self.history().delivered(Arrival { node: self.me, post, id: Some(id), marked });
                let at_once = self.random.random_range(0..100) < self.manner.diligence;
                if stage == Stage::Load && !at_once {
                    self.held.push((post, id));
                    if self.held.len() <= HELD {
                        return Ok(None);
                    }
                    // Filed by now; the oldest wait for their redelivery.
                    let (post, id) = self.held.remove(HELD / 2);
                    return self.ack(post, id).map(Some);
                }
                self.ack(post, id).map(Some)
            }
            _ => Ok(None),
        }
    }

    fn ack(&mut self, post: Option<PostRef>, id: MessageId) -> anyhow::Result<Bytes> {
        self.history().client_acked(self.me, post, Some(id));
        let header = json!({"op": "ack", "type": "ok", "id": id.to_string()});
        request::encode(&header, None, &[]).context("too long a header")
    }
}
