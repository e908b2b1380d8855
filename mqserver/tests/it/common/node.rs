//! A connection of version 2, word by word.

use super::{Framing, PATIENCE, Server, message};
use bytes::Bytes;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use wsstream::{Limits, Link};

/// A connection whose messages are read word by word.
pub(crate) struct Node {
    pub(crate) link: Link<TcpStream>,
}

impl Node {
    pub(crate) async fn connect(server: &Server, framing: Framing) -> Self {
        let stream = TcpStream::connect(server.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let limits = Limits { max_message: 32 << 20, ..Limits::default() };
        let url = format!("ws://{}/mq", server.address);
        let link = match framing {
            Framing::Raw => Link::connect_raw(stream, &limits).await,
            Framing::WebSocket => Link::connect_ws(stream, &url, &limits).await,
        };
        Self { link: link.unwrap() }
    }

    /// Logs in as a user's node, with what is asked for besides; and the answer.
    pub(crate) async fn login(
        server: &Server,
        framing: Framing,
        user: &str,
        node: &str,
        asked: &Value,
    ) -> (Self, Value) {
        let start = Instant::now();
        loop {
            let mut client = Self::connect(server, framing).await;
            let mut header = json!({"op": "login", "userId": user, "nodeId": node});
            header.as_object_mut().unwrap().extend(asked.as_object().unwrap().clone());
            client.send(&header).await;
            let answer = client.next().await;
            // The server learns of the end of an earlier connection when it does.
            if answer["info"] == "node already active" && start.elapsed() < PATIENCE {
                sleep(Duration::from_millis(10)).await;
                continue;
            }
            return (client, answer);
        }
    }

    pub(crate) async fn send(&mut self, header: &Value) {
        self.send_with(header, b"").await;
    }

    pub(crate) async fn send_with(&mut self, header: &Value, data: &[u8]) {
        let message = message(&header.to_string(), data);
        timeout(PATIENCE, self.link.send(message.into())).await.expect("it is sent").unwrap();
    }

    /// The next message: its header, and its body.
    pub(crate) async fn hear(&mut self) -> Option<(Value, Bytes)> {
        let message = timeout(PATIENCE, self.link.message()).await.expect("a message comes")?;
        let message = message.unwrap();
        let (header, body) = mqlib::header::split(&message).unwrap();
        Some((serde_json::from_slice(header).unwrap(), body))
    }

    /// The next message's header.
    pub(crate) async fn next(&mut self) -> Value {
        self.hear().await.expect("the server goes on").0
    }

    /// The data of so many deliveries, which come next, with their ids.
    pub(crate) async fn take(&mut self, count: usize) -> Vec<(Value, Bytes)> {
        let mut taken = Vec::new();
        for _ in 0..count {
            let (header, body) = self.hear().await.expect("the server goes on");
            assert!(header["from"].is_string(), "{header}");
            taken.push((header["id"].clone(), body));
        }
        taken
    }

    pub(crate) async fn ack(&mut self, ids: &[&Value]) {
        self.send(&json!({"op": "ack", "ids": ids})).await;
    }

    /// Returns when the server has handled all that was sent before, and has sent nothing.
    pub(crate) async fn barrier(&mut self) {
        self.send(&json!({"op": "post", "id": "barrier", "to": {}, "noNodes": true})).await;
        let next = self.next().await;
        assert_eq!((&next["op"], &next["id"]), (&json!("ack"), &json!("barrier")), "{next}");
    }

    /// Nothing comes, now or in a while.
    pub(crate) async fn is_left_alone(&mut self) {
        sleep(Duration::from_millis(100)).await;
        self.barrier().await;
    }

    /// The text of the quit that comes next, and then nothing.
    pub(crate) async fn quit(&mut self) -> String {
        let quit = self.next().await;
        assert_eq!(quit["op"], "quit", "{quit}");
        assert_eq!(self.hear().await, None);
        quit["info"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn close(self) {
        self.link.close(None, PATIENCE).await;
    }
}
