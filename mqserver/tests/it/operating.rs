//! The table of the log's lines in doc/operating.md: every warning and error that the server can log
//! has its row, and every row is a line that it can.
//!
//! A row begins with the line in backticks, `…` for what varies. The lines are found in the sources:
//! what `tracing::warn!` and `tracing::error!` say, what the store tells as trouble, notes or damage,
//! and the errors that end the server.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const DOC: &str = include_str!("../../doc/operating.md");
/// Begins a line of the log, and its text follows.
const SAID: [&str; 4] = ["tracing::warn!(", "tracing::error!(", "self.note)(", "harmless.push("];
/// Ends one, and its text stands in the lines before.
const TOLD: [&str; 2] = ["SpoolDone::Trouble(", "Output::Trouble("];
/// Lines between a text and where it is told, at most.
const NEAR: usize = 14;
/// Enums whose errors end the server, with their files.
const ERRORS: [(&str, &str); 8] = [
    ("mqlib/src/store/op.rs", "pub enum Fatal"),
    ("mqlib/src/store/op.rs", "pub enum OpenError"),
    ("mqlib/src/journal.rs", "pub enum OpenError"),
    ("mqlib/src/registry.rs", "pub enum RegistryError"),
    ("mqlib/src/credential.rs", "pub struct HashError"),
    ("mqserver/src/lock.rs", "pub enum LockError"),
    ("mqserver/src/server.rs", "pub enum ServerError"),
    ("mqserver/src/tls/files.rs", "pub enum TlsError"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The sources that run in a server: no tests, no simulation.
fn sources(at: &Path, found: &mut BTreeMap<PathBuf, String>) {
    for entry in std::fs::read_dir(at).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && name != "testing" && name != "tests" {
            sources(&path, found);
        } else if name.ends_with(".rs") && name != "tests.rs" && name != "fuzz.rs" {
            let text = std::fs::read_to_string(&path).unwrap();
            let text = text.split("#[cfg(test)]\nmod tests").next().unwrap().to_owned();
            found.insert(path, text);
        }
    }
}

/// The first string literal, whole, and what is behind it.
fn literal(text: &str) -> Option<(String, &str)> {
    let begin = text.find('"')? + 1;
    let mut end = begin;
    let bytes = text.as_bytes();
    while bytes.get(end).is_some_and(|byte| *byte != b'"') {
        end += if bytes[end] == b'\\' { 2 } else { 1 };
    }
    Some((plain(text.get(begin..end)?), text.get(end + 1..)?))
}

/// The sentence of a macro's arguments: the first literal that is an argument of its own, or within
/// the first one; others are fields.
fn sentence(arguments: &str) -> Option<String> {
    let (mut depth, mut at, mut begins) = (0, 0, true);
    while let Some(c) = arguments.get(at..)?.chars().next() {
        match c {
            '"' => {
                let (line, rest) = literal(&arguments[at..])?;
                if depth == 0 && begins {
                    return Some(line);
                }
                at = arguments.len() - rest.len() - 1;
            }
            '(' | '{' | '[' => depth += 1,
            ')' if depth == 0 => break,
            ')' | '}' | ']' => depth -= 1,
            _ => {}
        }
        if !c.is_whitespace() {
            begins = c == ',' && depth == 0;
        }
        at += c.len_utf8();
    }
    literal(arguments).map(|(line, _)| line)
}

/// A literal as it is logged, with `…` for what varies.
fn plain(literal: &str) -> String {
    let (mut text, mut rest) = (String::new(), literal);
    while let Some(at) = rest.find(['{', '\\']) {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        rest = match (rest.strip_prefix("\\\n"), rest.find('}')) {
            (Some(more), _) => more.trim_start(),
            (None, Some(end)) if rest.starts_with('{') => {
                text.push('…');
                &rest[end + 1..]
            }
            _ => {
                text.push_str(&rest[1..2]);
                &rest[2..]
            }
        };
    }
    text + rest
}

/// The text with its literals in one piece, which are broken as the sources' lines want it.
fn joined(text: &str) -> String {
    let mut parts = text.split("\\\n");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |all, part| all + part.trim_start()).replace("\\\"", "\"")
}

/// All lines that the sources can log.
fn logged() -> BTreeMap<String, PathBuf> {
    let mut all = BTreeMap::new();
    for part in ["mqlib/src", "mqserver/src"] {
        sources(&root().join(part), &mut all);
    }
    let mut lines = BTreeMap::new();
    for (path, text) in &all {
        for begin in SAID {
            for (at, _) in text.match_indices(begin) {
                let line = sentence(&text[at + begin.len()..]).unwrap();
                lines.insert(line, path.clone());
            }
        }
        let rows: Vec<_> = text.lines().collect();
        for (number, row) in rows.iter().enumerate() {
            let told = TOLD.iter().any(|told| row.contains(told)) && !row.contains("=>");
            if told {
                let near = rows[number.saturating_sub(NEAR)..=number].join("\n");
                let texts: Vec<_> = near
                    .match_indices("format!(")
                    .filter_map(|(at, _)| literal(&near[at..]))
                    .map(|(line, _)| line)
                    .collect();
                assert!(!texts.is_empty(), "{}:{}: no text", path.display(), number + 1);
                lines.extend(texts.into_iter().map(|line| (line, path.clone())));
            }
        }
    }
    for (path, name) in ERRORS {
        let path = root().join(path);
        let text = &all[&path];
        let at = text.find(name).unwrap_or_else(|| panic!("{}: no {name}", path.display()));
        // Of a struct the text stands before it.
        let errors = match name.contains("struct") {
            true => &text[text[..at].rfind("#[error(").unwrap()..at],
            false => &text[at..at + text[at..].find("\n}").unwrap()],
        };
        for (at, _) in errors.match_indices("#[error(\"") {
            let (line, _) = literal(&errors[at..]).unwrap();
            lines.insert(line, path.clone());
        }
    }
    lines
}

/// The lines that the table has rows for.
fn rows() -> Vec<&'static str> {
    let table = DOC.split("<!-- the log's lines -->").nth(1).unwrap();
    table.lines().filter_map(|row| row.strip_prefix("| `")?.split('`').next()).collect()
}

/// What only passes on another text has no row of its own.
fn passes_on(line: &str) -> bool {
    !line.chars().any(char::is_alphabetic)
}

#[test]
fn every_warning_and_error_has_its_row() {
    let rows = rows();
    let missing: Vec<_> = logged()
        .into_iter()
        .filter(|(line, _)| !passes_on(line) && !rows.contains(&line.as_str()))
        .map(|(line, path)| format!("| `{line}` | | |  ({})", path.display()))
        .collect();
    assert!(missing.is_empty(), "doc/operating.md has no row for\n{}", missing.join("\n"));
}

#[test]
fn every_row_is_a_line_that_the_server_can_log() {
    let mut all = BTreeMap::new();
    for part in ["mqlib/src", "mqserver/src"] {
        sources(&root().join(part), &mut all);
    }
    let sources: Vec<_> = all.values().map(|text| joined(text)).collect();
    for row in rows() {
        for part in row.split('…').map(str::trim).filter(|part| part.len() > 3) {
            let found = sources.iter().any(|text| text.contains(part));
            assert!(found, "no source says {part:?}, of {row:?}");
        }
    }
}

#[test]
fn a_literal_is_read_as_it_is_logged() {
    let source = "tracing::warn!(\n  \"{a} and \\\n     \\\"more\\\" {b:?}\",\n x)";
    assert_eq!(literal(source).unwrap().0, "… and \"more\" …");
    let source = "%error, more = format!(\"{a}\"), \"a fact\");\n \"b\"";
    assert_eq!(sentence(source).unwrap(), "a fact");
}
