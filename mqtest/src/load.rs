//! The load run: what the original's test client did, with an oracle.
//!
//! A run has users with one to three nodes each. Every node is a task (`node`) that logs in, posts
//! (`poster`), acks what it receives after a while, leaves and comes back. What they see and do goes
//! as notes (`note`) to one place, the books (`book`), where the history compares what was promised
//! with what arrived. A server of our own is watched over, and killed now and then, by the `guard`.
//! When the load is over everybody logs in again and waits for what is still on its way.

mod book;
mod guard;
mod node;
mod note;
mod plan;
mod poster;
mod progress;
pub(crate) mod stamp;
#[cfg(test)]
mod tests;

use anyhow::{Context, bail, ensure};
use book::{Book, Summary};
use mqclient::{Client, Error, Tls};
use mqlib::testing::history::NodeRef;
use node::{Node, World};
use note::Note;
use plan::{Framings, Plan};
use progress::Progress;
use rand::RngExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep, sleep_until, timeout};

/// How long the nodes may take to close their links at the end.
const GOODBYE: Duration = Duration::from_secs(10);
/// Notes that wait for the bookkeeper.
const NOTES: usize = 4096;
/// Registrations at a time: the server hashes each node's name, which takes its time.
const REGISTERING: usize = 8;
/// A user's further nodes are added within this time.
const GROWING: u64 = 5000;

/// How the load run is asked for.
#[derive(Debug, clap::Args)]
pub(crate) struct LoadArgs {
    /// How many users take part; each gets one to three nodes.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    clients: u32,
    /// How long they post; without it, until ctrl-C.
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
    /// The server to test.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8008", conflicts_with = "spawn")]
    server: String,
    /// Start a server for the run, on a free port and a temporary store.
    #[arg(long)]
    spawn: bool,
    /// The server's program for --spawn; without it the mqserver beside this program.
    #[arg(long, value_name = "PATH", requires = "spawn")]
    server_bin: Option<PathBuf>,
    /// Kill the server (SIGKILL) and start it again, so often, while the load goes on.
    #[arg(long, value_name = "SECS", requires = "spawn", value_parser = seconds)]
    kill_every: Option<Duration>,
    /// Speak TLS: with --spawn to a server with a certificate of its own, else to one whose
    /// certificate is in --ca, or is trusted by the system.
    #[arg(long)]
    tls: bool,
    /// The roots to trust, PEM.
    #[arg(long, value_name = "FILE", requires = "tls", conflicts_with = "spawn")]
    ca: Option<PathBuf>,
    /// Which framing the clients speak; both: one half this, the other that.
    #[arg(long, value_enum, default_value = "both")]
    framing: Framings,
    /// Short for --framing raw.
    #[arg(long, conflicts_with = "framing")]
    raw: bool,
    /// The longest wait before a message is acked, in ms; most are much shorter.
    #[arg(long, value_name = "MS", default_value_t = 300)]
    ack_delay: u64,
    /// What is still missing when nothing has arrived for so long is lost; a server sends again what
    /// is not acked after 10 s.
    #[arg(long, value_name = "SECS", default_value = "15", value_parser = seconds)]
    patience: Duration,
    /// Choose the same posts, waits and absences as the run with this seed.
    #[arg(long)]
    seed: Option<u64>,
    /// Print the summary as JSON.
    #[arg(long)]
    json: bool,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if duration >= Duration::from_millis(100) => Ok(duration),
        _ => Err("at least 0.1 seconds".into()),
    }
}

/// Where the run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Everybody posts, leaves and comes back.
    Load,
    /// Nobody posts or leaves; all is received and acked at once.
    Drain,
    /// Everybody goes.
    Over,
}

/// Runs the load and prints the summary; says whether every promise was kept.
///
/// # Errors
/// The run could not begin.
pub(crate) async fn run(args: LoadArgs) -> anyhow::Result<bool> {
    let json = args.json;
    let summary = measure(args).await?;
    if json {
        println!("{}", serde_json::to_string(&summary)?);
    } else {
        println!("{summary}");
    }
    Ok(summary.ok)
}

async fn measure(args: LoadArgs) -> anyhow::Result<Summary> {
    let server = match args.spawn {
        true => Some(guard::start(args.server_bin.clone(), args.tls).await?),
        false => None,
    };
    let address = match &server {
        Some(server) => server.tls().unwrap_or(server.addr()).to_string(),
        None => args.server.clone(),
    };
    let tls = match (args.tls, &server, &args.ca) {
        (false, ..) => None,
        (true, Some(server), _) => Some(Tls::with_roots(&server.certificate()?)?),
        (true, None, Some(path)) => Some(Tls::with_roots(&std::fs::read(path)?)?),
        (true, None, None) => Some(Tls::system()?),
    };
    let framing = if args.raw { Framings::Raw } else { args.framing };
    let seed = args.seed.map_or_else(getrandom::u64, Ok)?;
    let delay = Duration::from_millis(args.ack_delay);
    let plan = Arc::new(Plan::new(address, tls, framing, args.clients, delay, seed)?);
    let mut book = Book::new()?;
    register(&plan, &mut book).await?;

    let (notes, mut inbox) = mpsc::channel(NOTES);
    let (stage_in, stage) = watch::channel(Stage::Load);
    let (backlog_in, backlog) = watch::channel(0);
    let mut guard = JoinSet::new();
    if let Some(server) = server {
        guard.spawn(guard::watch(server, args.kill_every, stage.clone(), notes.clone()));
    }
    let mut nodes = JoinSet::new();
    {
        let world = World { plan: plan.clone(), notes, stage, backlog };
        populate(&world, &mut nodes);
    }
    let mut run = Run { book, stage: stage_in, backlog: backlog_in, progress: Progress::new() };
    run.load(&mut inbox, args.seconds.map(Duration::from_secs)).await;
    run.drain(&mut inbox, args.patience).await;
    run.finish(&mut inbox, nodes).await;
    let mut book = run.book;
    while let Some(guarded) = guard.join_next().await {
        if let Err(text) = guarded.context("the server could not be watched")?
            && !book.has_failed
        {
            book.break_word(text);
        }
    }
    Ok(book.close(&plan))
}

/// Creates all users with their first nodes.
async fn register(plan: &Arc<Plan>, book: &mut Book) -> anyhow::Result<()> {
    let permits = Arc::new(Semaphore::new(REGISTERING));
    let mut registering = JoinSet::new();
    for user in 0..plan.users {
        let (plan, permits) = (plan.clone(), permits.clone());
        registering.spawn(async move {
            let _permit = permits.acquire().await;
            let me = NodeRef { user, node: 0 };
            let alias = plan.alias(user);
            let (name, node) = (plan.user(user), plan.node_name(me));
            let registered = Client::register(plan.server(user), &name, &node, &[&alias]).await;
            (me, alias, registered)
        });
    }
    while let Some(registered) = registering.join_next().await {
        let (me, alias, registered) = registered.context("a registration failed")?;
        match registered {
            Ok(registered) => {
                ensure!(registered.aliases == [alias], "{me} did not get its alias");
                book.enter(Note::Joined(me));
            }
            Err(error @ Error::Connect { .. }) => {
                bail!("{error}; start a server (`mqserver`), or let mqtest do it (--spawn)")
            }
            Err(error) => bail!("cannot register a user: {error}"),
        }
    }
    Ok(())
}

/// Lets all nodes live: the first of each user now, the others soon.
fn populate(world: &World, nodes: &mut JoinSet<()>) {
    for user in 0..world.plan.users {
        let me = NodeRef { user, node: 0 };
        nodes.spawn(Node::new(world.clone(), me).live());
        // Another sequence than the node's own.
        let mut random = world.plan.random(NodeRef { user, node: u32::MAX });
        for node in 1..=random.random_range(1..=2) {
            let after = Duration::from_millis(random.random_range(0..GROWING));
            nodes.spawn(grow(world.clone(), NodeRef { user, node }, after));
        }
    }
}

async fn grow(world: World, me: NodeRef, after: Duration) {
    let mut stage = world.stage.clone();
    tokio::select! {
        () = sleep(after) => {}
        // Too late for a new node to matter.
        _ = stage.wait_for(|stage| *stage != Stage::Load) => return,
    }
    match node::add(&world, me).await {
        Ok(()) => Node::new(world, me).live().await,
        Err(None) => {}
        Err(Some(error)) => {
            world.note(Note::Broken(format!("{me} could not be added: {error}"))).await;
        }
    }
}

/// The bookkeeper, while the run goes on.
struct Run {
    book: Book,
    stage: watch::Sender<Stage>,
    backlog: watch::Sender<usize>,
    progress: Progress,
}

impl Run {
    /// Keeps the books until the time is up, somebody presses ctrl-C, or the server failed.
    async fn load(&mut self, inbox: &mut mpsc::Receiver<Note>, long: Option<Duration>) {
        let end = long.map(|long| Instant::now() + long);
        let mut tick = interval(Duration::from_millis(250));
        while !self.book.has_failed {
            tokio::select! {
                Some(note) = inbox.recv() => self.enter(note, inbox),
                _ = tick.tick() => self.progress.show(&self.book),
                _ = tokio::signal::ctrl_c() => break,
                () = sleep_until(end.unwrap_or_else(Instant::now)), if end.is_some() => break,
            }
        }
    }

    /// Keeps the books until everything has arrived, or nothing arrives any more.
    async fn drain(&mut self, inbox: &mut mpsc::Receiver<Note>, patience: Duration) {
        self.progress.say("no further posts; waiting for what is on its way (ctrl-C: not waiting)");
        self.stage.send_replace(Stage::Drain);
        self.book.moved = Instant::now();
        let mut tick = interval(Duration::from_millis(250));
        while !self.book.is_settled() {
            if self.book.has_failed {
                return self.book.break_off();
            }
            if self.book.moved.elapsed() > patience {
                return self.progress.say("nothing has arrived for a while");
            }
            tokio::select! {
                Some(note) = inbox.recv() => self.enter(note, inbox),
                _ = tick.tick() => self.progress.show(&self.book),
                _ = tokio::signal::ctrl_c() => return self.book.break_off(),
            }
        }
    }

    /// Keeps the books until everybody has gone.
    async fn finish(&mut self, inbox: &mut mpsc::Receiver<Note>, mut nodes: JoinSet<()>) {
        self.stage.send_replace(Stage::Over);
        let going = async {
            loop {
                tokio::select! {
                    Some(note) = inbox.recv() => self.book.enter(note),
                    gone = nodes.join_next() => match gone {
                        Some(Ok(())) => {}
                        Some(Err(error)) => self.book.break_word(format!("mqtest itself: {error}")),
                        None => break,
                    },
                }
            }
        };
        if timeout(GOODBYE, going).await.is_err() {
            self.book.break_word("a node could not close its link".into());
        }
        while let Ok(note) = inbox.try_recv() {
            self.book.enter(note);
        }
        self.progress.finish();
    }

    fn enter(&mut self, note: Note, inbox: &mut mpsc::Receiver<Note>) {
        self.book.enter(note);
        while let Ok(note) = inbox.try_recv() {
            self.book.enter(note);
        }
        let backlog = self.book.backlog();
        self.backlog.send_if_modified(|told| std::mem::replace(told, backlog) != backlog);
    }
}
