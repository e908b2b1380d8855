//! The WebSocket door: a listener, and a task for each connection.
//!
//! A link's task reads messages, parses them and hashes node names, all in parallel to other links,
//! and hands requests to the broker in their order. It stops reading while too many are unsettled
//! or too much waits to be sent, so a client that does not listen costs no more than it is allowed.
//! What the broker sends is written in one go for all that is there.

use crate::engine::Event;
use crate::hasher::Hasher;
use crate::post_office::{LinkHandle, ToLink};
use bytes::Bytes;
use mqlib::broker::{Asked, LinkId};
use mqlib::quit::Quit;
use mqlib::reply;
use mqlib::request::{Incoming, Op, Request};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use std::time::Instant;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::time::{sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wsstream::{Error, Limits, Link};

/// A handshake that has begun ends by then, or the connection is closed.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long we wait for the peer's FIN when we close.
const CLOSE: Duration = Duration::from_secs(2);
/// How long we wait for it when the peer has begun to close.
const CLOSED_BY_PEER: Duration = Duration::from_secs(10);
/// Requests of a link that may be unsettled before it is read no further.
const UNSETTLED: usize = 256;
/// The same, in bytes of messages.
const UNSETTLED_BYTES: usize = 1 << 20;
/// Requests handed to the broker at once.
const AT_ONCE: usize = 64;
/// How long accepting pauses when there is no file descriptor left.
const PAUSE: Duration = Duration::from_millis(100);

/// What all links share.
pub(crate) struct Door {
    pub(crate) limits: Limits,
    /// A connection that has said nothing by then is closed.
    pub(crate) login_timeout: Duration,
    pub(crate) hasher: Hasher,
    pub(crate) events: UnboundedSender<Event>,
    pub(crate) next: AtomicU64,
    pub(crate) tasks: TaskTracker,
    /// The server stops: connections that have not begun to speak are closed.
    pub(crate) stopping: CancellationToken,
}

/// Accepts connections until it is dropped.
pub(crate) async fn listen(door: Arc<Door>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let door = door.clone();
                door.tasks.clone().spawn(async move { door.serve(stream, peer).await });
            }
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::warn!("no connection can be accepted for now: {error}");
                sleep(PAUSE).await;
            }
        }
    }
}

impl Door {
    async fn serve(&self, stream: TcpStream, peer: SocketAddr) {
        let connected = Instant::now();
        // Boxed like all that does not last: a link is idle most of its life.
        let Some(link) = Box::pin(self.meet(stream, peer, connected)).await else { return };
        let id = LinkId(self.next.fetch_add(1, Ordering::Relaxed));
        let (mail, inbox) = mpsc::unbounded_channel();
        let handle = LinkHandle {
            mail,
            unsettled: Arc::new(AtomicUsize::new(0)),
            parked: Arc::new(AtomicBool::new(false)),
        };
        let session = Session {
            id,
            door: self,
            link,
            inbox,
            letters: Vec::new().into_iter(),
            handle: handle.clone(),
            sizes: VecDeque::new(),
            bytes: 0,
            user: None,
            quiet: false,
            full: false,
        };
        if self.events.send(Event::Opened(id, handle, connected)).is_ok() {
            session.run().await;
            // If nobody listens any more, the server is going down anyway.
            let _ = self.events.send(Event::Closed(id));
        }
    }

    /// The link of a new connection, once it has said what it speaks; `None` if it is closed.
    async fn meet(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        connected: Instant,
    ) -> Option<Link<TcpStream>> {
        if let Err(error) = prepare(&stream) {
            tracing::debug!("{peer}: {error}");
            return None;
        }
        // The first byte decides the framing; who says nothing is taken for an original client.
        let mut first = [0];
        tokio::select! {
            _ = stream.peek(&mut first) => {}
            () = sleep_until((connected + self.login_timeout).into()) => {
                self.send_away(stream, Some(Quit::LoginTimeout)).await;
                return None;
            }
            () = self.stopping.cancelled() => {
                self.send_away(stream, None).await;
                return None;
            }
        }
        match timeout(HANDSHAKE, Link::accept(stream, &self.limits)).await {
            Ok(Ok(link)) => return Some(link),
            Ok(Err(error)) => tracing::debug!("{peer}: {error}"),
            Err(_) => tracing::debug!("{peer}: no handshake in time"),
        }
        None
    }
}

impl Door {
    /// Closes a connection that has not said what it speaks.
    async fn send_away(&self, stream: TcpStream, quit: Option<Quit>) {
        if let Ok(link) = Link::connect_raw(stream, &self.limits).await {
            link.close(quit.as_ref().map(reply::quit), CLOSE).await;
        }
    }
}

fn prepare(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    rustix::net::sockopt::set_socket_keepalive(stream, true)?;
    rustix::net::sockopt::set_tcp_keepidle(stream, Duration::from_secs(60))?;
    rustix::net::sockopt::set_tcp_keepintvl(stream, Duration::from_secs(15))?;
    rustix::net::sockopt::set_tcp_keepcnt(stream, 4)?;
    Ok(())
}

/// One connection.
struct Session<'a> {
    id: LinkId,
    door: &'a Door,
    link: Link<TcpStream>,
    inbox: UnboundedReceiver<Vec<ToLink>>,
    /// What is left of the last that came from there.
    letters: std::vec::IntoIter<ToLink>,
    handle: LinkHandle,
    /// The sizes of unsettled messages, about: they are settled about in order.
    sizes: VecDeque<usize>,
    bytes: usize,
    /// The user that logged in, or tries to.
    user: Option<String>,
    /// The server stops: nothing is read any more.
    quiet: bool,
    /// So much waits for the socket that nothing more is sent.
    full: bool,
}

/// Why a session's loop has something to do.
enum Wake {
    /// Messages were read.
    Messages(Vec<Bytes>),
    /// The peer is done, or the connection broken.
    Gone(Option<Error>),
    /// The broker ends the connection.
    Close(Option<Quit>),
}

impl Session<'_> {
    async fn run(mut self) {
        loop {
            let wake = poll_fn(|cx| self.poll(cx)).await;
            match wake {
                Wake::Messages(messages) => {
                    if let Err(quit) = self.ask(messages).await {
                        // The broker answers what came before, and then closes.
                        let _ = self.door.events.send(Event::Invalid(self.id, quit));
                        self.quiet = true;
                    }
                }
                Wake::Gone(error) => {
                    let last = match error.as_ref().and_then(Error::quit_text) {
                        Some("message too large") => Some(Quit::MessageTooLarge),
                        Some(_) => Some(Quit::InvalidFrame),
                        None => None,
                    };
                    let wait = if last.is_some() { CLOSE } else { CLOSED_BY_PEER };
                    return Box::pin(self.link.close(last.as_ref().map(reply::quit), wait)).await;
                }
                Wake::Close(quit) => {
                    return Box::pin(self.link.close(quit.as_ref().map(reply::quit), CLOSE)).await;
                }
            }
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Wake> {
        if let Poll::Ready(wake) = self.poll_write(cx) {
            return Poll::Ready(wake);
        }
        let mut messages = Vec::new();
        while messages.len() < AT_ONCE && self.may_read() {
            match self.link.poll_message(cx) {
                Poll::Ready(Some(Ok(message))) => {
                    self.sizes.push_back(message.len());
                    self.bytes += message.len();
                    self.handle.unsettled.fetch_add(1, Ordering::Relaxed);
                    messages.push(message);
                }
                // What was read before is handled before.
                _ if !messages.is_empty() => break,
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Wake::Gone(Some(error))),
                Poll::Ready(None) => return Poll::Ready(Wake::Gone(None)),
                Poll::Pending => break,
            }
        }
        if messages.is_empty() { Poll::Pending } else { Poll::Ready(Wake::Messages(messages)) }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Wake> {
        // Then what was sent before may still wait for the socket, and is not sent once more.
        let clogged = self.link.queued() > 0;
        self.full = false;
        loop {
            match self.link.poll_ready(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Wake::Gone(Some(error))),
                Poll::Pending => {
                    self.full = true;
                    break;
                }
            }
            let letter = match self.letters.next() {
                Some(letter) => letter,
                None => match self.inbox.poll_recv(cx) {
                    Poll::Ready(Some(letters)) => {
                        self.letters = letters.into_iter();
                        continue;
                    }
                    Poll::Ready(None) => return Poll::Ready(Wake::Close(None)),
                    Poll::Pending => break,
                },
            };
            let sent = match letter {
                ToLink::Send(message) => self.link.start_send(message),
                ToLink::Deliver(delivery) if delivery.redelivered == 0 || !clogged => {
                    let (head, body) = delivery.parts();
                    self.link.start_send_parts(head, body)
                }
                ToLink::Deliver(_) | ToLink::Settled => Ok(()),
                ToLink::Mark(bytes) => {
                    let _ = self.door.events.send(Event::Written(self.id, bytes));
                    Ok(())
                }
                ToLink::Quiet => {
                    self.quiet = true;
                    Ok(())
                }
                ToLink::Close(quit) => return Poll::Ready(Wake::Close(quit)),
            };
            if let Err(error) = sent {
                return Poll::Ready(Wake::Gone(Some(error)));
            }
        }
        match self.link.poll_flush(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Wake::Gone(Some(error))),
            _ => Poll::Pending,
        }
    }

    /// May more be read now? If not, settling wakes this task, or the socket that takes more: a
    /// client that does not take its answers asks nothing more.
    fn may_read(&mut self) -> bool {
        if self.quiet || self.full {
            return false;
        }
        if self.has_room() {
            return true;
        }
        self.handle.parked.store(true, Ordering::Release);
        self.has_room()
    }

    fn has_room(&mut self) -> bool {
        let unsettled = self.handle.unsettled.load(Ordering::Acquire);
        while self.sizes.len() > unsettled {
            self.bytes -= self.sizes.pop_front().unwrap_or(0);
        }
        // One message may be larger than all are allowed to be.
        unsettled == 0 || unsettled < UNSETTLED && self.bytes < UNSETTLED_BYTES
    }

    /// Hands messages to the broker.
    async fn ask(&mut self, messages: Vec<Bytes>) -> Result<(), Quit> {
        let mut requests: Vec<Asked> = Vec::with_capacity(messages.len());
        let mut result = Ok(());
        for message in messages {
            let incoming = match Incoming::parse(&message) {
                Ok(incoming) => incoming,
                Err(quit) => {
                    result = Err(quit);
                    break;
                }
            };
            if !incoming.op.is_open_to_strangers() {
                requests.push(Asked::without_names(incoming));
                continue;
            }
            // What was read before it does not wait for it; and no timer runs meanwhile.
            let before = std::mem::take(&mut requests);
            let _ = self.door.events.send(Event::Requests(self.id, before));
            let _ = self.door.events.send(Event::Asking(self.id));
            let own = match incoming.op {
                Op::AddNode => self.user.clone(),
                _ => None,
            };
            if let Ok(Request::Login { user, .. }) = &incoming.request {
                self.user.get_or_insert_with(|| user.clone());
            }
            match Box::pin(self.door.hasher.ask(incoming, own.as_deref())).await {
                Ok(asked) => requests.push(asked),
                Err(error) => {
                    tracing::warn!("{error}");
                    result = Err(Quit::Storage);
                    break;
                }
            }
        }
        // If nobody listens any more, the server is going down anyway.
        let _ = self.door.events.send(Event::Requests(self.id, requests));
        result
    }
}
