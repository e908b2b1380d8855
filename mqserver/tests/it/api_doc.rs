//! The examples of the API's reference, doc/api.md, as requests to a server's control socket.
//!
//! In a block of the language `api` a line is `>`, method, path and perhaps a body, and the next one
//! `<`, status and body. `<word>` in a string stands for any value, and from then on for the same one.

use crate::common;

use common::words::Words;
use common::{Client, Framing, SMALL, Server, Store, http};
use serde_json::{Value, json};

const DOC: &str = include_str!("../../doc/api.md");

/// The lines of all examples, with their numbers in the document.
fn examples() -> Vec<(usize, &'static str)> {
    let mut inside = false;
    let mut lines = Vec::new();
    for (number, line) in (1..).zip(DOC.lines()) {
        match line {
            "```api" => inside = true,
            "```" => inside = false,
            line if inside => lines.push((number, line)),
            line => assert!(!line.starts_with("```"), "line {number} begins another language"),
        }
    }
    lines
}

#[tokio::test]
async fn the_examples_of_the_apis_reference_are_true() {
    let store = Store::with(SMALL);
    let server = Server::start(&store);
    Client::register(&server, "alice", "").await;
    Client::register(&server, "bob", "Bobby b").await;
    let mut alice = Client::login(&server, Framing::Raw, "alice", "n0").await;
    let edit = json!({
        "op": "listEdit", "id": "1", "type": "invite", "to": "team", "member": "b"
    });
    alice.send(&edit, b"").await;
    assert_eq!(alice.reply().await.error, None);
    // The invitation is acked, so that only posts wait.
    let mut bob = Client::login(&server, Framing::Raw, "bob", "n0").await;
    bob.take().await;
    bob.barrier().await;
    bob.close().await;
    alice
        .send(&json!({"op": "post", "id": "2", "to": {"bob": 1}, "etc": 7}), b"{\"a\":1}hello")
        .await;
    alice.reply().await;
    Client::add_node(&server, "bob", "n1").await;
    alice.send(&json!({"op": "post", "id": "3", "to": {"bob": 1}}), b"hello again").await;
    alice.reply().await;
    // Links that have ended are counted until the server has noticed.
    let links = || http::get(&store, "/api/v1/status")["links"] == 1;
    common::eventually("one link", links).await;
    let mut words = Words::default();
    let lines = examples();
    for pair in lines.chunks(2) {
        let [(number, asked), (_, answered)] = pair else { panic!("a request has an answer") };
        let request = words.fill(asked.strip_prefix("> ").unwrap_or_else(|| panic!("{asked}")));
        let (method, rest) = request.split_once(' ').unwrap();
        let (path, body) = rest.split_once(' ').unwrap_or((rest, ""));
        let (status, actual) = http::ask(&store, method, path, body);
        let answer = answered.strip_prefix("< ").unwrap_or_else(|| panic!("{answered}"));
        let (wanted, expected) = answer.split_once(' ').unwrap();
        let text = String::from_utf8_lossy(&actual).into_owned();
        assert_eq!(status.to_string(), wanted, "line {number}: {request}\ngot {text}");
        if path.ends_with("raw=1") {
            assert_eq!(text, expected, "line {number}");
            continue;
        }
        let expected: Value = serde_json::from_str(expected).unwrap();
        let actual: Value = serde_json::from_str(&text).unwrap();
        assert!(words.fits(&expected, &actual), "line {number}: {request}\ngot {text}");
    }
}

#[test]
fn every_route_is_in_an_example_or_told_of() {
    let source = include_str!("../../src/api.rs");
    let routes = source.lines().filter_map(|line| {
        let (path, methods) = line.trim().strip_prefix(".route(\"")?.split_once("\", ")?;
        Some((path, methods))
    });
    let mut count = 0;
    for (path, _) in routes {
        count += 1;
        let start = path.split('{').next().unwrap();
        assert!(DOC.contains(start), "{path}");
    }
    assert!(count > 5);
}
