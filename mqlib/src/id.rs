//! Message ids: 128 bits, ordered by time, strictly increasing whatever the clock does.
//!
//! The layout is UUIDv7 (RFC 9562 §5.7) with a counter in place of most of the random bits
//! (§6.2, method 1): 48 bits of milliseconds, version, 12 bits of counter, variant, 30 more bits of
//! counter, 32 bits that tell one store from another. The text is 32 lower-case hex digits, in
//! messages and in file names, so that names sort as ids do. A store hands its last id to the next
//! run, so ids increase across restarts and backward clocks too.

use std::fmt;
use std::str::FromStr;

/// A message's id, unique in its store and larger than every earlier one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(u128);

impl MessageId {
    /// The length of an id's text in bytes.
    pub const TEXT_LEN: usize = 32;
    /// Less than every id that a source gives.
    pub const ZERO: Self = Self(0);

    /// The id with this bit pattern, as [`to_bits`](Self::to_bits) gave it.
    pub const fn from_bits(bits: u128) -> Self {
        Self(bits)
    }

    /// The bit pattern, for storing; orders as the id does.
    pub const fn to_bits(self) -> u128 {
        self.0
    }

    /// When the id was made, by the server's clock, in milliseconds since 1970; never earlier than
    /// that of an earlier id.
    pub const fn millis(self) -> u64 {
        (self.0 >> 80) as u64
    }

    /// The text: 32 hex digits.
    pub fn text(self) -> [u8; Self::TEXT_LEN] {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; Self::TEXT_LEN];
        let bytes = self.0.to_be_bytes();
        for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
            pair[0] = HEX[usize::from(byte >> 4)];
            pair[1] = HEX[usize::from(byte & 15)];
        }
        text
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is no message id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a message id: 32 lower-case hex digits expected")]
pub struct NotAnId;

impl FromStr for MessageId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let digits = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if text.len() != Self::TEXT_LEN || !digits {
            return Err(NotAnId);
        }
        u128::from_str_radix(text, 16).map(Self).map_err(|_| NotAnId)
    }
}

const COUNTER_BITS: u32 = 42;

/// Makes ids; one for a store.
#[derive(Debug)]
pub struct IdSource {
    tag: u32,
    millis: u64,
    counter: u64,
}

impl IdSource {
    /// A source whose ids are all larger than `last`, the largest that the store ever saw. `tag`
    /// distinguishes this store's ids from another's.
    pub fn new(tag: u32, last: MessageId) -> Self {
        // The next id either has a later millisecond or a larger counter than `last`.
        let counter = ((last.0 >> 64) as u64 & 0xfff) << 30 | (last.0 >> 32) as u64 & 0x3fff_ffff;
        Self { tag, millis: last.millis(), counter }
    }

    /// The next id. `millis` is the wall clock; if it stands still or goes back, the counter goes
    /// on from the latest time seen.
    pub fn next(&mut self, millis: u64) -> MessageId {
        if millis > self.millis {
            self.millis = millis;
            self.counter = 0;
        } else {
            self.counter += 1;
            if self.counter >> COUNTER_BITS != 0 {
                self.millis += 1;
                self.counter = 0;
            }
        }
        self.last()
    }

    /// The latest that was given.
    pub fn last(&self) -> MessageId {
        let high = u128::from(self.millis & 0xffff_ffff_ffff) << 80
            | 7 << 76
            | u128::from(self.counter >> 30) << 64;
        let low = 0b10 << 62 | (self.counter & 0x3fff_ffff) << 32 | u64::from(self.tag);
        MessageId(high | u128::from(low))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_id_is_a_valid_uuid_of_version_7() {
        let id = IdSource::new(7, MessageId::ZERO).next(1_700_000_000_000);
        let text = id.to_string();
        assert_eq!(&text[12..13], "7");
        assert!(matches!(&text[16..17], "8" | "9" | "a" | "b"));
        assert_eq!(id.millis(), 1_700_000_000_000);
        assert_eq!(text.as_bytes(), id.text());
    }

    #[test]
    fn a_text_that_is_no_id_is_refused() {
        for text in
            ["", "0", "x".repeat(32).as_str(), "A".repeat(32).as_str(), "+1".repeat(16).as_str()]
        {
            assert_eq!(text.parse::<MessageId>(), Err(NotAnId));
        }
    }

    proptest! {
        #[test]
        fn ids_increase_whatever_the_clock_does_and_across_restarts(
            clock in prop::collection::vec((0u64..1 << 48, any::<bool>()), 1..200)
        ) {
            let mut source = IdSource::new(1, MessageId::ZERO);
            let mut last = MessageId::ZERO;
            for (millis, restart) in clock {
                if restart {
                    source = IdSource::new(1, last);
                }
                let id = source.next(millis);
                prop_assert!(id > last);
                prop_assert_eq!(id.to_string().parse(), Ok(id));
                last = id;
            }
        }
    }
}
