//! A request's header, field by field, as it stood: the last of doubled keys, unknown ones skipped.

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

pub(super) const OP: usize = 0;
pub(super) const USER_ID: usize = 1;
pub(super) const NEW_NODE: usize = 2;
pub(super) const ALIASES: usize = 3;
pub(super) const PREV_NODE: usize = 4;
pub(super) const NODE_ID: usize = 5;
pub(super) const ID: usize = 6;
pub(super) const TO: usize = 7;
pub(super) const ALIAS: usize = 8;
pub(super) const TYPE: usize = 9;
pub(super) const MEMBER: usize = 10;
pub(super) const ETC: usize = 11;
pub(super) const NO_NODES: usize = 12;
pub(super) const V: usize = 13;
pub(super) const WINDOW: usize = 14;
pub(super) const IDS: usize = 15;
pub(super) const MEMBERS: usize = 16;
pub(super) const TAKEOVER: usize = 17;
pub(super) const INVITE: usize = 18;
pub(super) const NODE: usize = 19;

pub(super) const NAMES: [&str; 20] = [
    "op", "userId", "newNode", "aliases", "prevNode", "nodeId", "id", "to", "alias", "type",
    "member", "etc", "noNodes", "v", "window", "ids", "members", "takeover", "invite", "node",
];

/// The known fields of a JSON object; none of them for a JSON value that is no object.
#[derive(Default)]
pub(super) struct Fields<'a> {
    values: [Option<&'a RawValue>; NAMES.len()],
}

impl<'a> Fields<'a> {
    pub(super) fn get(&self, field: usize) -> Option<&'a RawValue> {
        self.values[field]
    }

    /// The field if it is a string.
    pub(super) fn string(&self, field: usize) -> Option<String> {
        let text = self.values[field]?.get();
        if !text.starts_with('"') {
            return None;
        }
        match text.get(1..text.len() - 1) {
            Some(plain) if !plain.contains('\\') => Some(plain.to_owned()),
            _ => serde_json::from_str(text).ok(),
        }
    }

    /// The field if it is a whole number that is not negative.
    pub(super) fn number(&self, field: usize) -> Option<u64> {
        self.values[field]?.get().parse().ok()
    }

    /// The field if it is an array of strings.
    pub(super) fn strings(&self, field: usize) -> Option<Vec<Cow<'a, str>>> {
        let text = self.values[field]?.get();
        let strings: Vec<Text<'a>> = serde_json::from_str(text).ok()?;
        Some(strings.into_iter().map(|Text(text)| text).collect())
    }

    /// As JavaScript sees it: set, and none of `false`, `null`, `0`, `""`.
    pub(super) fn is_truthy(&self, field: usize) -> bool {
        let Some(raw) = self.values[field] else { return false };
        match raw.get() {
            "false" | "null" | "\"\"" => false,
            number if number.parse::<f64>() == Ok(0.0) => false,
            _ => true,
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Fields::default();
        while let Some(Text(key)) = map.next_key()? {
            match NAMES.iter().position(|name| *name == key) {
                Some(field) => fields.values[field] = Some(map.next_value()?),
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(fields)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Fields::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Fields::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Fields::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Fields::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Fields::default())
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(Fields::default())
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Fields::default())
    }
}

/// A string, borrowed if it has no escapes.
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}
