//! One link: a stream, its framing, a read buffer and an outbox.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::protocol::frame::coding::Data;
use tokio_util::codec::Decoder;

use crate::outbox::Outbox;
use crate::raw::{self, RawCodec, RawFrame};
use crate::websocket::WebSocket;
use crate::{Error, Limits, handshake};

/// How the bytes of a link are cut into messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// The draft-04 stream of the original's clients.
    Raw,
    /// RFC 6455.
    WebSocket,
}

/// What a framing finds in the bytes read.
#[derive(Debug)]
pub(crate) enum Incoming {
    Message(Bytes),
    Close,
}

/// What we may still expect of the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    /// Messages.
    Open,
    /// It sent a close frame.
    Closed,
    /// It sent its FIN, without a close frame.
    Gone,
    /// Bytes that mean nothing to us.
    Unreadable,
    /// Nothing: the socket failed.
    Lost,
}

#[derive(Debug)]
pub(crate) enum Codec {
    Raw(RawCodec),
    WebSocket(Box<WebSocket>),
}

/// One link: whole messages in, whole messages out. It belongs to one task.
#[derive(Debug)]
pub struct Link<S> {
    pub(crate) stream: S,
    pub(crate) codec: Codec,
    pub(crate) out: Outbox,
    pub(crate) peer: Peer,
    read: BytesMut,
    read_buffer: usize,
    write_buffer: usize,
    /// Control frames of ours are in the outbox, which nobody else will flush.
    reply_due: bool,
    received: u64,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Link<S> {
    /// The server's side of a new connection: waits for the first byte and shakes hands if it opens
    /// an HTTP request.
    ///
    /// HTTP that is no WebSocket upgrade of `/` or `/mq` gets an HTTP error response, and is then
    /// an [`Error::Handshake`]. The caller sets the deadline: a peer may stay silent for ever.
    pub async fn accept(mut stream: S, limits: &Limits) -> Result<Self, Error> {
        let first = stream.read_u8().await?;
        Self::accept_begun(stream, first, limits).await
    }

    /// As [`accept`](Self::accept), of a stream whose first byte the caller has read: it may have
    /// waited for that in its own way.
    pub async fn accept_begun(mut stream: S, first: u8, limits: &Limits) -> Result<Self, Error> {
        let mut read = BytesMut::from(&[first][..]);
        let codec = if read[0] == b'G' {
            handshake::answer(&mut stream, &mut read, limits).await?;
            Codec::WebSocket(Box::new(WebSocket::new(Role::Server, limits)))
        } else {
            Codec::Raw(RawCodec::new(limits))
        };
        Ok(Self::new(stream, codec, read, limits))
    }

    /// The client's side of the draft-04 stream. Sends nothing: the server waits for the client.
    pub async fn connect_raw(stream: S, limits: &Limits) -> Result<Self, Error> {
        let codec = Codec::Raw(RawCodec::new(limits));
        Ok(Self::new(stream, codec, BytesMut::new(), limits))
    }

    /// The client's side of a WebSocket to `url` (`ws://host:port/mq`) over a connected stream. The
    /// stream is the caller's business, TLS included. The caller sets the deadline.
    pub async fn connect_ws(mut stream: S, url: &str, limits: &Limits) -> Result<Self, Error> {
        let read = handshake::ask(&mut stream, url, limits).await?;
        let codec = Codec::WebSocket(Box::new(WebSocket::new(Role::Client, limits)));
        Ok(Self::new(stream, codec, read, limits))
    }

    fn new(stream: S, codec: Codec, read: BytesMut, limits: &Limits) -> Self {
        Self {
            stream,
            codec,
            received: read.len() as u64,
            read,
            out: Outbox::default(),
            peer: Peer::Open,
            read_buffer: limits.read_buffer.max(16),
            write_buffer: limits.write_buffer,
            reply_due: false,
        }
    }

    /// Which framing the link speaks.
    pub fn framing(&self) -> Framing {
        match self.codec {
            Codec::Raw(_) => Framing::Raw,
            Codec::WebSocket(_) => Framing::WebSocket,
        }
    }

    /// The stream below, for its addresses and options.
    pub fn get_ref(&self) -> &S {
        &self.stream
    }

    /// Whether the peer sent a close frame, as opposed to a bare FIN.
    pub fn peer_closed(&self) -> bool {
        self.peer == Peer::Closed
    }

    /// Bytes received after the handshake, pongs included: if it has not grown since a
    /// [`ping`](Self::start_ping), the peer is silent.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Bytes handed to the socket after the handshake, frames and all: if it does not grow while
    /// something is [`queued`](Self::queued), the peer takes nothing.
    pub fn sent(&self) -> u64 {
        self.out.written()
    }

    /// Bytes queued and not yet handed to the socket.
    pub fn queued(&self) -> usize {
        self.out.len()
    }

    /// The next whole message. `None` when the peer is done, by its close frame or its FIN, and ever
    /// after an error: then call [`close`](Self::close).
    ///
    /// Answers pings by itself, also when nothing else is sent.
    pub fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        if self.peer != Peer::Open {
            return Poll::Ready(None);
        }
        let message = ready!(self.poll_incoming(cx));
        match &message {
            Ok(Some(Incoming::Message(_))) => {}
            Ok(Some(Incoming::Close)) => self.peer = Peer::Closed,
            Ok(None) => self.peer = Peer::Gone,
            Err(Error::Io(_)) => self.peer = Peer::Lost,
            Err(_) => self.peer = Peer::Unreadable,
        }
        if self.peer != Peer::Open {
            self.read = BytesMut::new();
        }
        Poll::Ready(match message {
            Ok(Some(Incoming::Message(message))) => Some(Ok(message)),
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        })
    }

    fn poll_incoming(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Incoming>, Error>> {
        loop {
            if let Some(incoming) = self.decode()? {
                return Poll::Ready(Ok(Some(incoming)));
            }
            if self.reply_due {
                // Pending is fine: the socket wakes us when it takes more.
                let _ = self.poll_flush(cx)?;
            }
            // A partial frame has been given its room by the decoder.
            if self.read.is_empty() {
                self.read.reserve(self.read_buffer);
            }
            let count = {
                // Holds nothing between polls.
                let read = pin!(self.stream.read_buf(&mut self.read));
                match read.poll(cx) {
                    Poll::Ready(count) => count?,
                    Poll::Pending => {
                        // Who is silent for long keeps no buffer.
                        if self.read.is_empty() {
                            self.read = BytesMut::new();
                        }
                        return Poll::Pending;
                    }
                }
            };
            if count == 0 {
                return Poll::Ready(Ok(None));
            }
            self.received += count as u64;
        }
    }

    fn decode(&mut self) -> Result<Option<Incoming>, Error> {
        match &mut self.codec {
            Codec::Raw(raw) => Ok(raw.decode(&mut self.read)?.map(|frame| match frame {
                RawFrame::Message(message) => Incoming::Message(message),
                RawFrame::Close => Incoming::Close,
            })),
            Codec::WebSocket(ws) => {
                let before = self.out.len();
                let incoming = ws.decode(&mut self.read, &mut self.out);
                self.reply_due |= self.out.len() > before;
                incoming
            }
        }
    }

    /// As [`poll_message`](Self::poll_message). Dropped, it loses nothing.
    pub async fn message(&mut self) -> Option<Result<Bytes, Error>> {
        poll_fn(|cx| self.poll_message(cx)).await
    }

    /// Waits while [`Limits::write_buffer`] bytes or more are queued, writing them meanwhile.
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let left = self.write_buffer.saturating_sub(1);
        Poll::Ready(Ok(ready!(self.out.poll_write(&mut self.stream, cx, left))?))
    }

    /// Queues a message; nothing is sent before a flush. Fails if the peer has closed the link.
    ///
    /// The limits do not bind it, and without [`poll_ready`](Self::poll_ready) nothing bounds the
    /// queue. Large messages are shared, not copied.
    pub fn start_send(&mut self, message: Bytes) -> Result<(), Error> {
        self.start_send_parts(message, Bytes::new())
    }

    /// As [`start_send`](Self::start_send), of a message in two parts.
    pub fn start_send_parts(&mut self, head: Bytes, body: Bytes) -> Result<(), Error> {
        if matches!(self.peer, Peer::Closed | Peer::Lost) {
            return Err(Error::peer_closed());
        }
        match &mut self.codec {
            Codec::Raw(_) => {
                self.out.put(&raw::header(head.len() + body.len())?);
                self.out.put_shared(head);
                self.out.put_shared(body);
                Ok(())
            }
            Codec::WebSocket(ws) => ws.encode(Data::Binary, head, body, &mut self.out),
        }
    }

    /// Queues a ping (RFC 6455 5.5.2) and says whether it did: the draft-04 stream has none that
    /// its clients understand.
    pub fn start_ping(&mut self) -> Result<bool, Error> {
        match &mut self.codec {
            Codec::WebSocket(ws) if self.peer == Peer::Open => {
                ws.ping(&mut self.out).map(|()| true)
            }
            _ => Ok(false),
        }
    }

    /// As [`start_send`](Self::start_send), but a text that came as one goes as one. Nothing in
    /// websocket.MQ cares which of the two a message is; the Autobahn tests of RFC 6455 do.
    #[doc(hidden)]
    pub fn start_echo(&mut self, message: Bytes) -> Result<(), Error> {
        match &mut self.codec {
            Codec::WebSocket(ws) if ws.was_text => {
                ws.encode(Data::Text, message, Bytes::new(), &mut self.out)
            }
            _ => self.start_send(message),
        }
    }

    /// Sends all that is queued, in as few writes as the socket allows.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        loop {
            ready!(self.out.poll_write(&mut self.stream, cx, 0))?;
            // A pong may have waited for the room.
            if let Codec::WebSocket(ws) = &mut self.codec {
                ws.pong(&mut self.out)?;
            }
            if self.out.len() == 0 {
                break;
            }
        }
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.reply_due = false;
        Poll::Ready(Ok(()))
    }

    /// Sends one message and waits until the socket has it. Dropped before that, the message may
    /// or may not be queued.
    pub async fn send(&mut self, message: Bytes) -> Result<(), Error> {
        poll_fn(|cx| self.poll_ready(cx)).await?;
        self.start_send(message)?;
        poll_fn(|cx| self.poll_flush(cx)).await
    }
}

#[cfg(test)]
mod fuzz;
