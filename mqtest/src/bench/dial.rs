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

/// Connects and logs a user in.
pub(crate) async fn log_in(
    addr: SocketAddr,
    framing: Framing,
    user: u32,
) -> anyhow::Result<Session> {
    let deadline = Instant::now() + LINGER;
    loop {
        let mut link = connect(addr, framing).await?;
        link.send(login(user)?).await?;
        let message = timeout(PATIENCE, link.message()).await.context("no answer to a login")?;
        let message = message.context("the server has closed the link")??;
        let reply = Reply::parse(&message)?;
        match (reply.op.as_str(), reply.info.as_deref()) {
            ("info", Some("ok login")) => return Ok(Session { link }),
            ("quit", Some("node already active")) if Instant::now() < deadline => {
                sleep(Duration::from_millis(10)).await;
            }
            (op, info) => bail!("user {user} cannot log in: {op} {}", info.unwrap_or_default()),
        }
    }
}

fn login(number: u32) -> anyhow::Result<bytes::Bytes> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Login<'a> {
        op: &'a str,
        user_id: &'a str,
        node_id: &'a str,
    }
    let (user, node) = (people::user(number), people::node(number));
    let header = Login { op: "login", user_id: &user, node_id: &node };
    request::encode(&header, None, &[]).context("too long a name")
}
