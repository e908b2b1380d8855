//! JSON as version 1 writes it: ASCII only, no spaces.
//!
//! The original escaped every character beyond ASCII as `\uXXXX` in lower case, in headers and in an
//! `etc` that a client put inline; its clients compare such text, so ours is the same to the byte.

use serde::Serialize;
use serde_json::ser::Formatter;
use std::io;

/// Writes `value` behind what `out` holds already.
///
/// Only for our own header types, whose serialization cannot fail: they have string keys and no
/// fallible parts, and a `Vec` takes every byte.
pub(crate) fn write<T: Serialize>(out: &mut Vec<u8>, value: &T) {
    let mut serializer = serde_json::Serializer::with_formatter(out, Ascii);
    let written = value.serialize(&mut serializer);
    debug_assert!(written.is_ok(), "a header serializes");
}

/// `raw`, one valid JSON value, without white space between tokens and with ASCII characters only.
///
/// Numbers, key order and escapes stay as they were written: the value is its owner's, not ours to
/// normalize.
pub(crate) fn compact(raw: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len());
    let mut in_string = false;
    let mut escaped = false;
    for c in raw.chars() {
        if in_string {
            if c.is_ascii() {
                out.push(c as u8);
            } else {
                escape(c, |text| out.extend_from_slice(text.as_bytes()));
            }
            if escaped {
                escaped = false;
            } else if c == '\\' {
                escaped = true;
            } else if c == '"' {
                in_string = false;
            }
        } else if !matches!(c, ' ' | '\t' | '\n' | '\r') {
            in_string = c == '"';
            // Outside a string valid JSON is ASCII.
            out.push(c as u8);
        }
    }
    out
}

/// How deep arrays and objects are nested at most in what a client sends, as in what serde_json reads.
const MAX_DEPTH: usize = 128;

/// Is `json`, which is valid, nested deeper than is allowed? Its recipients may read it by recursion.
pub(crate) fn is_too_deep(json: &[u8]) -> bool {
    if json.len() <= 2 * MAX_DEPTH {
        return false;
    }
    let (mut depth, mut in_string, mut escaped) = (0, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => depth += 1,
            b']' | b'}' if !in_string => depth -= 1,
            _ => {}
        }
        if depth > MAX_DEPTH {
            return true;
        }
    }
    false
}

fn escape(c: char, mut push: impl FnMut(&str)) {
    for unit in c.encode_utf16(&mut [0; 2]) {
        push(&format!("\\u{unit:04x}"));
    }
}

struct Ascii;

impl Formatter for Ascii {
    fn write_string_fragment<W>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()>
    where
        W: ?Sized + io::Write,
    {
        if fragment.is_ascii() {
            return writer.write_all(fragment.as_bytes());
        }
        let mut text = String::with_capacity(fragment.len() * 2);
        for c in fragment.chars() {
            if c.is_ascii() {
                text.push(c);
            } else {
                escape(c, |unit| text.push_str(unit));
            }
        }
        writer.write_all(text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_beyond_ascii_become_lower_case_escapes() {
        let mut out = Vec::new();
        write(&mut out, &"é✓😀\n\"");
        assert_eq!(String::from_utf8(out).unwrap(), r#""\u00e9\u2713\ud83d\ude00\n\"""#);
    }

    #[test]
    fn what_is_nested_deeper_than_128_is_too_deep() {
        let nested = |depth| ["[".repeat(depth), "]".repeat(depth)].concat();
        assert!(!is_too_deep(nested(128).as_bytes()));
        assert!(is_too_deep(nested(129).as_bytes()));
        assert!(is_too_deep(format!("{{\"a\\\"]\":{}}}", nested(128)).as_bytes()));
        let string = format!("[\"{}\\\\\"]", "[".repeat(1000));
        assert!(!is_too_deep(string.as_bytes()));
    }

    #[test]
    fn compacting_keeps_strings_numbers_and_key_order() {
        let raw = "{ \"b\" : [ 1.0 , 1e400 ],\n\"a b\\\" \": \"é \\u00E9\" }";
        let compacted = String::from_utf8(compact(raw)).unwrap();
        assert_eq!(compacted, r#"{"b":[1.0,1e400],"a b\" ":"\u00e9 \u00E9"}"#);
    }
}
