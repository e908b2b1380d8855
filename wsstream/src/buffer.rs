//! The read buffer: how it grows towards a frame, and how it lets go of one.
//!
//! A length field costs the sender nothing, so the buffer at most doubles what has arrived. A buffer
//! that held a large frame is not kept: `BytesMut` would pin all of it for the few bytes that follow.

use bytes::{Buf, Bytes, BytesMut};

/// The first growth beyond the idle size, in bytes.
const STEP: usize = 64 << 10;

/// Makes room to read on towards a frame of `total` bytes, whose beginning `buffer` holds. `idle` is
/// the size of a buffer between frames.
pub(crate) fn grow(buffer: &mut BytesMut, total: usize, idle: usize) {
    let (enough, wanted) = if total <= idle {
        // Room for the frames behind this one too: fewer reads.
        (total.max(idle / 2), idle)
    } else {
        let step = total.min(STEP.max(buffer.len() * 2));
        (step, step)
    };
    // Full is too small, whatever the sum says: a read into no room looks like the end.
    if buffer.capacity() < enough || buffer.len() == buffer.capacity() {
        renew(buffer, wanted.max(buffer.len() + 1));
    }
}

/// Takes a payload of `len` bytes behind a header of `header` bytes off the front. A small one is
/// copied, so that a message that waits long pins its own bytes only, and the buffer stays ours.
pub(crate) fn take(buffer: &mut BytesMut, header: usize, len: usize, idle: usize) -> Bytes {
    if len <= idle {
        let payload = Bytes::copy_from_slice(&buffer[header..header + len]);
        skip(buffer, header + len, idle);
        return payload;
    }
    let mut payload = buffer.split_to(header + len);
    payload.advance(header);
    renew(buffer, 0);
    payload.freeze()
}

/// Drops `count` bytes off the front, and with them the memory of a large frame.
pub(crate) fn skip(buffer: &mut BytesMut, count: usize, idle: usize) {
    buffer.advance(count);
    if count > idle {
        renew(buffer, 0);
    }
}

/// Moves what is left to memory of its own.
fn renew(buffer: &mut BytesMut, capacity: usize) {
    let mut fresh = BytesMut::with_capacity(capacity.max(buffer.len()));
    fresh.extend_from_slice(buffer);
    *buffer = fresh;
}
