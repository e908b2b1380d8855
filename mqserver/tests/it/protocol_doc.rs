//! The examples of the protocol's reference, mqlib/doc/protocol.md, as a conversation with a server.
//!
//! In a block of the language `mq` each line is a connection's name, `>` or `<`, a header, and behind a
//! `|` a body. A name that is not connected is connected first. `<word>` in a string stands for any value,
//! and from then on for the same one.

use crate::common;

use common::node::Node;
use common::words::Words;
use common::{Framing, PATIENCE, SMALL, Server, Store, message};
use serde_json::Value;
use std::collections::HashMap;
use tokio::time::timeout;

const DOC: &str = include_str!("../../../mqlib/doc/protocol.md");
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
