//! Logins that fail, each over a connection of its own.

use anyhow::{Context, ensure};
use mqlib::header;
use mqlib::reply::Reply;
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout};
use wsstream::{Limits, Link};

const PATIENCE: Duration = Duration::from_secs(60);

/// The user who is registered, and the node's name.
pub(super) struct User {
    pub(super) name: String,
    pub(super) node: String,
}

/// A connection, from another address than most.
pub(super) struct Connection(Link<TcpStream>);

/// A place on this machine that is not where everyone else connects from.
pub(super) const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

impl Connection {
    pub(super) async fn open(server: SocketAddr, from: Ipv4Addr) -> anyhow::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(IpAddr::V4(from), 0))?;
        let stream = timeout(PATIENCE, socket.connect(server)).await??;
        stream.set_nodelay(true)?;
        Ok(Self(Link::connect_raw(stream, &Limits::default()).await?))
    }

    /// Sends a request, and waits for an answer.
    pub(super) async fn ask(&mut self, request: &Value, data: &[u8]) -> anyhow::Result<Reply> {
        let message = header::message(request, &[data]).context("too long")?;
        timeout(PATIENCE, self.0.send(message)).await??;
        self.reply().await
    }

    pub(super) async fn reply(&mut self) -> anyhow::Result<Reply> {
        let message = timeout(PATIENCE, self.0.message()).await?.context("no answer")??;
        Ok(Reply::parse(&message)?)
    }

    pub(super) async fn log_in(&mut self, user: &str, node: &str) -> anyhow::Result<String> {
        let reply = self.ask(&json!({"op": "login", "userId": user, "nodeId": node}), b"").await?;
        reply.info.context("neither let in nor sent away")
    }
}

/// Creates a user, whose name is as long as those that do not exist.
pub(super) async fn register(server: SocketAddr) -> anyhow::Result<User> {
    let user = User { name: fresh()?, node: chosen()? };
    let mut connection = Connection::open(server, Ipv4Addr::LOCALHOST).await?;
    let request =
        json!({"op": "register", "userId": user.name, "newNode": user.node, "aliases": ""});
    let reply = connection.ask(&request, b"").await?;
    ensure!(reply.error.is_none() && reply.op == "registered", "not registered: {reply:?}");
    Ok(user)
}

/// How long the server took to refuse a login, and that it did for the right reason.
pub(super) async fn refused(
    server: SocketAddr,
    user: &str,
    node: &str,
    why: &str,
) -> anyhow::Result<Duration> {
    let mut connection = Connection::open(server, Ipv4Addr::LOCALHOST).await?;
    let start = Instant::now();
    let info = connection.log_in(user, node).await?;
    let took = start.elapsed();
    ensure!(info == why, "{info:?} instead of {why:?}");
    Ok(took)
}

/// A name that was never used.
pub(super) fn fresh() -> anyhow::Result<String> {
    let mut random = [0; 12];
    getrandom::fill(&mut random)?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A node's name as a client might choose it.
pub(super) fn chosen() -> anyhow::Result<String> {
    Ok(format!("node {}", fresh()?))
}

/// A node's name as the server might issue it.
pub(super) fn issued() -> anyhow::Result<String> {
    Ok(format!("mqs_{}{}", fresh()?, &fresh()?[..8]))
}
