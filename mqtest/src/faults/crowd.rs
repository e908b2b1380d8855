//! The crowd: its members, and the history that they share.

use super::member::{Manner, Member, Stage};
use crate::bench::people;
use anyhow::Context;
use mqclient::Client;
use mqlib::testing::history::{Counts, History, NodeRef, Violation};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// When nothing has arrived for so long, what is missing is lost: a login brings all that waits, and
/// what is not acked comes again after 10 s.
const PATIENCE: Duration = Duration::from_secs(12);
/// How often it is asked whether all has arrived.
const LOOK: Duration = Duration::from_millis(20);

/// The crowd.
#[derive(Debug)]
pub(crate) struct Crowd {
    manner: Manner,
    history: Arc<Mutex<History>>,
    members: Vec<Member>,
    /// Users that registered while a server was about to be broken: so many of them.
    registered: u32,
    complaints: Vec<String>,
}

/// A crowd at its work.
#[derive(Debug)]
pub(crate) struct Busy {
    stage: watch::Sender<Stage>,
    members: JoinSet<Member>,
    /// Registers a user, and says how many there are then.
    registrar: tokio::task::JoinHandle<Option<u32>>,
}

impl Crowd {
    pub(crate) fn new(manner: Manner, seed: u64) -> Self {
        let history = Arc::new(Mutex::new(History::of_reposts()));
        let member = |user| Member::new(user, manner, history.clone(), seed);
        let members = (0..manner.members).map(member).collect();
        Self { manner, history, members, registered: manner.members, complaints: Vec::new() }
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(|locked| locked.into_inner())
    }

    /// The numbers so far.
    pub(crate) fn counts(&self) -> Counts {
        self.history().counts()
    }

    /// Reposts that the server said to know.
    pub(crate) fn known(&self) -> u64 {
        self.members.iter().map(|member| member.known).sum()
    }

    /// Deliveries that were sent again when it was time.
    pub(crate) fn again(&self) -> u64 {
        self.members.iter().map(|member| member.again).sum()
    }

    /// The latest time in an id, in ms since 1970.
    pub(crate) fn latest(&self) -> u64 {
        self.members.iter().map(|member| member.latest).max().unwrap_or_default()
    }

    /// Registers all members.
    pub(crate) async fn register(&mut self, addr: SocketAddr) -> anyhow::Result<()> {
        for user in 0..self.manner.members {
            register(addr, user).await.with_context(|| format!("cannot register user {user}"))?;
            self.history().joined(NodeRef { user, node: 0 });
        }
        Ok(())
    }

    /// Sets those to work who are not absent, and one who registers a user; those who are left, if
    /// the others are at work already.
    pub(crate) fn begin(&mut self, addr: SocketAddr, stage: Stage) -> Busy {
        let (stage, told) = watch::channel(stage);
        let present = match *told.borrow() {
            Stage::Load => self.manner.members - self.manner.absent,
            Stage::Drain | Stage::Over | Stage::Cut => self.manner.members,
        };
        let absent = self.members.split_off(self.members.len().min(present as usize));
        let mut members = JoinSet::new();
        for mut member in std::mem::replace(&mut self.members, absent) {
            let told = told.clone();
            members.spawn(async move {
                member.live(addr, told).await;
                member
            });
        }
        let next = self.registered;
        let loading = *told.borrow() == Stage::Load;
        let registrar = tokio::spawn(async move {
            (loading && register(addr, next).await.is_ok()).then_some(next + 1)
        });
        Busy { stage, members, registrar }
    }

    /// The server is gone, or the crowd is to go: waits until all are back.
    pub(crate) async fn end(&mut self, mut busy: Busy) -> anyhow::Result<()> {
        if *busy.stage.borrow() != Stage::Cut {
            busy.stage.send_replace(Stage::Over);
        }
        if let Some(registered) = busy.registrar.await? {
            self.registered = registered;
        }
        while let Some(member) = busy.members.join_next().await {
            let mut member = member?;
            self.complaints.extend(member.complaint.take());
            self.members.push(member);
        }
        self.members.sort_by_key(Member::user);
        Ok(())
    }

    /// Lets everybody come and get all that waits for them.
    pub(crate) async fn drain(&mut self, addr: SocketAddr) -> anyhow::Result<()> {
        let busy = self.begin(addr, Stage::Drain);
        let (mut moved, mut before) = (Instant::now(), 0);
        loop {
            let (counts, missing, open) = {
                let history = self.history();
                (history.counts(), history.missing(), history.in_flight())
            };
            let now = counts.deliveries + counts.duplicates + counts.acked;
            if missing == 0 && open == 0 {
                break;
            }
            if now != before {
                (moved, before) = (Instant::now(), now);
            } else if moved.elapsed() > PATIENCE || busy.members.is_empty() {
                break;
            }
            sleep(LOOK).await;
        }
        // For what is there and should not be.
        sleep(LOOK * 5).await;
        self.end(busy).await
    }

    /// Are the users there that the server said to have registered?
    pub(crate) async fn look_for_users(&mut self, addr: SocketAddr) {
        let newest = self.registered.saturating_sub(2).max(self.manner.members)..self.registered;
        for user in newest {
            match register(addr, user).await {
                Err(mqclient::Error::UserExists) => {}
                Ok(()) => {
                    self.complaints.push(format!("user {user} was registered and is forgotten"));
                }
                Err(error) => {
                    self.complaints
                        .push(format!("nobody says whether user {user} is there: {error}"));
                }
            }
        }
    }

    /// Is something wrong that the history does not know?
    pub(crate) fn complains(&self) -> bool {
        !self.complaints.is_empty()
    }

    /// What the history says in the end, and what else went wrong.
    pub(crate) fn close(self) -> (Counts, Vec<Violation>, Vec<String>) {
        let Self { history, members, complaints, .. } = self;
        drop(members);
        let history = Arc::into_inner(history).and_then(|history| history.into_inner().ok());
        let (counts, violations) = history.unwrap_or_default().close();
        (counts, violations, complaints)
    }
}

impl Busy {
    /// Changes what they do.
    pub(crate) fn set(&self, stage: Stage) {
        self.stage.send_replace(stage);
    }
}

/// Registers a user.
pub(super) async fn register(addr: SocketAddr, user: u32) -> Result<(), mqclient::Error> {
    let url = format!("mq://{addr}");
    Client::register(&url, &people::user(user), &people::node(user), &[]).await.map(drop)
}
