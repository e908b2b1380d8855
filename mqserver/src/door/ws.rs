//! The life of a link: what its task does once it has shaken hands.
//!
//! The task reads messages, parses them and hashes node names, all in parallel to other links,
//! and hands requests to the broker in their order. It stops reading while too many are unsettled
//! or too much waits to be sent, so a client that does not listen costs no more than it is allowed.
//! What the broker sends is written in one go for all that is there.

use super::census::Seat;
use super::entrance::Door;
use super::ledger::DoorLimit;
use super::pulse::Pulse;
use crate::engine::Event;
use crate::post_office::{LinkHandle, ToLink};
use bytes::Bytes;
use mqlib::broker::{Asked, LinkId};
use mqlib::quit::Quit;
use mqlib::reply;
use mqlib::request::{Incoming, Op, Request};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use std::time::Instant;
use tokio::sync::mpsc::{self, UnboundedReceiver};
use wsstream::{Error, Link, Stream};

/// How long we wait for the peer's FIN when we close.
pub(super) const CLOSE: Duration = Duration::from_secs(2);
/// How long we wait for it when the peer has begun to close.
const CLOSED_BY_PEER: Duration = Duration::from_secs(10);
/// Requests of a link that may be unsettled before it is read no further.
const UNSETTLED: usize = 256;
/// The same, in bytes of messages.
const UNSETTLED_BYTES: usize = 1 << 20;
/// Requests handed to the broker at once.
const AT_ONCE: usize = 64;

/// The life of a link, from its handshake to its end.
pub(super) async fn live(
    door: &Door,
    link: Link<Stream>,
    peer: IpAddr,
    connected: Instant,
    seat: Seat,
) {
    let id = LinkId(door.next.fetch_add(1, Ordering::Relaxed));
    let (mail, inbox) = mpsc::unbounded_channel();
    let handle = LinkHandle {
        mail,
        unsettled: Arc::new(AtomicUsize::new(0)),
        parked: Arc::new(AtomicBool::new(false)),
    };
    let session = Session {
        id,
        door,
        pulse: Pulse::of(&link, door.live.current().door.ping),
        link,
        peer,
        inbox,
        letters: Vec::new().into_iter(),
        handle: handle.clone(),
        sizes: VecDeque::new(),
        bytes: 0,
        user: None,
        quiet: false,
        broken: None,
        full: false,
        marks: VecDeque::new(),
        _seat: seat,
    };
    if door.events.send(Event::Opened(id, handle, connected)).is_ok() {
        session.run().await;
        // If nobody listens any more, the server is going down anyway.
        let _ = door.events.send(Event::Closed(id));
    }
}

/// One connection.
struct Session<'a> {
    id: LinkId,
    door: &'a Door,
    link: Link<Stream>,
    peer: IpAddr,
    /// On a WebSocket.
    pulse: Option<Pulse>,
    inbox: UnboundedReceiver<Vec<ToLink>>,
    /// What is left of the last that came from there.
    letters: std::vec::IntoIter<ToLink>,
    handle: LinkHandle,
    /// The sizes of unsettled messages, about: they are settled about in order.
    sizes: VecDeque<usize>,
    bytes: usize,
    /// The user that logged in, or tries to.
    user: Option<String>,
    /// The server stops, or the peer is refused: nothing is read any more.
    quiet: bool,
    /// Why the link cannot be read on, while what was read before is handed on.
    broken: Option<Error>,
    /// So much waits for the socket that nothing more is sent.
    full: bool,
    /// Marks that the socket has not passed: where in all that is sent, and the bytes of each.
    marks: VecDeque<(u64, usize)>,
    _seat: Seat,
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
                        self.refuse(quit);
                    }
                }
                Wake::Gone(error) => match error.as_ref().and_then(Error::quit_text) {
                    Some("message too large") => self.refuse(Quit::MessageTooLarge),
                    Some(_) => self.refuse(Quit::InvalidFrame),
                    None => return Box::pin(self.link.close(None, CLOSED_BY_PEER)).await,
                },
                Wake::Close(quit) => {
                    return Box::pin(self.link.close(quit.as_ref().map(reply::quit), CLOSE)).await;
                }
            }
        }
    }

    /// Has the broker answer what came before, and then close.
    fn refuse(&mut self, quit: Quit) {
        let _ = self.door.events.send(Event::Invalid(self.id, quit));
        self.quiet = true;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Wake> {
        if let Poll::Ready(wake) = self.poll_write(cx) {
            return Poll::Ready(wake);
        }
        let mut messages = Vec::new();
        while messages.len() < AT_ONCE && self.may_read() {
            let read = match self.broken.take() {
                Some(error) => Poll::Ready(Some(Err(error))),
                None => self.link.poll_message(cx),
            };
            match read {
                Poll::Ready(Some(Ok(message))) => {
                    self.sizes.push_back(message.len());
                    self.bytes += message.len();
                    self.handle.unsettled.fetch_add(1, Ordering::Relaxed);
                    messages.push(message);
                }
                // What was read before is handled before; and the link tells its error once.
                Poll::Ready(Some(Err(error))) if !messages.is_empty() => {
                    self.broken = Some(error);
                    break;
                }
                _ if !messages.is_empty() => break,
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Wake::Gone(Some(error))),
                Poll::Ready(None) => return Poll::Ready(Wake::Gone(None)),
                Poll::Pending => break,
            }
        }
        if !messages.is_empty() {
            return Poll::Ready(Wake::Messages(messages));
        }
        let is_read = self.has_room();
        let dead = match &mut self.pulse {
            Some(pulse) => ready!(pulse.poll_dead(cx, &mut self.link, is_read)),
            None => return Poll::Pending,
        };
        Poll::Ready(match dead {
            Ok(()) => {
                self.door.ledger.meet(DoorLimit::Ping);
                tracing::debug!(link = self.id.0, "the peer is silent");
                Wake::Close(None)
            }
            Err(error) => Wake::Gone(Some(error)),
        })
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
                    let at = self.link.sent() + self.link.queued() as u64;
                    self.marks.push_back((at, bytes));
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
        let flushed = self.link.poll_flush(cx);
        self.tell_written();
        match flushed {
            Poll::Ready(Err(error)) => Poll::Ready(Wake::Gone(Some(error))),
            _ => Poll::Pending,
        }
    }

    /// Tells of the marks that the socket has passed.
    fn tell_written(&mut self) {
        let mut written = 0;
        while let Some((_, bytes)) = self.marks.pop_front_if(|(at, _)| *at <= self.link.sent()) {
            written += bytes;
        }
        if written > 0 {
            let _ = self.door.events.send(Event::Written(self.id, written));
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
        let read = Instant::now();
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
            let _ = self.door.events.send(Event::Requests(self.id, before, read));
            let _ = self.door.events.send(Event::Asking(self.id));
            let own = match incoming.op {
                Op::AddNode => self.user.clone(),
                _ => None,
            };
            if let Ok(Request::Login { user, .. }) = &incoming.request {
                self.user.get_or_insert_with(|| user.clone());
            }
            match Box::pin(self.door.hasher.ask(incoming, self.peer, own.as_deref())).await {
                Ok(asked) => requests.push(asked),
                Err(error) => {
                    tracing::warn!(%error, "a node's name cannot be hashed");
                    result = Err(Quit::Storage);
                    break;
                }
            }
        }
        // If nobody listens any more, the server is going down anyway.
        let _ = self.door.events.send(Event::Requests(self.id, requests, read));
        result
    }
}
