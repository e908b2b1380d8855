//! The draft-04 stream: the framing of the original's clients, over TCP without a handshake.
//!
//! Byte 0 is FIN and the opcode, byte 1 a 7-bit length, or 126 and 127 for a 16- and a 64-bit one.
//! The original is lax and so is the decoder: FIN, reserved bits and the mask bit are ignored, every
//! opcode but close is a message, and only the low word of a 64-bit length counts (the original
//! writes it twice). The encoder is strict: an original client takes any opcode but close, a ping
//! too, for a message.

use bytes::{BufMut, Bytes, BytesMut};
use tokio_util::codec::{Decoder, Encoder};

use crate::{Error, Limits, buffer};

/// The only frames ever sent: binary, and close.
const DATA: u8 = 0x85;
const CLOSE: [u8; 2] = [0x81, 0x00];
const CLOSE_OPCODE: u8 = 1;

/// The longest header, in bytes.
const MAX_HEADER: usize = 10;

/// What one frame of the draft-04 stream means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RawFrame {
    /// A message, empty if the peer sent an empty data frame.
    Message(Bytes),
    /// The peer closes. Whatever follows it is not read.
    Close,
}

/// Decoder and encoder of the draft-04 stream.
#[derive(Debug)]
pub struct RawCodec {
    max_message: usize,
    read_buffer: usize,
    closed: bool,
}

impl RawCodec {
    /// A codec at the start of a stream.
    pub fn new(limits: &Limits) -> Self {
        Self {
            max_message: limits.max_message,
            read_buffer: limits.read_buffer.max(MAX_HEADER),
            closed: false,
        }
    }
}

impl Decoder for RawCodec {
    type Item = RawFrame;
    type Error = Error;

    fn decode(&mut self, src: &mut BytesMut) -> Result<Option<RawFrame>, Error> {
        if self.closed {
            src.clear();
            return Ok(None);
        }
        if src.first().is_some_and(|first| first & 0x0f == CLOSE_OPCODE) {
            self.closed = true;
            *src = BytesMut::new();
            return Ok(Some(RawFrame::Close));
        }
        let Some((header, len)) = lengths(src) else {
            buffer::grow(src, MAX_HEADER, self.read_buffer);
            return Ok(None);
        };
        let size = u64::from(len);
        let len = len as usize;
        if len > self.max_message {
            return Err(Error::MessageTooLarge { size, limit: self.max_message });
        }
        if src.len() < header + len {
            buffer::grow(src, header + len, self.read_buffer);
            return Ok(None);
        }
        Ok(Some(RawFrame::Message(buffer::take(src, header, len, self.read_buffer))))
    }

    /// An end inside a frame is an end, not an error.
    fn decode_eof(&mut self, src: &mut BytesMut) -> Result<Option<RawFrame>, Error> {
        let frame = self.decode(src)?;
        if frame.is_none() {
            src.clear();
        }
        Ok(frame)
    }
}

/// Length of the header and of the payload, once the header is complete.
fn lengths(src: &[u8]) -> Option<(usize, u32)> {
    match src.get(1)? & 0x7f {
        126 => Some((4, u16::from_be_bytes(src.get(2..4)?.try_into().ok()?).into())),
        127 => {
            let both: [u8; 8] = src.get(2..10)?.try_into().ok()?;
            Some((10, u64::from_be_bytes(both) as u32))
        }
        short => Some((2, short.into())),
    }
}

impl Encoder<RawFrame> for RawCodec {
    type Error = Error;

    fn encode(&mut self, frame: RawFrame, dst: &mut BytesMut) -> Result<(), Error> {
        match frame {
            RawFrame::Message(payload) => {
                let header = header(payload.len())?;
                dst.reserve(header.len() + payload.len());
                dst.put_slice(&header);
                dst.put_slice(&payload);
            }
            RawFrame::Close => dst.put_slice(&CLOSE),
        }
        Ok(())
    }
}

/// The header of a message of `len` bytes; an error beyond the 32 bits of the format.
pub(crate) fn header(len: usize) -> Result<Vec<u8>, Error> {
    let Ok(long) = u32::try_from(len) else {
        return Err(Error::MessageTooLarge { size: len as u64, limit: u32::MAX as usize });
    };
    let mut header = Vec::with_capacity(MAX_HEADER);
    header.push(DATA);
    match long {
        0..126 => header.push(long as u8),
        126..0x1_0000 => {
            header.push(126);
            header.put_u16(long as u16);
        }
        _ => {
            header.push(127);
            header.put_u64(long.into());
        }
    }
    Ok(header)
}

/// The close frame.
pub(crate) fn close() -> &'static [u8] {
    &CLOSE
}
