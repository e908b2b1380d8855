//! The shell around the session: one task that owns the link, the clock and the channels.

use crate::address::Address;
use crate::config::Config;
use crate::delivery::{Delivery, Stub};
use crate::disk::{Disk, Done, Job};
use crate::error::Error;
use crate::login::Login;
use crate::message::Receipt;
use crate::outbox::Command;
use crate::session::{Event, Letter, Phase, Saved, Session, Stats};
use bytes::Bytes;
use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Sleep, timeout};
use wsstream::{Link, Stream};

/// Requests on their way to the task; further ones wait with their callers.
const COMMANDS: usize = 64;
/// How long closing may take: once for what is still to be sent, once for the server's answer.
const CLOSE_WAIT: Duration = Duration::from_secs(2);

type Connecting = Pin<Box<dyn Future<Output = Result<Link<Stream>, Error>> + Send>>;
type Settled = oneshot::Sender<Result<Receipt, Error>>;
type Said = oneshot::Sender<Result<(), Error>>;

/// What the application says about deliveries, and about the client as a whole. Unbounded, but
/// there is at most one for each delivery, and the session bounds those.
#[derive(Debug)]
pub(crate) enum Control {
    Ack(String, Said),
    Release(String),
    Close(oneshot::Sender<()>),
    /// The client was dropped.
    Drop,
}

/// The application's ends of the channels.
pub(crate) struct Handles {
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) control: mpsc::UnboundedSender<Control>,
    pub(crate) deliveries: mpsc::UnboundedReceiver<Delivery>,
    pub(crate) stats: watch::Receiver<Stats>,
    pub(crate) login: watch::Receiver<Login>,
    pub(crate) trouble: watch::Receiver<Option<Error>>,
    /// What became of the posts that an earlier client left, in their order.
    pub(crate) restored: Vec<oneshot::Receiver<Result<Receipt, Error>>>,
    pub(crate) ready: oneshot::Receiver<Result<(), Error>>,
    pub(crate) ended: oneshot::Receiver<Error>,
}

pub(crate) struct Task {
    session: Session,
    address: Address,
    max_message: usize,
    begin_offline: bool,
    keeps_posts: bool,
    road: Road,
    sleep: Pin<Box<Sleep>>,
    commands: mpsc::Receiver<Command>,
    control: mpsc::UnboundedReceiver<Control>,
    /// For the stubs of deliveries.
    own_control: mpsc::WeakUnboundedSender<Control>,
    deliveries: mpsc::UnboundedSender<Delivery>,
    stats: watch::Sender<Stats>,
    login: watch::Sender<Login>,
    trouble: watch::Sender<Option<Error>>,
    ready: Option<oneshot::Sender<Result<(), Error>>>,
    ended: Option<oneshot::Sender<Error>>,
    postings: HashMap<u64, Settled>,
    desk: Desk,
    /// What the disk is to do next.
    jobs: Vec<Job>,
    /// Posts on their way to the outbox on disk.
    accepting: HashMap<u64, Said>,
    /// Acks that wait until they are remembered on disk,
    remembering: HashMap<String, Said>,
    /// and those that wait until the link has taken them.
    acking: Vec<Said>,
}

/// Where the disk is; it works on a thread for what blocks.
enum Desk {
    Free(Disk),
    Busy(JoinHandle<(Disk, Vec<Done>)>),
    /// Its thread panicked.
    Gone,
}

/// The way to the server.
enum Road {
    None,
    Connecting(Connecting),
    Open(Box<Open>),
}

/// A link, and what we know of its progress.
struct Open {
    link: Link<Stream>,
    unflushed: bool,
    /// Bytes of messages that the link was given.
    given: u64,
    /// Bytes received and bytes that the socket took, when last looked.
    progress: (u64, u64),
}

/// One thing that happened.
enum Turn {
    Connected(Result<Link<Stream>, Error>),
    Message(Bytes),
    Broken(String),
    Command(Command),
    Control(Control),
    Written(Vec<Done>),
    DiskLost,
    Timeout,
}

impl Task {
    pub(crate) fn new(
        address: Address,
        config: Config,
        disk: Disk,
        saved: Saved,
    ) -> (Self, Handles) {
        let (commands, commands_in) = mpsc::channel(COMMANDS);
        let (control, control_in) = mpsc::unbounded_channel();
        let (deliveries_out, deliveries) = mpsc::unbounded_channel();
        let (stats_out, stats) = watch::channel(Stats::default());
        let (login_out, login) = watch::channel(Login::asked(&config));
        let (trouble_out, trouble) = watch::channel(None);
        let restoring = saved.posts.iter().map(|post| (post.id, oneshot::channel()));
        let (mut postings, mut restored) = (HashMap::new(), Vec::new());
        for (id, (settled, posting)) in restoring {
            postings.insert(id, settled);
            restored.push(posting);
        }
        let (ready_out, ready) = oneshot::channel();
        let (ended_out, ended) = oneshot::channel();
        let task = Self {
            max_message: config.max_message,
            begin_offline: config.begin_offline,
            keeps_posts: config.outbox.is_some(),
            session: Session::new(config, now(), saved),
            address,
            road: Road::None,
            sleep: Box::pin(tokio::time::sleep(Duration::ZERO)),
            commands: commands_in,
            control: control_in,
            own_control: control.downgrade(),
            deliveries: deliveries_out,
            stats: stats_out,
            login: login_out,
            trouble: trouble_out,
            ready: Some(ready_out),
            ended: Some(ended_out),
            postings,
            desk: Desk::Free(disk),
            jobs: Vec::new(),
            accepting: HashMap::new(),
            remembering: HashMap::new(),
            acking: Vec::new(),
        };
        let handles = Handles {
            commands,
            control,
            deliveries,
            stats,
            login,
            trouble,
            restored,
            ready,
            ended,
        };
        (task, handles)
    }

    /// Runs until the client is closed, dropped or refused.
    pub(crate) async fn run(mut self) {
        loop {
            self.pave();
            self.tell();
            if let Phase::Ended(why) = self.session.phase() {
                let why = why.clone();
                tracing::debug!(%why, "client ended");
                self.finish_writing().await;
                if let Some(ready) = self.ready.take() {
                    let _ = ready.send(Err(why.clone()));
                }
                if let Some(ended) = self.ended.take() {
                    let _ = ended.send(why);
                }
                return;
            }
            match poll_fn(|cx| self.poll_turn(cx)).await {
                Turn::Connected(Ok(link)) => {
                    self.road = Road::Open(Box::new(Open::new(link)));
                    self.session.connected(now());
                }
                Turn::Connected(Err(why)) => self.lost(why),
                Turn::Message(message) => self.session.received(now(), &message, jitter()),
                Turn::Broken(why) => self.lost(Error::Lost(why)),
                Turn::Command(command) => self.commanded(command),
                Turn::Control(Control::Close(done)) => {
                    self.close().await;
                    let _ = done.send(());
                    return;
                }
                Turn::Control(Control::Drop) => return self.finish_writing().await,
                Turn::Control(control) => self.controlled(control),
                Turn::Written(done) => self.written(done),
                Turn::DiskLost => self.session.end(disk_lost()),
                Turn::Timeout => self.session.timed_out(now(), jitter()),
            }
            self.drain();
        }
    }

    fn lost(&mut self, why: Error) {
        tracing::debug!(%why, "link lost");
        self.session.lost(now(), why, jitter());
    }

    /// Makes the road what the phase asks for.
    fn pave(&mut self) {
        match (self.session.phase(), &self.road) {
            (Phase::Connecting { .. }, Road::None) => {
                let (address, max_message) = (self.address.clone(), self.max_message);
                let connecting = async move { address.connect(max_message).await };
                self.road = Road::Connecting(Box::pin(connecting));
            }
            (Phase::Pause { .. } | Phase::Ended(_), Road::Connecting(_) | Road::Open(_)) => {
                self.road = Road::None;
            }
            _ => {}
        }
    }

    /// Passes on what the session has to say.
    fn tell(&mut self) {
        while let Some(event) = self.session.poll_event() {
            match event {
                Event::LoggedIn(login) => _ = self.login.send_replace(login),
                Event::Settled(id, result) => {
                    if let Some(posting) = self.postings.remove(&id)
                        && let Err(Err(why)) = posting.send(result)
                        && !matches!(why, Error::Closed)
                    {
                        tracing::warn!(id, %why, "a post failed that nobody waits for");
                    }
                }
                Event::Letter(letter) => self.deliver(letter),
                Event::Keep { id, message, deadline } => {
                    self.jobs.push(Job::Keep { id, message, deadline });
                }
                Event::Discard(id) => self.jobs.push(Job::Discard(id)),
                Event::Remember(id) => self.jobs.push(Job::Remember(id)),
                Event::Ping => {
                    if let Road::Open(open) = &mut self.road {
                        match open.link.start_ping() {
                            Ok(true) => open.unflushed = true,
                            // A broken link shows when it is next read.
                            Ok(false) | Err(_) => self.session.cannot_ping(),
                        }
                    }
                }
            }
        }
        self.write();
        let stats = self.session.stats();
        if (stats.online || self.begin_offline)
            && let Some(ready) = self.ready.take()
        {
            let _ = ready.send(Ok(()));
        }
        self.stats.send_if_modified(|told| std::mem::replace(told, stats) != stats);
        let trouble = self.session.trouble();
        let text = |why: &Error| why.to_string();
        if self.trouble.borrow().as_ref().map(text) != trouble.map(text) {
            self.trouble.send_replace(trouble.cloned());
        }
    }

    /// Gives the disk what there is to do, if it is free.
    fn write(&mut self) {
        if self.jobs.is_empty() {
            return;
        }
        match std::mem::replace(&mut self.desk, Desk::Gone) {
            Desk::Free(mut disk) => {
                let jobs = std::mem::take(&mut self.jobs);
                self.desk = Desk::Busy(spawn_blocking(move || {
                    let done = disk.run(jobs);
                    (disk, done)
                }));
            }
            other => self.desk = other,
        }
    }

    /// Waits until the disk has done all that there is to do.
    async fn finish_writing(&mut self) {
        loop {
            self.write();
            let Desk::Busy(work) = &mut self.desk else { return };
            match work.await {
                Ok((disk, done)) => {
                    self.desk = Desk::Free(disk);
                    self.written(done);
                }
                Err(_) => self.desk = Desk::Gone,
            }
        }
    }

    fn written(&mut self, done: Vec<Done>) {
        for done in done {
            match done {
                Done::Kept(id, result) => {
                    self.session.kept(id, result.clone());
                    if let Some(accepted) = self.accepting.remove(&id) {
                        let _ = accepted.send(result);
                    }
                }
                Done::Remembered(id, result) => {
                    if let Err(why) = &result {
                        tracing::warn!(id, %why, "a message is acked that a crash may show again");
                    }
                    self.session.remembered(&id);
                    if let Some(said) = self.remembering.remove(&id) {
                        let _ = said.send(result);
                    }
                }
            }
        }
    }

    fn deliver(&mut self, letter: Letter) {
        let Letter { id, from, kind, posted, redelivered, etc, data } = letter;
        // Only a client that is being dropped has no sender left.
        if let Some(control) = self.own_control.upgrade() {
            let stub = Stub::new(id.clone(), control);
            let delivery = Delivery { id, from, kind, posted, redelivered, etc, data, stub };
            let _ = self.deliveries.send(delivery);
        }
    }

    /// Takes what else is there already, so that it goes out in one write.
    fn drain(&mut self) {
        while self.session.has_room()
            && let Ok(command) = self.commands.try_recv()
        {
            self.commanded(command);
        }
    }

    fn commanded(&mut self, Command { request, deadline, accepted, settled }: Command) {
        match self.session.submit(now(), &request, deadline) {
            Ok(id) => {
                self.postings.insert(id, settled);
                match accepted {
                    Some(accepted) if self.keeps_posts && request.is_post() => {
                        self.accepting.insert(id, accepted);
                    }
                    Some(accepted) => _ = accepted.send(Ok(())),
                    None => {}
                }
            }
            Err(error) => {
                if let Some(accepted) = accepted {
                    let _ = accepted.send(Err(error.clone()));
                }
                let _ = settled.send(Err(error));
            }
        }
    }

    fn controlled(&mut self, control: Control) {
        match control {
            Control::Ack(id, said) => match self.session.ack(&id) {
                true => _ = self.remembering.insert(id, said),
                false => self.acking.push(said),
            },
            Control::Release(id) => self.session.release(&id),
            Control::Close(_) | Control::Drop => {}
        }
    }

    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Turn> {
        // First, so that acks gather before the next write.
        if let Poll::Ready(control) = self.control.poll_recv(cx) {
            return Poll::Ready(Turn::Control(control.unwrap_or(Control::Drop)));
        }
        if let Desk::Busy(work) = &mut self.desk
            && let Poll::Ready(done) = Pin::new(work).poll(cx)
        {
            return Poll::Ready(match done {
                Ok((disk, done)) => {
                    self.desk = Desk::Free(disk);
                    Turn::Written(done)
                }
                Err(_) => {
                    self.desk = Desk::Gone;
                    Turn::DiskLost
                }
            });
        }
        if let Road::Open(open) = &mut self.road
            && let Err(error) = open.poll_write(cx, &mut self.session)
        {
            return Poll::Ready(Turn::Broken(error.to_string()));
        }
        // The link has them; or there is none, and they go when the messages come again.
        if !self.session.owes_acks() {
            for said in self.acking.drain(..) {
                let _ = said.send(Ok(()));
            }
        }
        match &mut self.road {
            Road::None => {}
            Road::Connecting(connecting) => {
                if let Poll::Ready(link) = connecting.as_mut().poll(cx) {
                    self.road = Road::None;
                    return Poll::Ready(Turn::Connected(link));
                }
            }
            Road::Open(open) => {
                let read = open.link.poll_message(cx);
                if open.has_progressed() {
                    self.session.heard(now());
                }
                match read {
                    Poll::Ready(Some(Ok(message))) => return Poll::Ready(Turn::Message(message)),
                    Poll::Ready(Some(Err(error))) => {
                        return Poll::Ready(Turn::Broken(error.to_string()));
                    }
                    Poll::Ready(None) => {
                        return Poll::Ready(Turn::Broken("the server closed it".into()));
                    }
                    Poll::Pending => {}
                }
            }
        }
        if self.session.has_room()
            && let Poll::Ready(Some(command)) = self.commands.poll_recv(cx)
        {
            return Poll::Ready(Turn::Command(command));
        }
        if let Some(at) = self.session.next_timeout() {
            let at = at.into();
            if self.sleep.deadline() != at {
                self.sleep.as_mut().reset(at);
            }
            if self.sleep.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Turn::Timeout);
            }
        }
        Poll::Pending
    }

    /// Sends what is to be sent and ends the link.
    async fn close(mut self) {
        self.commands.close();
        while let Ok(command) = self.commands.try_recv() {
            self.commanded(command);
        }
        while let Ok(control) = self.control.try_recv() {
            self.controlled(control);
        }
        self.tell();
        self.finish_writing().await;
        if let Road::Open(mut open) = std::mem::replace(&mut self.road, Road::None) {
            let session = &mut self.session;
            let sending = async {
                while let Some(message) = session.poll_transmit(now()) {
                    open.link.send(message).await?;
                }
                poll_fn(|cx| open.link.poll_flush(cx)).await
            };
            // If it fails, the postings and ackings say so.
            let sent = timeout(CLOSE_WAIT, sending).await.is_ok_and(|sent| sent.is_ok());
            for said in self.acking.drain(..).filter(|_| sent) {
                let _ = said.send(Ok(()));
            }
            open.link.close(None, CLOSE_WAIT).await;
        }
        self.session.end(Error::Closed);
        self.tell();
        self.finish_writing().await;
    }
}

impl Open {
    fn new(link: Link<Stream>) -> Self {
        Self { link, unflushed: false, given: 0, progress: (0, 0) }
    }

    /// Gives the link all that it has room for, then flushes once.
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        session: &mut Session,
    ) -> Result<(), wsstream::Error> {
        while let Poll::Ready(ready) = self.link.poll_ready(cx) {
            ready?;
            let Some(message) = session.poll_transmit(now()) else { break };
            self.given += message.len() as u64;
            self.link.start_send(message)?;
            self.unflushed = true;
        }
        if self.unflushed
            && let Poll::Ready(flushed) = self.link.poll_flush(cx)
        {
            flushed?;
            self.unflushed = false;
        }
        Ok(())
    }

    /// Has the peer taken or sent anything since this was last asked?
    fn has_progressed(&mut self) -> bool {
        let taken = self.given.saturating_sub(self.link.queued() as u64);
        let (before_received, before_taken) = self.progress;
        let progress = (self.link.received(), taken.max(before_taken));
        self.progress = progress;
        progress.0 > before_received || progress.1 > before_taken
    }
}

pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn disk_lost() -> Error {
    Error::Disk { path: "outbox".into(), reason: "the thread that writes it is gone".into() }
}

/// Any number. For the first id and for jitter: without randomness they do without.
pub(crate) fn random() -> u32 {
    getrandom::u32().unwrap_or_default()
}

/// From 0 to 1.
fn jitter() -> f64 {
    f64::from(random()) / f64::from(u32::MAX)
}
