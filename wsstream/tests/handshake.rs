//! HTTP that opens a WebSocket, and HTTP that does not.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::{rest, sockets};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use wsstream::{Error, Framing, Limits, Link};

const UPGRADE: &str = "Host: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// What the server answers to `request`, which it does not accept.
async fn refusal(request: &str) -> String {
    let (server, mut client) = sockets().await;
    client.write_all(request.as_bytes()).await.unwrap();
    let accept = async {
        let error = Link::accept(server, &Limits::default()).await.unwrap_err();
        assert!(matches!(error, Error::Handshake(_)), "{error}");
        assert_eq!(error.quit_text(), None);
    };
    let ((), answer) = tokio::join!(accept, async { rest(&mut client).await });
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(&format!("Content-Length: {}", body.len())), "{answer}");
    assert_eq!(body.lines().count(), 1, "{answer}");
    answer
}

#[tokio::test]
async fn an_upgrade_of_either_path_is_accepted_as_the_rfc_says() {
    for path in ["/", "/mq", "/mq?x=1"] {
        let (server, mut client) = sockets().await;
        let request = format!("GET {path} HTTP/1.1\r\n{UPGRADE}\r\n");
        // In two parts, cut inside the blank line.
        let (first, second) = request.split_at(request.len() - 2);
        client.write_all(first.as_bytes()).await.unwrap();
        let limits = Limits::default();
        let (link, answer) = tokio::join!(Link::accept(server, &limits), async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            client.write_all(second.as_bytes()).await.unwrap();
            let mut answer = vec![0; 4096];
            let count = client.read(&mut answer).await.unwrap();
            String::from_utf8(answer[..count].to_vec()).unwrap()
        });
        assert_eq!(link.unwrap().framing(), Framing::WebSocket);
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        assert!(answer.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{answer}");
    }
}

#[tokio::test]
async fn another_path_is_not_found() {
    let answer = refusal(&format!("GET /else HTTP/1.1\r\n{UPGRADE}\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
}

#[tokio::test]
async fn a_browser_is_told_to_upgrade() {
    let answer = refusal("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 426 "), "{answer}");
    assert!(answer.contains("\r\nUpgrade: websocket\r\n"), "{answer}");
    assert!(answer.contains("\r\nConnection: close, Upgrade\r\n"), "{answer}");
}

#[tokio::test]
async fn another_version_is_told_ours() {
    let answer = refusal(&format!("GET / HTTP/1.1\r\n{}\r\n", UPGRADE.replace("13", "8"))).await;
    assert!(answer.starts_with("HTTP/1.1 426 "), "{answer}");
    assert!(answer.contains("\r\nSec-WebSocket-Version: 13\r\n"), "{answer}");
}

#[tokio::test]
async fn what_is_no_http_is_a_bad_request() {
    for request in [
        "GARBAGE\r\n\r\n".to_owned(),
        format!("GET / HTTP/1.1\r\n{}\r\n", UPGRADE.replace("dGhl", "")),
        format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(17 << 10)),
    ] {
        let answer = refusal(&request).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    }
}

#[tokio::test]
async fn a_client_says_what_the_server_answered_instead() {
    for (answer, told) in [
        ("HTTP/1.1 404 Not Found\r\n\r\n", "404"),
        (
            "HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
            "no WebSocket",
        ),
        ("garbage\r\n\r\n", "httparse"),
        ("HTTP/1.1 101", "hung up"),
    ] {
        let (mut server, client) = sockets().await;
        let limits = Limits::default();
        let (link, ()) = tokio::join!(Link::connect_ws(client, "ws://x/", &limits), async {
            let mut request = [0; 4096];
            assert!(server.read(&mut request).await.unwrap() > 0);
            server.write_all(answer.as_bytes()).await.unwrap();
            server.shutdown().await.unwrap();
        });
        let error = link.unwrap_err();
        assert!(matches!(error, Error::Handshake(_)), "{error}");
        assert!(error.to_string().contains(told), "{error}");
    }
}

#[tokio::test]
async fn a_url_that_is_none_is_refused() {
    let (_server, client) = sockets().await;
    let error = Link::connect_ws(client, "not a url", &Limits::default()).await.unwrap_err();
    assert!(matches!(error, Error::Handshake(_)), "{error}");
}
