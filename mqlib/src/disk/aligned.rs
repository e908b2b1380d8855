//! Memory for direct I/O.

use super::BLOCK;

/// Bytes that start at an address aligned to [`BLOCK`], as direct I/O wants them.
#[derive(Debug, Default)]
pub struct AlignedBuf {
    bytes: Vec<u8>,
    start: usize,
    len: usize,
}

impl AlignedBuf {
    /// An empty buffer that owns no memory yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// So many zero bytes, which cost nothing before they are touched.
    pub fn zeroed(len: usize) -> Self {
        let mut buffer = Self::default();
        buffer.reserve(len);
        buffer.len = len;
        buffer
    }

    /// How many bytes it holds.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Does it hold none?
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Empties it; keeps the memory.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Sets the length; new bytes are zero.
    pub fn resize(&mut self, len: usize) {
        self.reserve(len);
        if len > self.len {
            self.bytes[self.start + self.len..self.start + len].fill(0);
        }
        self.len = len;
    }

    /// Appends bytes.
    pub fn extend(&mut self, data: &[u8]) {
        let end = self.len + data.len();
        self.reserve(end);
        self.bytes[self.start + self.len..self.start + end].copy_from_slice(data);
        self.len = end;
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[self.start..self.start + self.len]
    }

    /// The bytes, to change.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + self.len]
    }

    /// Makes room for so many bytes in all; new room is zero.
    fn reserve(&mut self, len: usize) {
        if self.start + len <= self.bytes.len() {
            return;
        }
        let mut bytes = vec![0; len.next_power_of_two().max(16 * BLOCK) + BLOCK];
        let start = bytes.as_ptr().align_offset(BLOCK);
        bytes[start..start + self.len].copy_from_slice(self.as_slice());
        (self.bytes, self.start) = (bytes, start);
    }
}

impl AsRef<[u8]> for AlignedBuf {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}
