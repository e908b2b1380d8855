//! Connects to the server and logs in.

use super::common::Framing;
use super::people;
use anyhow::{Context, bail};
use mqlib::reply::Reply;
use mqlib::request;
use serde::Serialize;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use wsstream::{Limits, Link};

/// How long a connection, and then a reply, may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the server may take to notice that a node's earlier link is gone.
const LINGER: Duration = Duration::from_secs(5);
/// Many small messages come with one read. Bytes.
const READ_BUFFER: usize = 32 << 10;

/// A link to the server.
pub(crate) type Wire = Link<TcpStream>;

/// A link that is logged in.
#[derive(Debug)]
pub(crate) struct Session {
    /// The link.
    pub(crate) link: Wire,
    /// Whether the server speaks version 2 on it.
    pub(crate) v2: bool,
}

/// Connects.
pub(crate) async fn connect(addr: SocketAddr, framing: Framing) -> anyhow::Result<Wire> {
    let dial = async {
        let stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        // Deliveries are a little larger than what was posted.
        let limits =
            Limits { read_buffer: READ_BUFFER, max_message: 64 << 20, ..Limits::default() };
        anyhow::Ok(match framing {
            Framing::Raw => Link::connect_raw(stream, &limits).await?,
            Framing::Ws => Link::connect_ws(stream, &format!("ws://{addr}/mq"), &limits).await?,
        })
    };
    let link = timeout(PATIENCE, dial).await.context("the server does not answer");
    link.flatten().with_context(|| format!("cannot connect to {addr}"))
}

/// The next message, as a reply.
pub(crate) async fn reply(link: &mut Wire) -> anyhow::Result<Reply> {
    let message = timeout(PATIENCE, link.message()).await.context("the server does not answer")?;
    let message = message.context("the server has closed the link")??;
    Ok(Reply::parse(&message)?)
}

/// Connects and logs a user in, with a window if that is not 0.
pub(crate) async fn log_in(
    addr: SocketAddr,
    framing: Framing,
    window: u32,
    user: u32,
) -> anyhow::Result<Session> {
    let deadline = Instant::now() + LINGER;
    loop {
        let mut link = connect(addr, framing).await?;
        link.send(login(window, user)?).await?;
        let message = timeout(PATIENCE, link.message()).await.context("no answer to a login")?;
        let message = message.context("the server has closed the link")??;
        let reply = Reply::parse(&message)?;
        match (reply.op.as_str(), reply.info.as_deref()) {
            ("info", Some("ok login")) => return Ok(Session { link, v2: speaks_v2(&message) }),
            ("quit", Some("node already active")) if Instant::now() < deadline => {
                sleep(Duration::from_millis(10)).await;
            }
            (op, info) => bail!("user {user} cannot log in: {op} {}", info.unwrap_or_default()),
        }
    }
}

fn login(window: u32, number: u32) -> anyhow::Result<bytes::Bytes> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Login<'a> {
        op: &'a str,
        user_id: &'a str,
        node_id: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        v: Option<u32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        window: Option<u32>,
    }
    let window = (window > 0).then_some(window);
    let (user, node) = (people::user(number), people::node(number));
    let v = window.map(|_| 2);
    let header = Login { op: "login", user_id: &user, node_id: &node, v, window };
    request::encode(&header, None, &[]).context("too long a name")
}

/// Version 2 says so in its answer to the login; a server that does not know it ignores the wish.
fn speaks_v2(message: &bytes::Bytes) -> bool {
    let header = mqlib::header::split(message).map(|(header, _)| header).unwrap_or_default();
    let header: serde_json::Value = serde_json::from_slice(header).unwrap_or_default();
    header.get("v") == Some(&2.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_asks_for_version_2() {
        let text = |window| String::from_utf8(login(window, 7).unwrap().to_vec()).unwrap();
        assert_eq!(text(0), r#"36  {"op":"login","userId":"u0000007","nodeId":"n0000007"}"#);
        assert!(text(100).ends_with(r#","v":2,"window":100}"#));
    }

    #[test]
    fn a_server_tells_its_version() {
        assert!(!speaks_v2(&mqlib::reply::info("ok login")));
        let header = r#"{"op":"info","info":"ok login","v":2,"window":5}"#;
        assert!(speaks_v2(&format!("{:<4x}{header}", header.len()).into()));
    }
}
