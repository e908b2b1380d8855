//! Recipients of a post: names, and how each is meant.
//!
//! The original compared a recipient's type as JavaScript numbers, so `"0"`, `null`, `false` and
//! `[]` are 0, `true` is 1, and what is no number at all means all nodes of a user.

use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;
use std::fmt;

/// How a recipient of a post is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One node of a user, whichever takes it first (type 0).
    OneNode,
    /// All nodes of a user (type 1, and whatever is none of the others).
    AllNodes,
    /// A list, without the sender (type 2).
    List,
    /// A list, with the sender (type 3).
    ListAndSender,
}

/// The recipients in `to`, each once, the last of doubled ones; `None` if it is no object. An array
/// is an object with its indices for keys, as it was to the original.
pub(super) fn recipients(to: &RawValue) -> Option<Vec<(String, Kind)>> {
    let mut deserializer = serde_json::Deserializer::from_str(to.get());
    let mut recipients = deserializer.deserialize_any(Recipients).ok()?;
    if recipients.len() > 1 {
        // Stable, so that of equal names the last one stays last.
        recipients.sort_by(|a, b| a.0.cmp(&b.0));
        recipients.reverse();
        recipients.dedup_by(|a, b| a.0 == b.0);
        recipients.reverse();
    }
    Some(recipients)
}

struct Recipients;

impl<'de> Visitor<'de> for Recipients {
    type Value = Vec<(String, Kind)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut recipients = Vec::new();
        while let Some((name, raw)) = map.next_entry::<String, &RawValue>()? {
            recipients.push((name, kind(raw)));
        }
        Ok(recipients)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut recipients = Vec::new();
        while let Some(raw) = seq.next_element::<&RawValue>()? {
            recipients.push((recipients.len().to_string(), kind(raw)));
        }
        Ok(recipients)
    }
}

fn kind(raw: &RawValue) -> Kind {
    let number = match raw.get() {
        "1" => return Kind::AllNodes,
        text => serde_json::from_str(text).map_or(f64::NAN, |value| number(&value)),
    };
    match number {
        0.0 => Kind::OneNode,
        2.0 => Kind::List,
        3.0 => Kind::ListAndSender,
        _ => Kind::AllNodes,
    }
}

/// What JavaScript's `Number(value)` gives (ECMA-262 §7.1.4); NaN where it gives NaN, and for hex,
/// octal and nested arrays, which nobody sends.
fn number(value: &Value) -> f64 {
    match value {
        Value::Null | Value::Bool(false) => 0.0,
        Value::Bool(true) => 1.0,
        Value::Number(number) => number.as_f64().unwrap_or(f64::NAN),
        Value::String(text) if text.trim().is_empty() => 0.0,
        Value::String(text) => text.trim().parse().unwrap_or(f64::NAN),
        Value::Array(items) => match items.as_slice() {
            [] | [Value::Null] => 0.0,
            [Value::String(text)] => number(&Value::String(text.clone())),
            [Value::Number(only)] => only.as_f64().unwrap_or(f64::NAN),
            _ => f64::NAN,
        },
        Value::Object(_) => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Option<Vec<(String, Kind)>> {
        recipients(&RawValue::from_string(json.to_owned()).unwrap())
    }

    #[test]
    fn a_type_is_compared_as_the_original_compared_it() {
        for (json, kind) in [
            ("0", Kind::OneNode),
            ("null", Kind::OneNode),
            ("false", Kind::OneNode),
            ("\"0\"", Kind::OneNode),
            ("[]", Kind::OneNode),
            ("-0", Kind::OneNode),
            ("true", Kind::AllNodes),
            ("7", Kind::AllNodes),
            ("1.5", Kind::AllNodes),
            ("\"x\"", Kind::AllNodes),
            ("{}", Kind::AllNodes),
            ("\"1\"", Kind::AllNodes),
            ("2", Kind::List),
            ("\"2\"", Kind::List),
            ("3", Kind::ListAndSender),
            ("2.0", Kind::List),
        ] {
            assert_eq!(
                parse(&format!("{{\"u\":{json}}}")),
                Some(vec![("u".into(), kind)]),
                "{json}"
            );
        }
    }

    #[test]
    fn of_doubled_recipients_the_last_counts() {
        let to = parse(r#"{"b":1,"a":2,"b":0,"a":3}"#).unwrap();
        assert_eq!(to, [("a".into(), Kind::ListAndSender), ("b".into(), Kind::OneNode)]);
    }

    #[test]
    fn an_array_names_its_indices_and_other_values_are_no_recipients() {
        assert_eq!(parse(r#"["u1"]"#), Some(vec![("0".into(), Kind::AllNodes)]));
        for json in ["null", "\"u1\"", "1"] {
            assert_eq!(parse(json), None);
        }
    }
}
