//! The life of one node: log in, post, receive, ack after a while, leave, come back.

use super::note::Note;
use super::plan::Plan;
use super::poster::Poster;
use super::{Stage, stamp};
use mqclient::{Client, Delivery, Error, Kind};
use mqlib::testing::history::{NodeRef, PostRef};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

/// How long a server that was killed may take to serve again, and to let a node in again.
const PATIENCE: Duration = Duration::from_secs(60);
/// Posts on their way, promised or in flight, from which on a node posts nothing further, for each
/// node of the run. Version 1 delivers a message at a time, so slow ackers set the pace.
const BACKLOG: usize = 20;

/// What a node is given to live.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) plan: Arc<Plan>,
    pub(crate) notes: mpsc::Sender<Note>,
    pub(crate) stage: watch::Receiver<Stage>,
    /// Arrivals outstanding per node of the run.
    pub(crate) backlog: watch::Receiver<usize>,
}

impl World {
    /// Tells the bookkeeper; when there is none any more, the run is over anyway.
    pub(crate) async fn note(&self, note: Note) {
        let _ = self.notes.send(note).await;
    }

    pub(crate) fn stage(&self) -> Stage {
        *self.stage.borrow()
    }

    fn may_post(&self) -> bool {
        self.stage() == Stage::Load && *self.backlog.borrow() < BACKLOG
    }
}

/// A node that exists on the server.
pub(crate) struct Node {
    world: World,
    me: NodeRef,
    random: StdRng,
    poster: Poster,
}

/// Why a stay came to its end.
enum End {
    /// The node leaves for a while.
    Leave,
    /// The run is over.
    Over,
    /// The server refuses us for good.
    Refused(Error),
}

impl Node {
    pub(crate) fn new(world: World, me: NodeRef) -> Self {
        let mut random = world.plan.random(me);
        let poster = Poster::new(world.clone(), me, StdRng::seed_from_u64(random.random()));
        Self { world, me, random, poster }
    }

    /// Lives until the run is over.
    pub(crate) async fn live(mut self) {
        loop {
            let client = match log_in(&self.world, self.me).await {
                Ok(client) => client,
                Err(None) => return,
                Err(Some(error)) => {
                    let text = format!("{} cannot log in: {error}", self.me);
                    return self.world.note(Note::Broken(text)).await;
                }
            };
            self.world.note(Note::LoggedIn).await;
            let end = self.stay(client).await;
            match end {
                End::Leave => {
                    let mut stage = self.world.stage.clone();
                    let pause = Duration::from_millis(self.random.random_range(0..1500));
                    // With the load over everybody comes home.
                    tokio::select! {
                        () = sleep(pause) => {}
                        _ = stage.wait_for(|stage| *stage != Stage::Load) => {}
                    }
                }
                End::Over => return,
                End::Refused(error) => {
                    let text = format!("{} was sent away: {error}", self.me);
                    return self.world.note(Note::Broken(text)).await;
                }
            }
        }
    }

    /// One connection, from login to its end.
    async fn stay(&mut self, mut client: Client) -> End {
        let leave_at =
            Instant::now() + Duration::from_millis(self.random.random_range(2000..15000));
        let mut post_at = Instant::now();
        let mut stage = self.world.stage.clone();
        let mut held: Option<(Delivery, Option<PostRef>, Instant)> = None;
        let end = loop {
            let ack_at = held.as_ref().map(|&(_, _, at)| at);
            let now_stage = *stage.borrow_and_update();
            tokio::select! {
                biased;
                _ = stage.changed() => {}
                () = sleep_until(leave_at), if now_stage == Stage::Load => break End::Leave,
                () = std::future::ready(()), if now_stage == Stage::Over => break End::Over,
                () = wait_until(ack_at) => {
                    if let Some((delivery, post, _)) = held.take() {
                        if let Some(post) = post {
                            self.world.note(Note::TookIn { at: self.me, post }).await;
                        }
                        delivery.ack();
                    }
                }
                delivery = client.next(), if held.is_none() => match delivery {
                    Ok(delivery) => {
                        let post = self.take_in(&delivery).await;
                        let ack_at = Instant::now() + self.ack_delay(now_stage);
                        held = Some((delivery, post, ack_at));
                    }
                    Err(error) => break End::Refused(error),
                },
                () = sleep_until(post_at), if now_stage == Stage::Load => {
                    if self.world.may_post() {
                        self.poster.post(&client).await;
                    }
                    post_at = Instant::now() + Duration::from_millis(self.random.random_range(0..150));
                }
            }
        };
        self.world.note(Note::LeftOff(client.stats())).await;
        // Half of them leave without a word, as a device does whose battery is empty.
        if matches!(end, End::Over) || self.random.random() {
            client.close().await;
        }
        end
    }

    /// Notes an arrival. Which post is it?
    async fn take_in(&self, delivery: &Delivery) -> Option<PostRef> {
        if delivery.kind != Kind::Deliver {
            self.world.note(Note::Notice).await;
            return None;
        }
        let plan = &self.world.plan;
        let post = stamp::open(&plan.tag, delivery.etc.as_deref(), &delivery.data);
        let post = post.and_then(|post| match plan.user(post.from.user) {
            sender if sender == delivery.from => Ok(post),
            _ => Err(format!("{post} says that it is from {}", delivery.from)),
        });
        let known = post.as_ref().ok().copied();
        let (id, bytes) = (delivery.id.parse().ok(), delivery.data.len());
        self.world.note(Note::Arrived { at: self.me, post, id, bytes }).await;
        known
    }

    /// Mostly short.
    fn ack_delay(&mut self, stage: Stage) -> Duration {
        match stage {
            Stage::Load => {
                self.world.plan.max_ack_delay.mul_f64(self.random.random::<f64>().powi(6))
            }
            Stage::Drain | Stage::Over => Duration::ZERO,
        }
    }
}

/// Logs in, trying again while the server is away; no error means that the run is over.
async fn log_in(world: &World, me: NodeRef) -> Result<Client, Option<Error>> {
    let mut patience = Patience::new(world);
    loop {
        match Client::connect(world.plan.config(me)).await {
            Ok(client) => return Ok(client),
            Err(error) => patience.bear(error).await?,
        }
    }
}

/// Adds a node to its user; no error means that the run is over.
pub(crate) async fn add(world: &World, me: NodeRef) -> Result<(), Option<Error>> {
    let plan = &world.plan;
    let (server, user) = (plan.server(me.user), plan.user(me.user));
    let (new, first) = (plan.node_name(me), plan.node_name(NodeRef { node: 0, ..me }));
    let mut patience = Patience::new(world);
    while let Err(error) = Client::add_node(server.clone(), &user, &new, &first).await {
        patience.bear(error).await?;
    }
    world.note(Note::Joined(me)).await;
    Ok(())
}

/// For what mqclient tries only once: first connections.
struct Patience<'a> {
    world: &'a World,
    deadline: Instant,
}

impl<'a> Patience<'a> {
    fn new(world: &'a World) -> Self {
        Self { world, deadline: Instant::now() + PATIENCE }
    }

    /// Waits a moment, if that may help.
    async fn bear(&mut self, error: Error) -> Result<(), Option<Error>> {
        if self.world.stage() == Stage::Over {
            return Err(None);
        }
        if !passes(&error) || Instant::now() > self.deadline {
            return Err(Some(error));
        }
        sleep(Duration::from_millis(100)).await;
        Ok(())
    }
}

/// Will it be better in a while?
fn passes(error: &Error) -> bool {
    match error {
        Error::Connect { .. } | Error::Lost(_) | Error::NodeActive => true,
        // A server killed during the handshake.
        Error::Protocol(_) => true,
        Error::Refused(text) => text == "shutdown",
        _ => false,
    }
}

async fn wait_until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
