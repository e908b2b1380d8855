//! Names of users, nodes, aliases and lists: what is allowed, and how one becomes a directory.
//!
//! The original wrote names into paths as they came. Ours are 1–64 bytes of printable UTF-8, and in
//! the spool only lower-case letters, digits, `-` and `_` stand for themselves; any other byte is
//! `%` and two hex digits. So no name leaves the spool, none is special to a shell or a disk, and no
//! two share a directory even where a disk ignores case or folds Unicode.

/// The longest name, in bytes of UTF-8.
pub const MAX_NAME: usize = 64;

/// Is `name` allowed for a user, node, alias or list?
pub fn is_valid(name: &str) -> bool {
    !name.is_empty() && name.len() <= MAX_NAME && name.chars().all(is_printable)
}

/// Neither a control character, nor one that breaks a line, nor one that turns the direction of the
/// text around it, by which a name could pass for another (Unicode TR 36 §3.1).
fn is_printable(c: char) -> bool {
    let turns = matches!(c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !c.is_control() && !turns && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}')
}

/// The name as part of a directory's name; at most three bytes for one of the name.
pub fn encode(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => text.push(byte as char),
            _ => text.push_str(&format!("%{byte:02x}")),
        }
    }
    text
}

/// The name that [`encode`] made `text` of; `None` if it made no such text.
#[cfg(feature = "queue")]
pub(crate) fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        if first == b'%' {
            let digits = tail.get(..2).and_then(|d| std::str::from_utf8(d).ok())?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &tail[2..];
        } else {
            bytes.push(first);
            rest = tail;
        }
    }
    let name = String::from_utf8(bytes).ok()?;
    (encode(&name) == text).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_that_are_empty_long_or_unprintable_are_refused() {
        for name in ["", "a\n", "\0", "\u{85}", "x\u{2028}", "\u{202e}x", &"é".repeat(33)] {
            assert!(!is_valid(name), "{name:?}");
        }
        for name in ["a", "é", "../../evil", "a b", &"x".repeat(64)] {
            assert!(is_valid(name), "{name:?}");
        }
    }

    #[test]
    fn a_path_in_a_name_becomes_plain_text() {
        assert_eq!(encode("../A"), "%2e%2e%2f%41");
    }

    proptest! {
        #[test]
        fn no_name_leaves_the_spool_or_shares_a_directory_on_a_case_blind_disk(
            a in "\\PC{1,16}", b in "\\PC{1,16}"
        ) {
            let text = encode(&a);
            prop_assert!(text.bytes().all(|c| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'%')));
            let decoded = decode(&text);
            prop_assert_eq!(decoded.as_deref(), Some(a.as_str()));
            prop_assert_eq!(a == b, text == encode(&b));
        }
    }
}
