//! A message's outer form: `LLLL`, a JSON header of that many bytes, and the body.
//!
//! `LLLL` is the header's length as 1–4 hex digits, padded with spaces to four characters. The body
//! is an optional `etc`, a second JSON value whose length the header's field `etc` gives, and then
//! data, any bytes. We write lower case padded on the right; we read what the original's `parseInt`
//! read: leading spaces, a sign, `0x`, and junk behind the digits.

use crate::json;
use crate::quit::Quit;
use bytes::Bytes;
use serde::Serialize;

const LENGTH: usize = 4;

/// The longest JSON header in bytes: what four hex digits can say.
pub const MAX_HEADER: usize = 0xffff;

/// Cuts a message into its JSON header, not yet parsed, and its body.
pub fn split(message: &Bytes) -> Result<(&[u8], Bytes), Quit> {
    let digits = message.get(..LENGTH).ok_or(Quit::InvalidLength)?;
    let length = parse_length(digits).ok_or(Quit::InvalidLength)?;
    let end = LENGTH + length;
    let header = message.get(LENGTH..end).ok_or(Quit::InvalidLength)?;
    Ok((header, message.slice(end..)))
}

fn parse_length(digits: &[u8]) -> Option<usize> {
    let text = digits.trim_ascii_start();
    let text = text.strip_prefix(b"+").unwrap_or(text);
    let text = text.strip_prefix(b"0x").or_else(|| text.strip_prefix(b"0X")).unwrap_or(text);
    let mut length = None;
    for &byte in text {
        let Some(digit) = (byte as char).to_digit(16) else { break };
        length = Some(length.unwrap_or(0) * 16 + digit as usize);
    }
    length
}

/// A whole message: `header` as ASCII JSON behind its length, then the parts of the body.
///
/// A header that would be longer than [`MAX_HEADER`] gives `None`.
pub fn message<T: Serialize>(header: &T, body: &[&[u8]]) -> Option<Bytes> {
    let body_len: usize = body.iter().map(|part| part.len()).sum();
    let mut out = Vec::with_capacity(LENGTH + 192 + body_len);
    out.extend_from_slice(b"    ");
    json::write(&mut out, header);
    finish(out, body)
}

/// Begins a message whose header is written by hand, in `capacity` bytes with its body.
pub(crate) fn begin(capacity: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(LENGTH + capacity);
    out.extend_from_slice(b"    ");
    out
}

/// Ends it with its body; `None` as above.
pub(crate) fn finish(mut message: Vec<u8>, body: &[&[u8]]) -> Option<Bytes> {
    write_length(&mut message)?;
    for part in body {
        message.extend_from_slice(part);
    }
    Some(message.into())
}

/// A header whose JSON is made of two parts, behind its length; `None` as above.
pub(crate) fn framed(first: &[u8], second: &[u8]) -> Option<Bytes> {
    let mut out = [b"    ", first, second].concat();
    write_length(&mut out)?;
    Some(out.into())
}

/// Fills in the length of the header that `message` is so far.
fn write_length(message: &mut [u8]) -> Option<()> {
    let length = message.len() - LENGTH;
    if length > MAX_HEADER {
        return None;
    }
    let digits = 4 - (length as u16).leading_zeros() as usize / 4;
    for (place, digit) in message[..digits.max(1)].iter_mut().rev().enumerate() {
        *digit = b"0123456789abcdef"[length >> (4 * place) & 15];
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn length(text: &str) -> Option<usize> {
        parse_length(text.as_bytes())
    }

    #[test]
    fn a_length_is_read_as_the_original_read_it() {
        for (text, value) in [
            ("3d  ", 0x3d),
            ("  3D", 0x3d),
            ("003d", 0x3d),
            ("0x3d", 0x3d),
            ("3dzz", 0x3d),
            ("+3d ", 0x3d),
            ("0   ", 0),
            ("ffff", 0xffff),
        ] {
            assert_eq!(length(text), Some(value), "{text:?}");
        }
        for text in ["zzzz", "    ", "-1  ", "0x  ", "g3d "] {
            assert_eq!(length(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_message_is_written_and_split_again() {
        let written = message(&"é", &[b"ab", b"c"]).unwrap();
        assert_eq!(&written[..], b"8   \"\\u00e9\"abc");
        let (header, body) = split(&written).unwrap();
        assert_eq!((header, &body[..]), (&b"\"\\u00e9\""[..], &b"abc"[..]));
    }

    #[test]
    fn a_header_beyond_four_hex_digits_is_refused() {
        let longest = message(&"x".repeat(MAX_HEADER - 2), &[]).unwrap();
        assert!(longest.starts_with(b"ffff\""));
        for length in [2, 15, 16, 255, 256, 4095, 4096] {
            let message = message(&"x".repeat(length - 2), &[]).unwrap();
            assert_eq!(&message[..5], format!("{length:<4x}\"").as_bytes());
        }
        assert!(message(&"x".repeat(MAX_HEADER - 1), &[]).is_none());
    }

    #[test]
    fn a_length_beyond_the_message_is_an_invalid_length() {
        for bytes in [&b""[..], b"abc", b"5   {}", b"ffff{}"] {
            assert_eq!(split(&Bytes::from_static(bytes)), Err(Quit::InvalidLength));
        }
    }
}
