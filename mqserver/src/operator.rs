//! What the operator may ask of a server at work, and have done: one owner for the commands, over
//! the control socket, and for the admin page.
//!
//! What the broker knows is read in its task, in pieces of at most 2,048 users, so that nobody
//! waits for a search among a hundred thousand. What only the disk knows is read by blocking threads;
//! the thread that commits tells first what has no file yet.

mod directory;
mod queue;

use crate::config::live::Live;
use crate::engine::{Event, Look};
use crate::hasher::Hasher;
use crate::store_thread::Inquiry;
use mqlib::broker::{Broker, OperateError, Operated, Operation};
use mqlib::directory::Registration;
use mqlib::disk::FsDisk;
use mqlib::now::Now;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{Mutex, oneshot};

pub(crate) use queue::{Place, Waiting, amount, message, waiting};

/// Users that the broker's task looks at in one go.
pub(crate) const PIECE: u32 = 2048;
/// How much longer than it took a count of the spool is good for.
const COUNT_LASTS: u32 = 20;

/// The server is about to end: it does not answer any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the server is stopping")]
pub struct Stopping;

/// Why something was not done. Told to the operator.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OperatorError {
    #[error(transparent)]
    Stopping(#[from] Stopping),
    #[error(transparent)]
    Refused(#[from] OperateError),
}

/// Asks a server, and has things done. Clones are of the same server.
#[derive(Clone)]
pub struct Operator(Arc<Inner>);

struct Inner {
    events: UnboundedSender<Event>,
    inquiry: Inquiry,
    hasher: Arc<Hasher>,
    disk: Arc<FsDisk>,
    store: PathBuf,
    start: Instant,
    live: Live,
    /// The last count of the spool's files, when it was, and how long it took.
    counted: Mutex<Option<(usize, Instant, Duration)>>,
}

impl Operator {
    pub(crate) fn new(
        events: UnboundedSender<Event>,
        inquiry: Inquiry,
        hasher: Arc<Hasher>,
        disk: Arc<FsDisk>,
        store: PathBuf,
        start: Instant,
        live: Live,
    ) -> Self {
        let counted = Mutex::new(None);
        Self(Arc::new(Inner { events, inquiry, hasher, disk, store, start, live, counted }))
    }

    /// Has a look at the broker, in its task: it is to be short.
    pub(crate) async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Broker, Now) -> T + Send + 'static,
    ) -> Result<T, Stopping> {
        let (answer, answered) = oneshot::channel();
        // Whoever asked may have gone.
        let look = move |broker: &Broker, now: Now| drop(answer.send(look(broker, now)));
        self.0.events.send(Event::Look(Look(Box::new(look)))).map_err(|_| Stopping)?;
        answered.await.map_err(|_| Stopping)
    }

    /// Has something done; it is durable when it is answered.
    pub(crate) async fn operate(&self, operation: Operation) -> Result<Operated, OperatorError> {
        let (answer, answered) = oneshot::channel();
        self.0.events.send(Event::Operate(operation, answer)).map_err(|_| Stopping)?;
        Ok(answered.await.map_err(|_| Stopping)??)
    }

    pub(crate) fn inquiry(&self) -> &Inquiry {
        &self.0.inquiry
    }

    pub(crate) fn hasher(&self) -> &Hasher {
        &self.0.hasher
    }

    pub(crate) fn disk(&self) -> &Arc<FsDisk> {
        &self.0.disk
    }

    /// The store's directory.
    pub fn store(&self) -> &std::path::Path {
        &self.0.store
    }

    /// How long the server has been up.
    pub fn uptime(&self) -> Duration {
        self.0.start.elapsed()
    }

    /// Who may register now.
    pub fn registration(&self) -> Registration {
        self.0.live.current().registration()
    }

    /// Messages in the spool, counted for each node. A count that took long is good for longer.
    pub(crate) async fn files(&self) -> std::io::Result<usize> {
        let mut counted = self.0.counted.lock().await;
        if let Some((count, at, took)) = *counted
            && at.elapsed() < took * COUNT_LASTS
        {
            return Ok(count);
        }
        let (store, start) = (self.0.store.clone(), Instant::now());
        let count = move || crate::status::count_files(&store);
        let count = tokio::task::spawn_blocking(count).await??;
        *counted = Some((count, Instant::now(), start.elapsed()));
        Ok(count)
    }
}

/// The wall clock, in ms since 1970.
pub(crate) fn wall() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}
