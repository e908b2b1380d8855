//! RFC 6455 after the handshake: tungstenite, one whole frame at a time.
//!
//! tungstenite does the protocol: masks, fragments, control frames, UTF-8. It does not do our
//! sockets, because it reserves an announced length at once and keeps the memory of the largest
//! message for the life of the link. So the link collects a frame under its own rules (`buffer`),
//! hands it over when it is whole, and replaces the state machine after a large message.
//!
//! Two kinds of frames do not pass through it. What a server sends: without a mask a frame is a header
//! and the payload, which the outbox can share. And the frame that nearly all messages from clients
//! come in, binary and whole: it only has to be unmasked.

use std::io::{self, Cursor, Read, Write};

use bytes::{Bytes, BytesMut};
use tokio_tungstenite::tungstenite::error::{Error as WsError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{Frame, FrameHeader, Utf8Bytes};
use tokio_tungstenite::tungstenite::protocol::{
    CloseFrame, Message, Role, WebSocketConfig, WebSocketContext,
};

use crate::link::Incoming;
use crate::outbox::Outbox;
use crate::{Error, Limits, buffer};

/// The longest header, in bytes.
const MAX_HEADER: usize = 14;
/// tungstenite's own buffer: it holds one frame at a time, and grows for it. Bytes.
const INNER_BUFFER: usize = 64;
/// A context that saw a frame beyond this is replaced. Bytes.
const LARGE: usize = 16 << 10;
/// Pongs wait while more than this is queued: of several only the last is sent, as RFC 6455 5.5.3
/// allows, so a peer that pings and never reads costs nothing. Bytes.
const PONG_ROOM: usize = 64 << 10;

/// The state of one WebSocket.
#[derive(Debug)]
pub(crate) struct WebSocket {
    context: WebSocketContext,
    role: Role,
    max_message: usize,
    read_buffer: usize,
    /// Payload bytes of the fragments so far, if a message has begun.
    fragments: Option<usize>,
    saw_large: bool,
    pong_due: bool,
    /// The last message came as text.
    pub(crate) was_text: bool,
    /// The last one did, and was none.
    not_utf8: bool,
    /// What the close frame will say.
    code: CloseCode,
}

impl WebSocket {
    pub(crate) fn new(role: Role, limits: &Limits) -> Self {
        Self {
            context: context(role, limits.max_message),
            role,
            max_message: limits.max_message,
            read_buffer: limits.read_buffer.max(MAX_HEADER),
            fragments: None,
            saw_large: false,
            pong_due: false,
            was_text: false,
            not_utf8: false,
            code: CloseCode::Normal,
        }
    }

    /// The next message in `read`, or none until more has been read. Replies go to `out`.
    pub(crate) fn decode(
        &mut self,
        read: &mut BytesMut,
        out: &mut Outbox,
    ) -> Result<Option<Incoming>, Error> {
        let decoded = self.next(read, out);
        if let Err(error) = &decoded {
            self.code = match error {
                Error::MessageTooLarge { .. } => CloseCode::Size,
                _ if self.not_utf8 => CloseCode::Invalid,
                _ => CloseCode::Protocol,
            };
        }
        decoded
    }

    fn next(&mut self, read: &mut BytesMut, out: &mut Outbox) -> Result<Option<Incoming>, Error> {
        loop {
            self.pong(out)?;
            let Some((header, total, len)) = self.frame(read)? else { return Ok(None) };
            if let Some(mask) = self.is_plain(&header) {
                let payload = buffer::take(read, total - len, len, self.read_buffer);
                self.was_text = false;
                return Ok(Some(Incoming::Message(unmasked(payload, mask))));
            }
            if matches!(header.opcode, OpCode::Data(_)) {
                self.fragments = Some(self.fragments.unwrap_or(0) + len);
            }
            self.saw_large |= total > LARGE;
            let mut wire = Wire { input: &read[..total], out: &mut *out, room: PONG_ROOM };
            let message = self.context.read(&mut wire);
            buffer::skip(read, total, self.read_buffer);
            self.was_text = matches!(message, Ok(Message::Text(_)));
            let payload = match message {
                Ok(Message::Binary(payload)) => payload,
                Ok(Message::Text(text)) => text.into(),
                Ok(Message::Ping(_)) => {
                    self.pong_due = true;
                    continue;
                }
                Ok(Message::Close(_)) => {
                    // No pong after a close frame (RFC 6455 5.5.2); the answer waits for `close`.
                    self.pong_due = false;
                    return Ok(Some(Incoming::Close));
                }
                Ok(Message::Pong(_) | Message::Frame(_)) => continue,
                Err(WsError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) => {
                    // RFC 6455 8.1 and 7.4.1: 1007.
                    self.not_utf8 = matches!(error, WsError::Utf8(_));
                    return Err(error.into());
                }
            };
            self.fragments = None;
            return Ok(Some(Incoming::Message(self.let_go(payload))));
        }
    }

    /// The mask of a frame from a client that is a whole binary message.
    fn is_plain(&self, header: &FrameHeader) -> Option<[u8; 4]> {
        let whole = header.is_final && self.fragments.is_none() && self.role == Role::Server;
        let reserved = header.rsv1 || header.rsv2 || header.rsv3;
        let binary = header.opcode == OpCode::Data(Data::Binary);
        header.mask.filter(|_| whole && binary && !reserved)
    }

    /// The frame at the front, once it is whole: its header, its length, and that of its payload.
    fn frame(&self, read: &mut BytesMut) -> Result<Option<(FrameHeader, usize, usize)>, Error> {
        let mut cursor = Cursor::new(&read[..]);
        let Some((header, len)) = FrameHeader::parse(&mut cursor)? else {
            buffer::grow(read, MAX_HEADER, self.read_buffer);
            return Ok(None);
        };
        let data = matches!(header.opcode, OpCode::Data(_));
        if !data && len > 125 {
            return Err(WsError::Protocol(ProtocolError::ControlFrameTooBig).into());
        }
        let before = self.fragments.unwrap_or(0) as u64;
        let size = if data { len.saturating_add(before) } else { len };
        if size > self.max_message as u64 && data {
            return Err(Error::MessageTooLarge { size, limit: self.max_message });
        }
        let total = cursor.position() as usize + len as usize;
        if read.len() < total {
            buffer::grow(read, total, self.read_buffer);
            return Ok(None);
        }
        Ok(Some((header, total, len as usize)))
    }

    /// A message free of tungstenite's memory, and tungstenite free of the message's.
    fn let_go(&mut self, payload: Bytes) -> Bytes {
        // Between messages a context holds nothing but a pong that waits.
        if self.saw_large && !self.pong_due && self.context.can_write() {
            self.context = context(self.role, self.max_message);
            self.saw_large = false;
        }
        if payload.len() <= self.read_buffer { Bytes::copy_from_slice(&payload) } else { payload }
    }

    /// Queues the pong that is due, if there is room.
    pub(crate) fn pong(&mut self, out: &mut Outbox) -> Result<(), Error> {
        if self.pong_due {
            match self.context.flush(&mut Wire { input: &[], out, room: PONG_ROOM }) {
                Ok(()) => self.pong_due = false,
                Err(WsError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Queues a message, given in two parts.
    pub(crate) fn encode(
        &mut self,
        kind: Data,
        head: Bytes,
        body: Bytes,
        out: &mut Outbox,
    ) -> Result<(), Error> {
        let len = head.len() + body.len();
        if self.role == Role::Client {
            self.saw_large |= len > LARGE;
            let payload = if body.is_empty() { head } else { [head, body].concat().into() };
            let frame = Frame::message(payload, OpCode::Data(kind), true);
            return self.write(Message::Frame(frame), out);
        }
        let header = FrameHeader { opcode: OpCode::Data(kind), ..FrameHeader::default() };
        let mut bytes = Vec::with_capacity(MAX_HEADER);
        header.format(len as u64, &mut bytes)?;
        out.put(&bytes);
        out.put_shared(head);
        out.put_shared(body);
        Ok(())
    }

    /// Queues an empty ping.
    pub(crate) fn ping(&mut self, out: &mut Outbox) -> Result<(), Error> {
        self.settle(out);
        self.write(Message::Ping(Bytes::new()), out)
    }

    /// Queues a close frame, or the answer to the peer's.
    pub(crate) fn close(&mut self, out: &mut Outbox) {
        self.settle(out);
        let mut wire = Wire { input: &[], out, room: usize::MAX };
        let frame = CloseFrame { code: self.code, reason: Utf8Bytes::default() };
        // Its errors say that the handshake is complete.
        let _ = self.context.close(&mut wire, Some(frame));
    }

    /// Queues what waits for room: the context takes nothing more while it is full of pongs.
    fn settle(&mut self, out: &mut Outbox) {
        let _ = self.context.flush(&mut Wire { input: &[], out, room: usize::MAX });
        self.pong_due = false;
    }

    fn write(&mut self, message: Message, out: &mut Outbox) -> Result<(), Error> {
        let mut wire = Wire { input: &[], out, room: usize::MAX };
        Ok(self.context.write(&mut wire, message)?)
    }
}

/// A payload without its mask (RFC 6455 5.3).
fn unmasked(payload: Bytes, mask: [u8; 4]) -> Bytes {
    let mut payload = BytesMut::from(payload);
    let [a, b, c, d] = mask;
    let word = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = payload.as_chunks_mut();
    for bytes in words {
        *bytes = (u64::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip([a, b, c, d, a, b, c]) {
        *byte ^= mask;
    }
    payload.freeze()
}

fn context(role: Role, max_message: usize) -> WebSocketContext {
    let config = WebSocketConfig::default()
        .read_buffer_size(INNER_BUFFER)
        .write_buffer_size(0)
        // A server's context writes control frames only: enough for the few that wait.
        .max_write_buffer_size(if role == Role::Server { 1 << 10 } else { usize::MAX })
        .max_message_size(Some(max_message))
        .max_frame_size(Some(max_message.max(125)));
    WebSocketContext::new(role, Some(config))
}

/// The "socket" tungstenite sees: one frame to read, the outbox to write.
struct Wire<'a> {
    input: &'a [u8],
    out: &'a mut Outbox,
    /// Writes wait while this much is queued.
    room: usize,
}

impl Read for Wire<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.input.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.input.read(buf)
    }
}

impl Write for Wire<'_> {
    /// All or nothing, so that a frame is never split by another.
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if self.out.len() > self.room {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.out.put(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Messages, replies, and the error or close that ended them.
    fn decode(chunks: &[&[u8]]) -> (Vec<Bytes>, usize, Option<String>) {
        let limits = Limits { max_message: 300, ..Limits::default() };
        let mut ws = WebSocket::new(Role::Server, &limits);
        let (mut read, mut out, mut messages) = (BytesMut::new(), Outbox::default(), Vec::new());
        for chunk in chunks {
            read.extend_from_slice(chunk);
            loop {
                match ws.decode(&mut read, &mut out) {
                    Ok(Some(Incoming::Message(message))) => messages.push(message),
                    Ok(Some(Incoming::Close)) => {
                        return (messages, out.len(), Some("close".into()));
                    }
                    Ok(None) => break,
                    Err(error) => return (messages, out.len(), Some(error.to_string())),
                }
            }
        }
        (messages, out.len(), None)
    }

    /// Frames that are mostly well formed.
    fn frame() -> impl Strategy<Value = Vec<u8>> {
        let first = prop_oneof![
            4 => Just(0x82u8), 1 => Just(0x81), 1 => Just(0x02), 1 => Just(0x00), 2 => Just(0x80),
            2 => Just(0x89), 1 => Just(0x8a), 1 => Just(0x88), 1 => any::<u8>(),
        ];
        let payload = prop::collection::vec(0u8..128, 0..126);
        (first, any::<[u8; 4]>(), payload).prop_map(|(first, mask, payload)| {
            let mut bytes = vec![first, 0x80 | payload.len() as u8];
            bytes.extend_from_slice(&mask);
            bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
            bytes
        })
    }

    proptest! {
        #[test]
        fn frames_mean_the_same_whatever_the_chunks(
            frames in prop::collection::vec(frame(), 0..8),
            noise in prop::collection::vec(any::<u8>(), 0..30),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        ) {
            let bytes = [frames.concat(), noise].concat();
            let mut at: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            at.extend([0, bytes.len()]);
            at.sort_unstable();
            let chunks: Vec<_> = at.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            prop_assert_eq!(decode(&chunks), decode(&[&bytes]));
        }
    }

    #[test]
    fn an_announced_message_that_never_comes_costs_little_memory() {
        let mut ws = WebSocket::new(Role::Server, &Limits::default());
        let header = [0x82, 0xff, 0, 0, 0, 0, 0x01, 0, 0, 0, 0, 0, 0, 0];
        let mut read = BytesMut::from(&header[..]);
        assert!(ws.decode(&mut read, &mut Outbox::default()).unwrap().is_none());
        assert!(read.capacity() <= 64 << 10, "{}", read.capacity());
    }

    #[test]
    fn a_large_message_leaves_no_large_buffer_behind() {
        let mut ws = WebSocket::new(Role::Server, &Limits::default());
        let mut read = BytesMut::from(&[0x82, 0xff, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0][..]);
        read.extend_from_slice(&vec![7; 1 << 20]);
        read.extend_from_slice(&[0x82]);
        let incoming = ws.decode(&mut read, &mut Outbox::default()).unwrap();
        let Some(Incoming::Message(message)) = incoming else { panic!() };
        assert_eq!(message.len(), 1 << 20);
        // Nobody else holds the message's memory, and little else is held.
        assert!(message.is_unique());
        assert_eq!(read.capacity(), 1);
    }
}
