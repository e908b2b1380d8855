//! A server from start to end.

use crate::config::Config;
use crate::config::live::Live;
use crate::control::Control;
use crate::door::census::Census;
use crate::door::entrance::{self, Door};
use crate::door::ledger::Ledger;
use crate::hasher::Hasher;
use crate::lock::{Lock, LockError};
use crate::logging::Log;
use crate::metrics::{Metrics, Sources};
use crate::operator::Operator;
use crate::post_office::PostOffice;
use crate::recent::Recent;
use crate::reload::Reload;
use crate::store_thread::StoreThread;
use crate::tls::{self, Renewal, Tls, TlsError};
use crate::{admin, api, engine::Event};
use mqlib::broker::Broker;
use mqlib::disk::FsDisk;
use mqlib::registry::Birth;
use mqlib::store::{Fatal, OpenError, Store};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::mpsc::{self, UnboundedSender};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long a stop waits for connections to end. With what the broker waits for posts, and a
/// moment for the store, a stop takes less than 10 s.
const GOODBYE: Duration = Duration::from_secs(3);
/// How many connections the kernel keeps that are not accepted yet; it may have a lower limit of its
/// own (`net.core.somaxconn`). Who comes when they are that many waits a second before it knocks again.
const BACKLOG: u32 = 4096;

/// Why a server did not start, or did not go on. Told to the operator.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The directory of the store cannot be made.
    #[error("{0}: {1}")]
    Store(PathBuf, io::Error),
    /// Another server runs on the store, or it cannot be written.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The store is damaged, newer, or refused by the disk.
    #[error("the store {0} cannot be opened: {1}")]
    Open(PathBuf, OpenError),
    /// An address cannot be listened on.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, io::Error),
    /// There are listeners for TLS, and no good certificate.
    #[error("no TLS: {0}")]
    Tls(#[from] TlsError),
    /// The system refused a thread, a socket or random numbers.
    #[error("{0}: {1}")]
    System(&'static str, io::Error),
    /// The configuration invites trouble, and the operator has not insisted.
    #[error("{0}; mqserver --insecure starts nevertheless")]
    Careless(String),
    /// The store failed. Nothing was acked since; a restart recovers.
    #[error(transparent)]
    Fatal(#[from] Fatal),
}

/// A server that is ready: its store is open and its addresses are bound.
pub struct Server {
    live: Live,
    reload: Option<Reload>,
    // Last of all, so that the next server starts when this one is done.
    lock: Lock,
    control: Control,
    listeners: Vec<TcpListener>,
    tls_listeners: Vec<TcpListener>,
    tls: Option<(Tls, Renewal)>,
    admin: Option<TcpListener>,
    office: PostOffice,
    start: Instant,
    ledger: Arc<Ledger>,
    hasher: Arc<Hasher>,
    events: UnboundedSender<Event>,
    operator: Operator,
    recent: Recent,
    log: Option<Log>,
}

impl Server {
    /// Opens the store, made if it does not exist, and binds the addresses.
    pub async fn start(config: Config) -> Result<Self, ServerError> {
        beware(&config)?;
        let written = config.clone();
        let config = config.ready();
        let path = config.store.clone();
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder
            .create(&path)
            // The store's own name is to survive a power cut, too.
            .and_then(|()| std::fs::File::open(path.join(".."))?.sync_all())
            .map_err(|error| ServerError::Store(path.clone(), error))?;
        let lock = Lock::take(&path)?;
        // Before the store is opened: an address in use is no reason to touch it.
        let tls = match config.listen_tls.is_empty() {
            true => None,
            false => Some(Tls::read(config.tls_below_store())?),
        };
        let listeners = bind_all(&config.listen)?;
        let tls_listeners = bind_all(&config.listen_tls)?;
        let admin = match config.admin {
            Some(address) => Some(bind(address)?),
            None => None,
        };
        let disk = FsDisk::open(&path).map_err(|error| ServerError::Store(path.clone(), error))?;
        let disk = Arc::new(disk);
        let birth = Birth { salt: random()?, tag: u32::from_le_bytes(random()?) };
        let start = Instant::now();
        let (store, opened) = Store::open(&*disk, config.storage.clone(), birth)
            .map_err(|error| ServerError::Open(path.clone(), error))?;
        for damage in &opened.damage {
            tracing::warn!("{damage}");
        }
        if opened.recovered > 0 {
            tracing::info!(messages = opened.recovered, "messages taken up from the journal");
        }
        let hasher = Arc::new(Hasher::new(opened.birth.salt, random()?, cores()));
        let broker = Broker::new(config.limits.clone(), opened);
        let (events, inbox) = mpsc::unbounded_channel();
        let store = StoreThread::start(store, disk.clone(), start, events.clone())
            .map_err(|error| ServerError::System("no thread", error))?;
        let (sender, live) = Live::new(config);
        let operator = Operator::new(
            events.clone(),
            store.inquiry(),
            hasher.clone(),
            disk,
            path.clone(),
            start,
            live.clone(),
        );
        let control = Control::open(&path)
            .map_err(|error| ServerError::System("no control socket", error))?;
        let ledger = Arc::new(Ledger::default());
        let office = PostOffice::new(broker, store, inbox, start, ledger.clone());
        let reload = Reload::new(&written, sender, events.clone())
            .map_err(|error| ServerError::System("no signals", error))?;
        Ok(Self {
            live,
            reload,
            lock,
            control,
            listeners,
            tls_listeners,
            tls,
            admin,
            office,
            start,
            ledger,
            hasher,
            events,
            operator,
            recent: Recent::default(),
            log: None,
        })
    }

    /// The admin page is to show what `recent` has heard, and the log has the level that the
    /// configuration says.
    #[must_use]
    pub fn with_log(self, log: Log, recent: Recent) -> Self {
        Self { recent, log: Some(log), ..self }
    }

    /// The addresses that clients connect to without TLS.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        addresses(&self.listeners)
    }

    /// The addresses that clients connect to with TLS.
    pub fn tls_addresses(&self) -> Vec<SocketAddr> {
        addresses(&self.tls_listeners)
    }

    /// The address of the admin page.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// Serves until `stop`.
    ///
    /// # Errors
    /// The store failed.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), ServerError> {
        let counts = self.office.broker.counts();
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            store = %self.live.current().store.display(),
            listen = ?self.addresses(),
            listen_tls = ?self.tls_addresses(),
            admin = self.admin_address().map(tracing::field::display),
            users = counts.users,
            nodes = counts.nodes,
            lists = counts.lists,
            "serving"
        );
        let metrics = Metrics::new(Sources {
            start: self.start,
            live: self.live.clone(),
            ledger: self.ledger.clone(),
            events: self.events.clone(),
            inquiry: self.operator.inquiry().clone(),
            hasher: self.hasher.clone(),
            tls: self.tls.as_ref().map(|(tls, _)| tls.clone()),
        });
        let tasks = TaskTracker::new();
        let stopping = CancellationToken::new();
        let door = Arc::new(Door {
            census: Arc::new(Census::default()),
            ledger: self.ledger,
            refusals: entrance::refusals(),
            live: self.live.clone(),
            stopping: stopping.clone(),
            hasher: self.hasher.clone(),
            events: self.events.clone(),
            next: AtomicU64::new(0),
            tasks: tasks.clone(),
        });
        let mut ears = tokio::task::JoinSet::new();
        ears.spawn(metrics.clone().run());
        // They tell of the stop, too.
        let mut pages = tokio::task::JoinSet::new();
        for listener in self.listeners {
            ears.spawn(entrance::listen(door.clone(), listener, None));
        }
        if let Some((tls, renewal)) = self.tls {
            for listener in self.tls_listeners {
                ears.spawn(entrance::listen(door.clone(), listener, Some(tls.clone())));
            }
            ears.spawn(tls::follow(renewal, self.live.clone()));
        }
        if let Some(reload) = self.reload {
            ears.spawn(reload.follow());
        }
        if let Some(log) = self.log {
            ears.spawn(log.follow(self.live.clone()));
        }
        if let Some(listener) = self.admin {
            let names = self.live.current().admin_names.clone();
            let router = admin::router(self.operator.clone(), metrics.clone(), names, self.recent);
            let router = router.into_make_service_with_connect_info::<SocketAddr>();
            pages.spawn(async move {
                if let Err(error) = axum::serve(listener, router).await {
                    tracing::warn!(%error, "the admin page has ended");
                }
            });
        }
        let control = self.control;
        let operator = self.operator;
        let router = api::router(operator.clone()).merge(api::backups::router(operator));
        ears.spawn(control.serve(router));
        let stop = async {
            stop.await;
            metrics.stopping();
            ears.shutdown().await;
            stopping.cancel();
        };
        let result = self.office.run(stop).await;
        tasks.close();
        if tokio::time::timeout(GOODBYE, tasks.wait()).await.is_err() {
            tracing::warn!(connections = tasks.len(), "connections did not end in time");
        }
        pages.shutdown().await;
        drop(self.lock);
        Ok(result?)
    }
}

/// Starts a server and serves until `stop`.
///
/// # Errors
/// It could not start, or its store failed.
pub async fn run(config: Config, stop: impl Future<Output = ()>) -> Result<(), ServerError> {
    Server::start(config).await?.run(stop).await
}

/// Says what is careless about the configuration.
fn beware(config: &Config) -> Result<(), ServerError> {
    let found = config.careless();
    if !found.is_empty() && !config.insecure {
        return Err(ServerError::Careless(found.join("; ")));
    }
    for sentence in found {
        tracing::warn!("insecure: {sentence}");
    }
    Ok(())
}

fn addresses(listeners: &[TcpListener]) -> Vec<SocketAddr> {
    listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
}

fn bind_all(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, ServerError> {
    addresses.iter().map(|address| bind(*address)).collect()
}

fn bind(address: SocketAddr) -> Result<TcpListener, ServerError> {
    let listen = || {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    listen().map_err(|error| ServerError::Listen(address, error))
}

fn random<const N: usize>() -> Result<[u8; N], ServerError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| ServerError::System("no random numbers", io::Error::other(error)))?;
    Ok(bytes)
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
