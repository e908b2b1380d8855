//! The broker's task: it owns the broker, and carries what comes out of it to links and store.
//!
//! It takes all events that are there, handles them, and hands over in one go what is for the store
//! and what is for each link, so a busy server wakes each of them once for many messages.

use crate::door::ledger::Ledger;
use crate::engine::{Event, Look};
use crate::metrics::figures::BrokerFigures;
use crate::store_thread::StoreThread;
use crate::supervisor::Heart;
use bytes::Bytes;
use mqlib::broker::{Broker, Input, LinkId, OperateError, Operated, Output};
use mqlib::now::Now;
use mqlib::quit::Quit;
use mqlib::reply::Delivery;
use mqlib::store::Fatal;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::oneshot;
use tokio::time::{sleep_until, timeout};

/// Events handled in one round.
const ROUND: usize = 1024;
/// How long a stop waits for posts that are under way.
const SETTLE: Duration = Duration::from_secs(4);

/// What a link's task is told.
#[derive(Debug)]
pub(crate) enum ToLink {
    /// Send a message.
    Send(Bytes),
    /// Send a message of the queue; not once more while the first copy still waits for the socket.
    Deliver(Delivery),
    /// Tell when the socket has taken what was sent before this, deliveries of so many bytes.
    Mark(usize),
    /// Requests were settled: look whether more can be read.
    Settled,
    /// Read no more: the server stops.
    Quiet,
    /// End the connection, with a last word or without.
    Close(Option<Quit>),
}

/// The broker's side of a link.
#[derive(Debug, Clone)]
pub(crate) struct LinkHandle {
    pub(crate) mail: UnboundedSender<Vec<ToLink>>,
    /// Requests that are not settled.
    pub(crate) unsettled: Arc<AtomicUsize>,
    /// The link's task has stopped reading until some are.
    pub(crate) parked: Arc<AtomicBool>,
}

/// A link, and what it is told at the end of the round.
struct Desk {
    handle: LinkHandle,
    letters: Vec<ToLink>,
}

/// The broker's task.
pub(crate) struct PostOffice {
    pub(crate) broker: Broker,
    pub(crate) store: StoreThread,
    pub(crate) events: UnboundedReceiver<Event>,
    pub(crate) start: Instant,
    ledger: Arc<Ledger>,
    heart: Heart,
    links: HashMap<LinkId, Desk>,
    /// The links with letters.
    written_to: Vec<LinkId>,
    /// Who waits for what the operator wanted, by number.
    operating: HashMap<u64, oneshot::Sender<Result<Operated, OperateError>>>,
    operations: u64,
}

impl PostOffice {
    pub(crate) fn new(
        broker: Broker,
        store: StoreThread,
        events: UnboundedReceiver<Event>,
        start: Instant,
        ledger: Arc<Ledger>,
    ) -> Self {
        Self {
            broker,
            store,
            events,
            start,
            ledger,
            links: HashMap::new(),
            written_to: Vec::new(),
            operating: HashMap::new(),
            operations: 0,
            heart: Heart::new(),
        }
    }

    /// Works until `stop`, then until what is under way is settled.
    ///
    /// # Errors
    /// The store has failed; nothing was acked since.
    pub(crate) async fn run(mut self, stop: impl Future<Output = ()>) -> Result<(), Fatal> {
        tokio::pin!(stop);
        let result = tokio::select! {
            result = self.work(|_| false) => result,
            () = &mut stop => {
                self.tell_all(|| ToLink::Quiet);
                let settled = self.work(|office| office.broker.is_settled());
                // What hangs now is neither acked nor lost: it was never durable.
                timeout(SETTLE, settled).await.unwrap_or(Ok(()))
            }
        };
        if result.is_err() {
            let now = self.now();
            self.broker.abandon(now);
            self.hand_out();
        }
        self.tell_all(|| ToLink::Close(None));
        let store = self.store;
        // It commits what it has, and only then ends.
        let _ = tokio::task::spawn_blocking(move || store.stop()).await;
        result
    }

    async fn work(&mut self, done: impl Fn(&Self) -> bool) -> Result<(), Fatal> {
        let mut events = Vec::with_capacity(ROUND);
        // What an earlier life left to do.
        self.hand_out();
        while !done(self) {
            let timer = self.broker.next_timeout().map(|at| self.start + at);
            let wait = async {
                match timer {
                    Some(at) => sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                _ = self.events.recv_many(&mut events, ROUND) => {}
                () = wait => {}
                () = self.heart.beat() => {}
            }
            let now = self.now();
            for event in events.drain(..) {
                self.handle(now, event)?;
            }
            self.broker.handle_timeout(now);
            self.hand_out();
        }
        Ok(())
    }

    fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { mono: self.start.elapsed(), wall: wall.as_millis() as u64 }
    }

    fn handle(&mut self, now: Now, event: Event) -> Result<(), Fatal> {
        match event {
            Event::Opened(id, handle, at) => {
                self.links.insert(id, Desk { handle, letters: Vec::new() });
                let at = at.saturating_duration_since(self.start);
                self.broker.handle(now, Input::Opened(id, at));
            }
            Event::Asking(id) => self.broker.handle(now, Input::Asking(id)),
            Event::Requests(id, requests, read) => {
                let read = read.saturating_duration_since(self.start);
                for mut request in requests {
                    request.read = Some(read);
                    self.broker.handle(now, Input::Request(id, request));
                }
            }
            Event::Invalid(id, quit) => self.broker.handle(now, Input::Invalid(id, quit)),
            Event::Written(id, bytes) => self.broker.handle(now, Input::Written(id, bytes)),
            Event::Closed(id) => {
                self.links.remove(&id);
                self.broker.handle(now, Input::Closed(id));
            }
            Event::Operate(operation, answer) => {
                self.operations += 1;
                self.operating.insert(self.operations, answer);
                self.broker.handle(now, Input::Operate(self.operations, operation));
            }
            Event::Configured(config) => {
                self.store.configure(config.storage.clone());
                self.broker.handle(now, Input::Limits(Box::new(config.limits.clone())));
            }
            Event::Spool(done) => {
                for done in done {
                    self.broker.handle(now, Input::Spool(done));
                }
            }
            Event::Fatal(fatal) => return Err(fatal),
            Event::Look(Look(look)) => look(&self.broker, now),
            Event::Figures(answer) => {
                let (counts, totals) = (self.broker.counts(), *self.broker.totals());
                // Whoever asked may have gone.
                let _ = answer.send(BrokerFigures { counts, totals });
            }
        }
        Ok(())
    }

    fn hand_out(&mut self) {
        let mut ops = Vec::new();
        while let Some(output) = self.broker.poll() {
            match output {
                Output::Spool(op) => ops.push(op),
                Output::Send(id, message) => self.tell(id, ToLink::Send(message)),
                Output::Deliver(id, delivery) => self.tell(id, ToLink::Deliver(delivery)),
                Output::Mark(id, bytes) => self.tell(id, ToLink::Mark(bytes)),
                Output::Close(id, quit) => {
                    self.ledger.quit(&quit);
                    self.tell(id, ToLink::Close(Some(quit)));
                }
                Output::Settled(id, count) => {
                    if let Some(Desk { handle, .. }) = self.links.get(&id) {
                        handle.unsettled.fetch_sub(count, Ordering::Relaxed);
                        if handle.parked.swap(false, Ordering::AcqRel) {
                            self.tell(id, ToLink::Settled);
                        }
                    }
                }
                Output::Operated(number, result) => {
                    // Whoever asked may have gone.
                    let _ = self.operating.remove(&number).map(|answer| answer.send(result));
                }
                Output::Trouble(text) => tracing::warn!("{text}"),
            }
        }
        // First, so that the disk works while links are written to.
        if !ops.is_empty() {
            self.store.submit(ops);
        }
        for id in self.written_to.drain(..) {
            if let Some(Desk { handle, letters }) = self.links.get_mut(&id) {
                // A task that has ended has told so, or is about to.
                let _ = handle.mail.send(std::mem::take(letters));
            }
        }
    }

    fn tell(&mut self, id: LinkId, what: ToLink) {
        if let Some(Desk { letters, .. }) = self.links.get_mut(&id) {
            if letters.is_empty() {
                self.written_to.push(id);
            }
            letters.push(what);
        }
    }

    fn tell_all(&self, what: impl Fn() -> ToLink) {
        for Desk { handle, .. } in self.links.values() {
            let _ = handle.mail.send(vec![what()]);
        }
    }
}
