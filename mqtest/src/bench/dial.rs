//! Connects to the server and logs in.

use super::common::{Framing, Protocol};
use super::origin::Origin;
use super::people;
use super::wire::Wire;
use crate::tls::Tls;
use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use mqlib::header;
use mqlib::reply::Reply;
use mqlib::request;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

/// How long a connection, and then a reply, may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the server may take to notice that a node's earlier link is gone.
const LINGER: Duration = Duration::from_secs(5);

/// How a client speaks to the server, and where that is.
#[derive(Debug, Clone)]
pub(crate) struct Dial {
    pub(crate) addr: SocketAddr,
    /// It speaks TLS there.
    pub(crate) tls: Option<Tls>,
    pub(crate) framing: Framing,
    pub(crate) protocol: Protocol,
    pub(crate) origin: Origin,
}

/// A link that is logged in.
#[derive(Debug)]
pub(crate) struct Session {
    /// The link.
    pub(crate) wire: Wire,
    /// What is spoken on it.
    pub(crate) protocol: Protocol,
}

/// Connects.
pub(crate) async fn connect(
    addr: SocketAddr,
    framing: Framing,
    origin: Origin,
) -> anyhow::Result<Wire> {
    let wire = timeout(PATIENCE, Wire::connect(addr, framing, origin)).await;
    let wire = wire.context("the server does not answer").flatten();
    wire.with_context(|| format!("cannot connect to {addr}"))
}

/// Connects, and speaks TLS.
async fn connect_tls(addr: SocketAddr, framing: Framing, tls: &Tls) -> anyhow::Result<Wire> {
    let connecting = async {
        let tcp = TcpStream::connect(addr).await?;
        tcp.set_nodelay(true)?;
        Wire::over(tls.connect(tcp).await?, addr, framing).await
    };
    let wire = timeout(PATIENCE, connecting).await;
    let wire = wire.context("the server does not answer").flatten();
    wire.with_context(|| format!("cannot connect to {addr} with TLS"))
}

/// The next message.
pub(crate) async fn message(wire: &mut Wire) -> anyhow::Result<Bytes> {
    timeout(PATIENCE, wire.message()).await.context("the server does not answer")?
}

/// The next message, as a reply.
pub(crate) async fn reply(wire: &mut Wire) -> anyhow::Result<Reply> {
    Ok(Reply::parse(&message(wire).await?)?)
}

impl Dial {
    /// Connects and logs a user in.
    pub(crate) async fn log_in(self, user: u32) -> anyhow::Result<Session> {
        let deadline = Instant::now() + LINGER;
        loop {
            let mut wire = match &self.tls {
                Some(tls) => connect_tls(self.addr, self.framing, tls).await?,
                None => connect(self.addr, self.framing, self.origin).await?,
            };
            wire.send(&login(user, self.protocol)?).await?;
            match welcome(&message(&mut wire).await?, self.protocol)? {
                Welcome::In => return Ok(Session { wire, protocol: self.protocol }),
                Welcome::Later if Instant::now() < deadline => {
                    sleep(Duration::from_millis(10)).await;
                }
                Welcome::Later => bail!("user {user} cannot log in: the node is active"),
            }
        }
    }
}

fn login(number: u32, protocol: Protocol) -> anyhow::Result<Bytes> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Login<'a> {
        op: &'a str,
        user_id: &'a str,
        node_id: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        v: Option<u8>,
        #[serde(skip_serializing_if = "Option::is_none")]
        window: Option<u32>,
    }
    let (user, node) = (people::user(number), people::node(number));
    let (v, window) = match protocol {
        Protocol::One => (None, None),
        Protocol::Two { window } => (Some(2), Some(window)),
    };
    let header = Login { op: "login", user_id: &user, node_id: &node, v, window };
    request::encode(&header, None, &[]).context("too long a name")
}

/// What became of a login.
#[derive(Debug, PartialEq, Eq)]
enum Welcome {
    /// It worked.
    In,
    /// The node's earlier link is not quite gone.
    Later,
}

/// # Errors
/// The server refuses, or speaks another version.
fn welcome(message: &Bytes, protocol: Protocol) -> anyhow::Result<Welcome> {
    #[derive(Deserialize)]
    struct Answer {
        op: String,
        info: String,
        v: Option<u8>,
        window: Option<u32>,
    }
    let (header, _) = header::split(message)?;
    let answer: Answer = serde_json::from_slice(header)
        .with_context(|| format!("no answer to a login: {}", header.escape_ascii()))?;
    match (answer.op.as_str(), answer.info.as_str()) {
        ("info", "ok login") => {}
        ("quit", "node already active") => return Ok(Welcome::Later),
        (op, info) => bail!("the server answers a login with {op} {info}"),
    }
    if let Protocol::Two { window } = protocol {
        ensure!(answer.v == Some(2), "the server speaks no version 2: try --protocol 1");
        let granted = answer.window.unwrap_or_default();
        ensure!(granted == window, "the server grants a window of {granted}");
    }
    Ok(Welcome::In)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mqlib::quit::Quit;
    use mqlib::reply;
    use mqlib::request::{Incoming, Request, Version};

    const TWO: Protocol = Protocol::Two { window: 7 };

    fn answer(window: usize) -> Bytes {
        let (server, time, max_message) = ("s", "t", 1);
        let (v, node, queued) = (2, 0, 3);
        reply::welcome(&reply::Welcome { v, server, node, window, queued, max_message, time })
    }

    #[test]
    fn a_login_is_what_the_server_knows() {
        for (protocol, wanted) in [(Protocol::One, Version::V1), (TWO, Version::V2 { window: 7 })] {
            let request = Incoming::parse(&login(5, protocol).unwrap()).unwrap().request;
            let Ok(Request::Login { user, version, .. }) = request else { panic!() };
            assert_eq!((user, version), (people::user(5), wanted));
        }
    }

    #[test]
    fn a_server_of_another_version_is_noticed() {
        assert_eq!(welcome(&reply::logged_in(), Protocol::One).unwrap(), Welcome::In);
        assert_eq!(welcome(&answer(7), TWO).unwrap(), Welcome::In);
        assert!(welcome(&answer(6), TWO).is_err());
        let old = welcome(&reply::logged_in(), TWO).unwrap_err();
        assert!(old.to_string().contains("--protocol 1"));
    }

    #[test]
    fn a_node_that_is_active_is_asked_for_again_and_other_refusals_are_final() {
        let active = reply::quit(&Quit::NodeActive);
        assert_eq!(welcome(&active, TWO).unwrap(), Welcome::Later);
        assert!(welcome(&reply::quit(&Quit::InvalidJson), TWO).is_err());
    }
}
