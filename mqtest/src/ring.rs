//! A load of a few clients whose every message is in the books: each posts to the next.

use crate::load::stamp;
use anyhow::Context;
use bytes::Bytes;
use mqclient::{Client, Config, Error, Outbox, Server, To};
use mqlib::testing::history::{Arrival, Audience, Counts, History, NodeRef, PostRef, Violation};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// In the stamps.
const RUN: &str = "ring";
/// Posts of a client that wait for their acks.
const IN_FLIGHT: usize = 16;
/// How long somebody may take to log in, and what is still on its way to arrive.
const PATIENCE: Duration = Duration::from_secs(30);

/// The clients, and what they were promised and got.
pub(crate) struct Ring {
    users: u32,
    /// How many posts there were of each, in all lives of the clients.
    posted: Vec<u64>,
    history: Arc<Mutex<History>>,
}

/// The clients, while they are connected.
pub(crate) struct Turning {
    posting: watch::Sender<bool>,
    over: watch::Sender<bool>,
    clients: JoinSet<anyhow::Result<(u32, u64, u64)>>,
}

/// The user of that number.
pub(crate) fn user(number: u32) -> String {
    format!("ring-{number}")
}

fn name(number: u32) -> String {
    format!("ring-{number}-node")
}

impl Ring {
    /// Registers the users.
    pub(crate) async fn register(server: &Server, users: u32) -> anyhow::Result<Self> {
        let mut history = History::default();
        for number in 0..users {
            let (user, node) = (user(number), name(number));
            Client::register(server.clone(), &user, &node, &[]).await?;
            history.joined(NodeRef { user: number, node: 0 });
        }
        let history = Arc::new(Mutex::new(history));
        Ok(Self { users, posted: vec![0; users as usize], history })
    }

    /// Logs everybody in; they post if `posting`, and ack what comes.
    pub(crate) async fn turn(&self, server: &Server, posting: bool) -> anyhow::Result<Turning> {
        let (over, is_over) = watch::channel(false);
        let (posting, is_posting) = watch::channel(posting);
        let mut clients = JoinSet::new();
        for number in 0..self.users {
            let client = log_in(server, number).await?;
            let life = Life {
                number,
                next: (number + 1) % self.users,
                seq: self.posted[number as usize],
                history: self.history.clone(),
                is_over: is_over.clone(),
                is_posting: is_posting.clone(),
            };
            clients.spawn(life.live(client));
        }
        Ok(Turning { posting, over, clients })
    }

    /// Lets nobody post any more, and waits until all has arrived. `false` if it does not.
    pub(crate) async fn pause(&self, turning: &Turning) -> bool {
        turning.posting.send_replace(false);
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            let is_settled = {
                let history = books(&self.history);
                history.missing() + history.in_flight() == 0
            };
            if is_settled {
                return true;
            }
            sleep(Duration::from_millis(50)).await;
        }
        false
    }

    /// Ends it: nobody posts any more, and what was not answered by now never is. How many links
    /// were made again.
    pub(crate) async fn end(&mut self, turning: Turning) -> anyhow::Result<u64> {
        let Turning { over, mut clients, .. } = turning;
        over.send_replace(true);
        let mut reconnects = 0;
        while let Some(ended) = clients.join_next().await {
            let (number, posted, again) = ended.context("a client broke down")??;
            self.posted[number as usize] = posted;
            reconnects += again;
        }
        Ok(reconnects)
    }

    /// Closes the books.
    pub(crate) fn close(self) -> (Counts, Vec<Violation>) {
        std::mem::take(&mut *books(&self.history)).close()
    }
}

fn books(history: &Mutex<History>) -> MutexGuard<'_, History> {
    history.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn log_in(server: &Server, number: u32) -> anyhow::Result<Client> {
    let start = Instant::now();
    loop {
        match Client::connect(Config::new(server.clone(), user(number), name(number))).await {
            Err(Error::NodeActive) if start.elapsed() < PATIENCE => {
                sleep(Duration::from_millis(20)).await;
            }
            client => return client.with_context(|| format!("{} cannot log in", user(number))),
        }
    }
}

/// One client, from its login on.
struct Life {
    number: u32,
    next: u32,
    seq: u64,
    history: Arc<Mutex<History>>,
    is_over: watch::Receiver<bool>,
    is_posting: watch::Receiver<bool>,
}

impl Life {
    async fn live(mut self, mut client: Client) -> anyhow::Result<(u32, u64, u64)> {
        let mut is_over = self.is_over.clone();
        let (number, history) = (self.number, self.history.clone());
        let outbox = client.outbox();
        let post = tokio::spawn(async move {
            self.post(outbox).await?;
            anyhow::Ok(self.seq)
        });
        loop {
            tokio::select! {
                delivery = client.next() => {
                    // The server has gone for good, or is about to: the books say what is missing.
                    let Ok(delivery) = delivery else { break };
                    let at = NodeRef { user: number, node: 0 };
                    match stamp::open(RUN, delivery.etc.as_deref(), &delivery.data) {
                        Ok(post) => {
                            let post = Some(post);
                            let arrival = Arrival { node: at, post, id: None, marked: None };
                            let mut history = books(&history);
                            history.delivered(arrival);
                            // Without the id: mqclient may send acks and posts in another order.
                            history.client_acked(at, post, None);
                        }
                        Err(what) => books(&history).corrupted(at, &what),
                    }
                    delivery.ack();
                }
                _ = is_over.wait_for(|over| *over) => break,
            }
        }
        let reconnects = client.stats().reconnects;
        // Closed, the posts that wait learn that nobody answers.
        timeout(PATIENCE, client.close()).await.context("a client does not end")?;
        Ok((number, post.await.context("a poster broke down")??, reconnects))
    }

    async fn post(&mut self, outbox: Outbox) -> anyhow::Result<()> {
        let to = To::user(user(self.next));
        while *self.is_posting.borrow() && !*self.is_over.borrow() {
            let mut waiting = Vec::new();
            for nth in 0..IN_FLIGHT {
                self.seq += 1;
                let from = NodeRef { user: self.number, node: 0 };
                let post = PostRef { from, seq: self.seq };
                let size = if nth == 0 { 100 << 10 } else { 500 };
                let message = stamp::seal(RUN, post, Bytes::from(vec![self.seq as u8; size]))?;
                let users = [self.next].into();
                let audience = Audience { users, ..Audience::default() };
                books(&self.history).posted(post, Some(audience));
                waiting.push((post, outbox.start_post(&to, message).await));
            }
            for (post, posting) in waiting {
                let answer = match posting {
                    Ok(posting) => posting.await,
                    Err(error) => Err(error),
                };
                let mut history = books(&self.history);
                match answer {
                    Ok(receipt) => {
                        history.acked(post, receipt.msgid.and_then(|id| id.parse().ok()))
                    }
                    Err(Error::Rejected(_)) => history.refused(post),
                    Err(_) => history.abandoned(post),
                }
            }
            sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    }
}
