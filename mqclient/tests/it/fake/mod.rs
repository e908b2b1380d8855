//! A server whose every word is the test's.

use bytes::Bytes;
use serde_json::Value;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use wsstream::{Limits, Link};

/// What a server of version 2 says.
pub(crate) const WELCOME: &str = r#"{"op":"info","info":"ok login","v":2,"server":"fake 1","node":0,"window":100,"queued":0,"maxMessage":16777216,"time":"2026-11-21T08:00:00.000Z"}"#;

const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Fake {
    listener: TcpListener,
}

impl Fake {
    pub(crate) async fn bind() -> Self {
        Self::bind_to(0).await
    }

    pub(crate) async fn bind_to(port: u16) -> Self {
        Self { listener: TcpListener::bind(("127.0.0.1", port)).await.unwrap() }
    }

    pub(crate) fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}", self.listener.local_addr().unwrap())
    }

    /// The next connection.
    pub(crate) async fn accept(&self) -> Peer {
        loop {
            let (stream, _) = timeout(PATIENCE, self.listener.accept()).await.unwrap().unwrap();
            // A client that is gone by now may have tried before.
            if let Ok(link) = Link::accept(stream, &Limits::default()).await {
                return Peer { link };
            }
        }
    }

    /// The next connection, which asks to log in, and may.
    pub(crate) async fn log_in(&self) -> Peer {
        self.log_in_with(WELCOME).await
    }

    /// The same, with an answer of the test's.
    pub(crate) async fn log_in_with(&self, welcome: &str) -> Peer {
        let (mut peer, login) = loop {
            let mut peer = self.accept().await;
            if let Some(Ok(message)) = timeout(PATIENCE, peer.link.message()).await.unwrap() {
                break (peer, parse(&message).0);
            }
        };
        assert_eq!((&login["op"], &login["v"]), (&"login".into(), &2.into()));
        peer.say(welcome, "").await;
        peer
    }
}

fn parse(message: &Bytes) -> (Value, Bytes) {
    let (header, body) = mqlib::header::split(message).unwrap();
    (serde_json::from_slice(header).unwrap(), body)
}

pub(crate) struct Peer {
    link: Link<TcpStream>,
}

impl Peer {
    /// The next message, header and body; none if the client has closed.
    pub(crate) async fn try_hear(&mut self) -> Option<(Value, Bytes)> {
        let message = timeout(PATIENCE, self.link.message()).await.unwrap()?.unwrap();
        Some(parse(&message))
    }

    pub(crate) async fn hear(&mut self) -> (Value, Bytes) {
        self.try_hear().await.unwrap()
    }

    pub(crate) async fn say(&mut self, header: &str, body: &str) {
        let message = format!("{:<4x}{header}{body}", header.len());
        self.link.send(message.into()).await.unwrap();
    }

    pub(crate) async fn ack(&mut self, header: &Value) {
        self.say(&format!(r#"{{"op":"ack","id":{},"type":"ok"}}"#, header["id"]), "").await;
    }

    pub(crate) async fn close(self) {
        self.link.close(None, Duration::from_secs(2)).await;
    }
}
