//! The entrance: connections are accepted, counted, and shake hands.
//!
//! Whoever comes is given a task, and in it a time by which the handshakes of TLS and HTTP are over,
//! however the bytes drip. Who is one too many is told so over a handshake like everybody's, if few
//! others are being told at the moment; else the connection is closed without a word, which costs
//! nothing.

use super::census::{Census, Seat};
use super::ledger::{DoorLimit, Ledger};
use super::ws::{self, CLOSE};
use crate::config::live::Live;
use crate::engine::Event;
use crate::hasher::Hasher;
use crate::tls::Tls;
use mqlib::quit::Quit;
use mqlib::reply;
use rustix::net::sockopt;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::{sleep, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wsstream::{Link, Stream};

/// How long accepting pauses when there is no file descriptor left.
const PAUSE: Duration = Duration::from_millis(100);
/// How many are told at a time that there are too many.
const REFUSALS: usize = 64;
/// How often the operator is told of the same trouble.
const COMPLAIN: Duration = Duration::from_secs(10);

/// What all links share.
pub(crate) struct Door {
    /// With the limits of a connection that is made now.
    pub(crate) live: Live,
    pub(crate) hasher: Arc<Hasher>,
    pub(crate) events: UnboundedSender<Event>,
    pub(crate) next: AtomicU64,
    pub(crate) tasks: TaskTracker,
    /// The server stops: connections that have not shaken hands are closed.
    pub(crate) stopping: CancellationToken,
    pub(crate) census: Arc<Census>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) refusals: Arc<Semaphore>,
}

/// How many may be told at a time that there are too many.
pub(crate) fn refusals() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(REFUSALS))
}

/// Accepts connections, which speak TLS if there is `tls`, until it is dropped.
pub(crate) async fn listen(door: Arc<Door>, listener: TcpListener, tls: Option<Tls>) {
    let (mut stuck, mut full) = (Complaint::default(), Complaint::default());
    loop {
        match listener.accept().await {
            Ok((tcp, peer)) => {
                if let Err(quit) = door.clone().enter(tcp, peer, tls.clone())
                    && full.is_due()
                {
                    let address = peer.ip();
                    tracing::warn!(%address, reason = %quit, "connections are refused");
                }
            }
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
            Err(error) => {
                if stuck.is_due() {
                    tracing::warn!(%error, "no connection can be accepted for now");
                }
                sleep(PAUSE).await;
            }
        }
    }
}

/// Trouble that comes in crowds.
#[derive(Default)]
struct Complaint(Option<Instant>);

impl Complaint {
    fn is_due(&mut self) -> bool {
        let due = self.0.is_none_or(|last| last.elapsed() > COMPLAIN);
        if due {
            self.0 = Some(Instant::now());
        }
        due
    }
}

/// How long a connection may take.
struct Patience {
    /// Until its first byte, and what it is told if there is none.
    word: (Instant, Quit),
    /// Until the end of its handshakes.
    handshake: Instant,
}

impl Door {
    /// Gives a connection its task.
    ///
    /// # Errors
    /// There are too many.
    fn enter(
        self: Arc<Self>,
        tcp: TcpStream,
        peer: SocketAddr,
        tls: Option<Tls>,
    ) -> Result<(), Quit> {
        let tasks = self.tasks.clone();
        match self.census.seat(peer.ip(), &self.live.current().door) {
            Ok(seat) => {
                tasks.spawn(async move { self.serve(tcp, peer, tls, seat).await });
                Ok(())
            }
            Err(quit) => {
                self.ledger.quit(&quit);
                if let Ok(permit) = self.refusals.clone().try_acquire_owned() {
                    let told = quit.clone();
                    tasks.spawn(async move {
                        self.refuse(tcp, peer, tls, told).await;
                        drop(permit);
                    });
                }
                Err(quit)
            }
        }
    }

    async fn serve(&self, tcp: TcpStream, peer: SocketAddr, tls: Option<Tls>, seat: Seat) {
        let connected = Instant::now();
        let patience = self.patience(connected);
        let is_tls = tls.is_some();
        // Boxed like all that does not last: a link is idle most of its life.
        if let Some(link) = Box::pin(self.meet(tcp, peer, tls, patience)).await {
            let _present = self.ledger.enter((link.framing(), is_tls));
            ws::live(self, link, peer.ip(), connected, seat).await;
        }
    }

    fn patience(&self, connected: Instant) -> Patience {
        let config = self.live.current();
        Patience {
            word: (connected + config.limits.login_timeout, Quit::LoginTimeout),
            handshake: connected + config.door.handshake_timeout,
        }
    }

    /// The limits of a link.
    fn link(&self) -> wsstream::Limits {
        let max_message = self.live.current().limits.max_message;
        wsstream::Limits { max_message, ..wsstream::Limits::default() }
    }

    /// Tells a connection why it cannot stay.
    async fn refuse(&self, tcp: TcpStream, peer: SocketAddr, tls: Option<Tls>, quit: Quit) {
        let deadline = Instant::now() + CLOSE;
        let patience = Patience { word: (deadline, quit.clone()), handshake: deadline };
        if let Some(link) = self.meet(tcp, peer, tls, patience).await {
            link.close(Some(reply::quit(&quit)), CLOSE).await;
        }
    }

    /// The link of a new connection, once it has shaken hands; `None` if it is closed.
    async fn meet(
        &self,
        tcp: TcpStream,
        peer: SocketAddr,
        tls: Option<Tls>,
        patience: Patience,
    ) -> Option<Link<Stream>> {
        if let Err(error) = self.prepare(&tcp) {
            tracing::debug!(%peer, %error, "a connection cannot be set up");
            return None;
        }
        let handshake = patience.handshake.into();
        let mut stream = match tls {
            None => tcp.into(),
            Some(tls) => {
                let accept = timeout_at(handshake, tls.acceptor().accept(tcp));
                match self.stopping.run_until_cancelled(accept).await? {
                    Ok(Ok(stream)) => Stream::from(stream),
                    Ok(Err(error)) => {
                        self.ledger.failed(true);
                        tracing::debug!(%peer, %error, "no TLS handshake");
                        return None;
                    }
                    Err(_) => {
                        self.ledger.failed(true);
                        self.ledger.meet(DoorLimit::HandshakeTimeout);
                        tracing::debug!(%peer, "no TLS handshake in time");
                        return None;
                    }
                }
            }
        };
        let (silence, quit) = patience.word;
        // The first byte decides the framing; who says nothing is taken for an original client.
        let first = tokio::select! {
            first = stream.read_u8() => first.ok()?,
            () = sleep_until(silence.into()) => {
                // Who is one too many was counted before.
                if quit == Quit::LoginTimeout {
                    self.ledger.quit(&quit);
                }
                self.send_away(stream, Some(quit)).await;
                return None;
            }
            () = self.stopping.cancelled() => {
                self.send_away(stream, None).await;
                return None;
            }
        };
        let limits = self.link();
        let accept = timeout_at(handshake, Link::accept_begun(stream, first, &limits));
        match self.stopping.run_until_cancelled(accept).await? {
            Ok(Ok(link)) => return Some(link),
            Ok(Err(error)) => tracing::debug!(%peer, %error, "no handshake"),
            Err(_) => {
                self.ledger.meet(DoorLimit::HandshakeTimeout);
                tracing::debug!(%peer, "no handshake in time");
            }
        }
        self.ledger.failed(false);
        None
    }

    /// Closes a connection that has not said what it speaks.
    async fn send_away(&self, stream: Stream, quit: Option<Quit>) {
        if let Ok(link) = Link::connect_raw(stream, &self.link()).await {
            link.close(quit.as_ref().map(reply::quit), CLOSE).await;
        }
    }

    /// Sets the options of a socket: no waiting for more to send, and an end of peers that are gone.
    fn prepare(&self, tcp: &TcpStream) -> std::io::Result<()> {
        const PROBES: u32 = 4;
        let gone = self.live.current().door.dead_peer;
        let second = Duration::from_secs(1);
        tcp.set_nodelay(true)?;
        // Of what is silent: half of the time, then the probes.
        sockopt::set_socket_keepalive(tcp, true)?;
        sockopt::set_tcp_keepidle(tcp, (gone / 2).max(second))?;
        sockopt::set_tcp_keepintvl(tcp, (gone / 2 / PROBES).max(second))?;
        sockopt::set_tcp_keepcnt(tcp, PROBES)?;
        // Of what is not confirmed, or not taken at all.
        sockopt::set_tcp_user_timeout(tcp, gone.as_millis() as u32)?;
        Ok(())
    }
}
