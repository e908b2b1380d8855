//! Whom a post did not reach, and why, and how its ack says so.
//!
//! Every link gets a line each in the ack's `error`: as the original wrote them for lists and users
//! that are unknown, lists first, and ours behind them for queues that are full. Version 2 also gets
//! `{"failed":{name:reason}}` as the ack's `etc`. Both are bounded, and say how many more there are.

use crate::json;
use crate::limits::QueueLimit;
use crate::reply::AckError;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// Recipients that an ack names at most; the rest is counted.
const ERRORS_NAMED: usize = 1_000;
/// Bytes of JSON that the lines take at most: half of a header, the rest of which is the poster's id.
const LINES: usize = 32 << 10;

/// Why a recipient did not get a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reason {
    /// No list of this name.
    NoList,
    /// The sender, whose name this is, is not in the list.
    NotInList(String),
    /// No user of this name.
    NoUser,
    /// The user has no node left.
    NoNodes,
    /// The queues of these nodes of the user's are full, as the limit says; of all that were meant if
    /// none is named.
    Full(Vec<u8>, QueueLimit),
}

/// The recipients that a post did not reach, in the order of the lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Failed(Vec<(String, Reason)>);

impl Failed {
    pub(crate) fn push(&mut self, name: impl Into<String>, reason: Reason) {
        self.0.push((name.into(), reason));
    }

    pub(crate) fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    /// Gives recipients whose names the poster does not know the ones that it used.
    pub(crate) fn rename(&mut self, used: impl Fn(&str) -> Option<String>) {
        for (name, _) in &mut self.0 {
            if let Some(used) = used(name) {
                *name = used;
            }
        }
    }

    /// The ack's error, which is `otherwise` if all were reached.
    pub(crate) fn error(&self, otherwise: AckError) -> AckError {
        if self.0.is_empty() {
            return otherwise;
        }
        let mut text = String::new();
        let (mut named, mut len) = (0, 0);
        for (name, reason) in self.0.iter().take(ERRORS_NAMED) {
            let line = line(name, reason);
            len += json_len(&line) + 2;
            if len > LINES {
                break;
            }
            if named > 0 {
                text.push('\n');
            }
            text.push_str(&line);
            named += 1;
        }
        match self.0.len() - named {
            0 => {}
            more => text.push_str(&format!("\nand {more} more")),
        }
        AckError::Text(text)
    }

    /// The ack's `etc` in version 2; none if all were reached.
    pub(crate) fn etc(&self) -> Option<Vec<u8>> {
        #[derive(Serialize)]
        struct Etc<'a> {
            failed: BTreeMap<&'a str, String>,
            #[serde(skip_serializing_if = "Option::is_none")]
            more: Option<usize>,
        }
        if self.0.is_empty() {
            return None;
        }
        let mut failed: BTreeMap<&str, String> = BTreeMap::new();
        for (name, reason) in self.0.iter().take(ERRORS_NAMED) {
            let text = match reason {
                Reason::NoNodes | Reason::Full(..) => reason.to_string(),
                _ => line(name, reason),
            };
            // A user may be called like a list.
            let entry = failed.entry(name).and_modify(|before| before.push('\n')).or_default();
            entry.push_str(&text);
        }
        let more = self.0.len().checked_sub(ERRORS_NAMED).filter(|more| *more > 0);
        let mut etc = Vec::new();
        json::write(&mut etc, &Etc { failed, more });
        Some(etc)
    }
}

fn line(name: &str, reason: &Reason) -> String {
    match reason {
        Reason::NoList => format!("list {name} not found"),
        Reason::NotInList(user) => format!("uid {user} not found"),
        Reason::NoUser => "userId unknown".to_owned(),
        Reason::NoNodes | Reason::Full(..) => format!("{name}: {reason}"),
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoList | Self::NotInList(_) => f.write_str("list not found"),
            Self::NoUser => f.write_str("userId unknown"),
            Self::NoNodes => f.write_str("no nodes"),
            Self::Full(nodes, limit) => {
                f.write_str("queue full")?;
                for (number, node) in nodes.iter().enumerate() {
                    let before = match number {
                        0 if nodes.len() > 1 => " at nodes ",
                        0 => " at node ",
                        _ => ", ",
                    };
                    write!(f, "{before}{node}")?;
                }
                write!(f, ", limit {limit}")
            }
        }
    }
}

fn json_len(text: &str) -> usize {
    let mut json = Vec::new();
    json::write(&mut json, &text);
    json.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(error: AckError) -> String {
        match error {
            AckError::Text(text) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_is_named_with_a_reason_in_a_line_and_in_etc() {
        let mut failed = Failed::default();
        assert_eq!((failed.error(AckError::Null), failed.etc()), (AckError::Null, None));
        failed.push("L", Reason::NoList);
        failed.push("M", Reason::NotInList("a".into()));
        failed.push("x", Reason::NoUser);
        failed.push("b", Reason::Full(vec![], QueueLimit::Messages(3)));
        failed.push("c", Reason::Full(vec![1, 4], QueueLimit::Bytes(9)));
        assert_eq!(
            text(failed.error(AckError::Absent)),
            "list L not found\nuid a not found\nuserId unknown\n\
             b: queue full, limit 3 messages\nc: queue full at nodes 1, 4, limit 9 bytes"
        );
        assert_eq!(
            String::from_utf8(failed.etc().unwrap()).unwrap(),
            r#"{"failed":{"L":"list L not found","M":"uid a not found","b":"queue full, limit 3 messages","c":"queue full at nodes 1, 4, limit 9 bytes","x":"userId unknown"}}"#
        );
    }

    #[test]
    fn many_are_counted_and_fit_whatever_their_names() {
        let mut failed = Failed::default();
        for number in 0..1500 {
            let name = format!("{}{number:04}", "é".repeat(30));
            failed.push(name, Reason::Full(vec![], QueueLimit::Messages(3)));
        }
        let lines = text(failed.error(AckError::Absent));
        assert!(json_len(&lines) < LINES + 100);
        let named = lines.lines().count() - 1;
        assert!(lines.ends_with(&format!("\nand {} more", 1500 - named)), "{named}");
        let etc: serde_json::Value = serde_json::from_slice(&failed.etc().unwrap()).unwrap();
        assert_eq!(etc["failed"].as_object().unwrap().len(), 1000);
        assert_eq!(etc["more"], 500);
    }
}
