//! What stands for something in the examples of a document.

use serde_json::Value;
use std::collections::HashMap;

/// What the words stand for.
#[derive(Default)]
pub(crate) struct Words(HashMap<String, Value>);

impl Words {
    /// What is sent, with the words replaced.
    pub(crate) fn fill(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (word, value) in &self.0 {
            if let Some(value) = value.as_str() {
                text = text.replace(&format!("<{word}>"), value);
            }
        }
        text
    }

    /// Is `actual` what is expected?
    pub(crate) fn fits(&mut self, expected: &Value, actual: &Value) -> bool {
        match (expected, actual) {
            (Value::String(text), actual) if text.starts_with('<') && text.ends_with('>') => {
                let word = text[1..text.len() - 1].to_owned();
                self.0.entry(word).or_insert_with(|| actual.clone()) == actual
            }
            (Value::Object(expected), Value::Object(actual)) => {
                // In this order, too: it is part of version 1.
                expected.len() == actual.len()
                    && expected.iter().all(|(key, value)| {
                        actual.get(key).is_some_and(|actual| self.fits(value, actual))
                    })
            }
            (Value::Array(expected), Value::Array(actual)) => {
                expected.len() == actual.len()
                    && expected.iter().zip(actual).all(|(a, b)| self.fits(a, b))
            }
            (expected, actual) => expected == actual,
        }
    }

    /// Is a body what is expected, of which so many bytes are a JSON value?
    pub(crate) fn body_fits(&mut self, etc: usize, expected: &str, actual: &[u8]) -> bool {
        let (etc, data) = actual.split_at(etc);
        if etc.is_empty() {
            return data == expected.as_bytes();
        }
        let mut values = serde_json::Deserializer::from_str(expected).into_iter::<Value>();
        let Some(Ok(value)) = values.next() else { return false };
        let rest = &expected[values.byte_offset()..];
        self.fits(&value, &serde_json::from_slice(etc).unwrap()) && data == rest.as_bytes()
    }
}
