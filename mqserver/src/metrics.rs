//! What the operator's monitor is told: `/metrics` for Prometheus, `/health` and `/ready`, and the
//! series of the last minutes for plots.
//!
//! Nothing is counted twice, and nothing is shared for it: whoever does something counts it, in
//! numbers of its own (mqlib's `Totals`, the [ledger](crate::door) of the doors), and is asked for
//! them when somebody wants to know. So a message costs an addition or two; and who does not answer
//! in time hangs, which is worth knowing itself. Then what was said last is told, with how long ago
//! that was.
//!
//! `gathered` is all of it at a moment, and says it in `family`s, which `text` writes.

pub(crate) mod family;
pub(crate) mod figures;
mod gathered;
#[cfg(feature = "otel")]
mod otlp;
mod process;
mod ready;
mod room;
mod router;
mod series;
mod spool_count;
mod text;

pub use router::router;

use crate::config::live::Live;
use crate::door::ledger::Ledger;
use crate::engine::Event;
use crate::hasher::Hasher;
use crate::store_thread::Inquiry;
use crate::tls::Tls;
use figures::{BrokerFigures, StoreFigures};
use gathered::{Gathered, Limits};
use process::Process;
use room::Room;
use series::Series;
use spool_count::SpoolCount;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// How long is waited for an answer, before what was said last is told.
const ANSWER: Duration = Duration::from_secs(1);

/// What gathers the metrics of a server. Clones share it.
#[derive(Clone)]
pub struct Metrics(Arc<Shared>);

/// Who is asked, and what is told as it is.
pub(crate) struct Sources {
    /// When the server started.
    pub(crate) start: Instant,
    pub(crate) live: Live,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) events: UnboundedSender<Event>,
    pub(crate) inquiry: Inquiry,
    pub(crate) hasher: Arc<Hasher>,
    pub(crate) tls: Option<Tls>,
}

struct Shared {
    sources: Sources,
    started: SystemTime,
    stopping: AtomicBool,
    known: Mutex<Known>,
    series: Mutex<Series>,
    spool: SpoolCount,
    /// Held by who looks at the disk, which may hang.
    looking: Arc<tokio::sync::Mutex<()>>,
}

/// What was said last, and when.
#[derive(Default)]
struct Known {
    broker: Option<(BrokerFigures, Instant)>,
    store: Option<(StoreFigures, Instant)>,
    room: Option<Room>,
}

impl Metrics {
    pub(crate) fn new(sources: Sources) -> Self {
        Self(Arc::new(Shared {
            sources,
            started: SystemTime::now(),
            stopping: AtomicBool::new(false),
            known: Mutex::default(),
            series: Mutex::new(Series::new()),
            spool: SpoolCount::default(),
            looking: Arc::default(),
        }))
    }

    /// Makes the series, counts what is in the spool now and then, and pushes to a collector if there
    /// is one, until it is dropped.
    pub(crate) async fn run(self) {
        let push = async {
            #[cfg(feature = "otel")]
            otlp::push(&self).await;
        };
        tokio::join!(self.make_series(), self.0.spool.keep(&self), push);
    }

    /// The server has begun to stop: it is not ready any more.
    pub(crate) fn stopping(&self) {
        self.0.stopping.store(true, Ordering::Relaxed);
    }

    async fn make_series(&self) {
        let mut steps = interval(series::STEP);
        steps.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            steps.tick().await;
            let gathered = self.gather(false).await;
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            self.series().add(mqlib::now::date(now.as_millis() as u64), &gathered);
        }
    }

    /// Asks everybody; about the process only if that is wanted, for it costs a look at each of its
    /// open files.
    async fn gather(&self, process: bool) -> Gathered {
        let shared = &self.0;
        let Sources { start, live, hasher, tls, .. } = &shared.sources;
        let config = live.current();
        let path = config.store.clone();
        let look = move || (Room::at(&path).ok(), process.then(Process::now));
        let (room, ..) = tokio::join!(self.look(look), self.ask_broker(ANSWER), self.ask_store());
        let (room, process) = room.unwrap_or_default();
        let mut known = self.known();
        known.room = room.or(known.room);
        let store = known.store.map(|(store, at)| (store, at.elapsed()));
        let waiting = store.as_ref().and_then(|(store, _)| shared.spool.waiting(store));
        Gathered {
            uptime: start.elapsed(),
            started: shared.started,
            broker: known.broker.map(|(broker, at)| (broker, at.elapsed())),
            store,
            waiting,
            room: known.room,
            process,
            hashes: hasher.figures(),
            expires: tls.as_ref().and_then(Tls::expires),
            limits: Limits::of(&config),
        }
    }

    /// Does the broker's task answer? `None` if it has ended, `false` if it does not in time.
    async fn ask_broker(&self, patience: Duration) -> Option<bool> {
        let (answer, figures) = oneshot::channel();
        self.0.sources.events.send(Event::Figures(answer)).ok()?;
        match timeout(patience, figures).await {
            Ok(figures) => self.known().broker = Some((figures.ok()?, Instant::now())),
            Err(_) => return Some(false),
        }
        Some(true)
    }

    /// Does the store's thread answer? `None` if it has ended, `false` if it does not in time.
    async fn ask_store(&self) -> Option<bool> {
        match timeout(ANSWER, self.0.sources.inquiry.figures()).await {
            Ok(figures) => self.known().store = Some((figures?, Instant::now())),
            Err(_) => return Some(false),
        }
        Some(true)
    }

    /// Looks at what the kernel tells, on a thread that may hang; not while another look does.
    async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let looking = timeout(ANSWER, self.0.looking.clone().lock_owned()).await.ok()?;
        let look = tokio::task::spawn_blocking(move || {
            let seen = look();
            drop(looking);
            seen
        });
        timeout(ANSWER, look).await.ok()?.ok()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn series(&self) -> MutexGuard<'_, Series> {
        self.0.series.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
