//! What the first bytes of a message's data say: who posted it, as which, and when.

/// The length of a stamp in bytes: the smallest message.
pub(crate) const LEN: usize = 16;

/// A post's mark, which comes back with the delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// When it was sent, or was due to be, by the run's clock.
    pub(crate) sent: u64,
    /// The poster, counted from 0.
    pub(crate) poster: u32,
    /// Increases from post to post of a poster.
    pub(crate) number: u32,
}

impl Stamp {
    /// The bytes.
    pub(crate) fn to_bytes(self) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        bytes[..8].copy_from_slice(&self.sent.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.poster.to_le_bytes());
        bytes[12..].copy_from_slice(&self.number.to_le_bytes());
        bytes
    }

    /// The stamp at the start of a message's data.
    pub(crate) fn read(data: &[u8]) -> Option<Self> {
        let (sent, rest) = data.split_first_chunk()?;
        let (poster, rest) = rest.split_first_chunk()?;
        let (number, _) = rest.split_first_chunk()?;
        Some(Self {
            sent: u64::from_le_bytes(*sent),
            poster: u32::from_le_bytes(*poster),
            number: u32::from_le_bytes(*number),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_written_and_read_again() {
        let stamp = Stamp { sent: 1 << 40, poster: 7, number: 3_000_000_000 };
        let mut data = stamp.to_bytes().to_vec();
        data.extend_from_slice(b"rest");
        assert_eq!(Stamp::read(&data), Some(stamp));
        assert_eq!(Stamp::read(&data[..LEN - 1]), None);
    }
}
