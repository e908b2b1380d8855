//! The examples of the protocol's reference, mqlib/doc/protocol.md, as a conversation with a server.
//!
//! In a block of the language `mq` each line is a connection's name, `>` or `<`, a header, and behind a
//! `|` a body. A name that is not connected is connected first. `<word>` in a string stands for any value,
//! and from then on for the same one.
#![allow(clippy::unwrap_used)]

mod common;

use common::node::Node;
use common::{Framing, PATIENCE, SMALL, Server, Store, message};
use serde_json::Value;
use std::collections::HashMap;
use tokio::time::timeout;

const DOC: &str = include_str!("../../mqlib/doc/protocol.md");
const BODY: &str = " | ";

/// The lines of all examples, with their numbers in the document.
fn examples() -> Vec<(usize, &'static str)> {
    let mut inside = false;
    let mut lines = Vec::new();
    for (number, line) in (1..).zip(DOC.lines()) {
        match line {
            "```mq" => inside = true,
            "```" => inside = false,
            line if inside => lines.push((number, line)),
            line => assert!(!line.starts_with("```"), "line {number} begins another language"),
        }
    }
    lines
}

/// What the words stand for.
#[derive(Default)]
struct Words(HashMap<String, Value>);

impl Words {
    /// What is sent, with the words replaced.
    fn fill(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (word, value) in &self.0 {
            if let Some(value) = value.as_str() {
                text = text.replace(&format!("<{word}>"), value);
            }
        }
        text
    }

    /// Is `actual` what is expected?
    fn fits(&mut self, expected: &Value, actual: &Value) -> bool {
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
    fn body_fits(&mut self, etc: usize, expected: &str, actual: &[u8]) -> bool {
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

async fn run(framing: Framing) {
    let store = Store::with(SMALL);
    let server = Server::start(&store);
    let mut connections: HashMap<&str, Node> = HashMap::new();
    let mut words = Words::default();
    for (number, line) in examples() {
        let (name, rest) = line.split_once(' ').unwrap();
        let (arrow, rest) = rest.split_once(' ').unwrap();
        let (header, body) = rest.split_once(BODY).unwrap_or((rest, ""));
        if !connections.contains_key(name) {
            connections.insert(name, Node::connect(&server, framing).await);
        }
        let node = connections.get_mut(name).unwrap();
        match arrow {
            ">" => {
                let header = words.fill(header);
                let sent = match header.starts_with('{') {
                    true => message(&header, body.as_bytes()),
                    false => header.into_bytes(),
                };
                timeout(PATIENCE, node.link.send(sent.into())).await.unwrap().unwrap();
            }
            "<" if header == "closed" => {
                assert_eq!(node.hear().await, None, "line {number}");
                connections.remove(name);
            }
            "<" => {
                let (actual, actual_body) = node.hear().await.expect("the server goes on");
                let expected: Value = serde_json::from_str(header).unwrap();
                let etc = actual["etc"].as_u64().unwrap_or(0) as usize;
                let fits =
                    words.fits(&expected, &actual) && words.body_fits(etc, body, &actual_body);
                assert!(fits, "line {number}: {line}\ngot {actual} | {actual_body:?}");
            }
            arrow => panic!("line {number}: {arrow} is no arrow"),
        }
    }
    // Nothing came that the document does not tell of.
    for (name, mut node) in connections {
        if name == "laptop" {
            node.is_left_alone().await;
        }
    }
}

#[tokio::test]
async fn the_examples_of_the_protocols_reference_are_true_over_websocket() {
    run(Framing::WebSocket).await;
}

#[tokio::test]
async fn the_examples_of_the_protocols_reference_are_true_over_raw_links() {
    run(Framing::Raw).await;
}

#[test]
fn every_op_is_in_an_example() {
    let text: String = examples().into_iter().map(|(_, line)| line).collect();
    let ops = "register addNode login post ping ack listEdit status dropNode";
    let answers = "registered added info quit deliver listEdited";
    for op in ops.split(' ').chain(answers.split(' ')) {
        assert!(text.contains(&format!(r#"{{"op":"{op}""#)), "{op}");
    }
}
