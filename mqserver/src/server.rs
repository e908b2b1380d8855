//! A server from start to end.

use crate::config::Config;
use crate::control::{Control, Invitations, Question};
use crate::door::census::Census;
use crate::door::entrance::{self, Door};
use crate::door::ledger::Ledger;
use crate::hasher::Hasher;
use crate::lock::{Lock, LockError};
use crate::metrics::{Limits, Metrics, Sources};
use crate::post_office::PostOffice;
use crate::status::{Status, count_files};
use crate::store_thread::{Inquiry, StoreThread};
use crate::tls::{self, Renewal, Tls, TlsError};
use crate::{admin, engine::Event, exposure};
use mqlib::broker::Broker;
use mqlib::directory::Registration;
use mqlib::disk::FsDisk;
use mqlib::registry::Birth;
use mqlib::store::{Fatal, OpenError, Store};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{self, UnboundedSender};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long a stop waits for connections to end. With what the broker waits for posts, and a
/// moment for the store, a stop takes less than 10 s.
const GOODBYE: Duration = Duration::from_secs(3);

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
    config: Config,
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
    inquiry: Inquiry,
}

impl Server {
    /// Opens the store, made if it does not exist, and binds the addresses.
    pub async fn start(mut config: Config) -> Result<Self, ServerError> {
        config.limits.registration = config.registration();
        beware(&config)?;
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
            false => Some(Tls::read(config.tls.below(&path))?),
        };
        let listeners = bind_all(&config.listen).await?;
        let tls_listeners = bind_all(&config.listen_tls).await?;
        let admin = match config.admin {
            Some(address) => Some(bind(address).await?),
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
        let store = StoreThread::start(store, disk, start, events.clone())
            .map_err(|error| ServerError::System("no thread", error))?;
        let inquiry = store.inquiry();
        let control = Control::open(&path)
            .map_err(|error| ServerError::System("no control socket", error))?;
        let ledger = Arc::new(Ledger::default());
        let office = PostOffice::new(broker, store, inbox, start, ledger.clone());
        Ok(Self {
            config,
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
            inquiry,
        })
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
            store = %self.config.store.display(),
            listen = ?self.addresses(),
            listen_tls = ?self.tls_addresses(),
            admin = self.admin_address().map(tracing::field::display),
            users = counts.users,
            nodes = counts.nodes,
            lists = counts.lists,
            "serving"
        );
        let link = wsstream::Limits {
            max_message: self.config.limits.max_message,
            ..wsstream::Limits::default()
        };
        let limits = self.config.door.within_open_files();
        let metrics = Metrics::new(Sources {
            start: self.start,
            store: self.config.store.clone(),
            limits: Limits {
                connections: limits.connections,
                backlog: self.config.storage.backlog,
                min_free: self.config.storage.min_free,
            },
            ledger: self.ledger.clone(),
            events: self.events.clone(),
            inquiry: self.inquiry.clone(),
            hasher: self.hasher.clone(),
            tls: self.tls.as_ref().map(|(tls, _)| tls.clone()),
        });
        let tasks = TaskTracker::new();
        let stopping = CancellationToken::new();
        let door = Arc::new(Door {
            census: Census::new(&limits),
            ledger: self.ledger,
            refusals: entrance::refusals(),
            limits,
            link,
            login_timeout: self.config.limits.login_timeout,
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
            ears.spawn(tls::follow(renewal));
        }
        if let Some(listener) = self.admin {
            let router = admin::router(self.events.clone(), metrics.clone());
            pages.spawn(async move {
                if let Err(error) = axum::serve(listener, router).await {
                    tracing::warn!(%error, "the admin page has ended");
                }
            });
        }
        let control = self.control;
        let told = Told {
            events: self.events,
            store: self.config.store.clone(),
            inquiry: self.inquiry,
            hasher: self.hasher,
            registration: self.config.limits.registration,
        };
        ears.spawn(async move { control.serve(|question| told.answer(question)).await });
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
    let clear = config.listen.iter().chain(&config.admin).map(|address| (*address, false));
    let listeners: Vec<_> =
        clear.chain(config.listen_tls.iter().map(|address| (*address, true))).collect();
    let found = exposure::careless(&listeners, config.limits.registration);
    if !found.is_empty() && !config.insecure {
        return Err(ServerError::Careless(found.join("; ")));
    }
    for sentence in found {
        tracing::warn!("insecure: {sentence}");
    }
    Ok(())
}

/// What answers the operator's questions.
struct Told {
    events: UnboundedSender<Event>,
    store: PathBuf,
    inquiry: Inquiry,
    hasher: Arc<Hasher>,
    registration: Registration,
}

impl Told {
    async fn answer(&self, question: Question) -> io::Result<serde_json::Value> {
        Ok(match question {
            Question::Status => serde_json::to_value(self.status().await?)?,
            Question::Invite(count, seconds) => {
                let lifetime = Duration::from_secs(seconds);
                serde_json::to_value(self.invite(count, lifetime).await?)?
            }
        })
    }

    async fn status(&self) -> io::Result<Status> {
        let overview = admin::overview(&self.events, 0).await.ok_or(io::ErrorKind::BrokenPipe)?;
        let store = self.store.clone();
        let files = tokio::task::spawn_blocking(move || count_files(&store)).await??;
        let unfiled = self.inquiry.unfiled().await.ok_or(io::ErrorKind::BrokenPipe)?;
        let counts = overview.counts;
        Ok(Status {
            pid: std::process::id(),
            uptime_s: overview.uptime.as_secs(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            links: counts.links,
            online: counts.online,
            users: counts.users,
            nodes: counts.nodes,
            waiting: files + unfiled,
        })
    }

    /// Invitations, that are durable when they are handed out.
    async fn invite(&self, count: usize, lifetime: Duration) -> io::Result<Invitations> {
        let made = self.hasher.invitations(count).map_err(io::Error::other)?;
        let (tokens, keys): (Vec<_>, Vec<_>) = made.into_iter().unzip();
        let (answer, good) = oneshot::channel();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let expires = now.saturating_add(lifetime);
        let invite = Event::Invite(keys, lifetime, answer);
        self.events.send(invite).map_err(|_| io::ErrorKind::BrokenPipe)?;
        let good = good.await.map_err(|_| io::ErrorKind::BrokenPipe)?;
        good.map_err(io::Error::other)?;
        Ok(Invitations {
            invites: tokens.iter().map(|token| token.reveal().to_owned()).collect(),
            expires: mqlib::now::date(expires.as_millis() as u64),
            registration: self.registration,
        })
    }
}

fn addresses(listeners: &[TcpListener]) -> Vec<SocketAddr> {
    listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
}

async fn bind_all(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, ServerError> {
    let mut listeners = Vec::new();
    for address in addresses {
        listeners.push(bind(*address).await?);
    }
    Ok(listeners)
}

async fn bind(address: SocketAddr) -> Result<TcpListener, ServerError> {
    TcpListener::bind(address).await.map_err(|error| ServerError::Listen(address, error))
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
