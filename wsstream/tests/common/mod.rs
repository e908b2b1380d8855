//! Sockets for the tests.
#![allow(dead_code, clippy::unwrap_used)]

use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use wsstream::{Framing, Limits, Link};

/// Longer than any test should take.
pub(crate) const WAIT: Duration = Duration::from_secs(10);

/// Two ends of a TCP connection: the accepted one and the connected one.
pub(crate) async fn sockets() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (accepted, connected) = tokio::join!(listener.accept(), TcpStream::connect(address));
    let (accepted, connected) = (accepted.unwrap().0, connected.unwrap());
    accepted.set_nodelay(true).unwrap();
    connected.set_nodelay(true).unwrap();
    (accepted, connected)
}

/// A server's link and its client's. On a raw link the client has said hello.
pub(crate) async fn pair(framing: Framing, limits: &Limits) -> (Link<TcpStream>, Link<TcpStream>) {
    let (accepted, connected) = sockets().await;
    let connect = async {
        match framing {
            Framing::WebSocket => {
                Link::connect_ws(connected, "ws://localhost/mq", limits).await.unwrap()
            }
            Framing::Raw => {
                let mut link = Link::connect_raw(connected, limits).await.unwrap();
                link.send("hello".into()).await.unwrap();
                link
            }
        }
    };
    let (server, client) = tokio::join!(Link::accept(accepted, limits), connect);
    let mut server = server.unwrap();
    assert_eq!(server.framing(), framing);
    if framing == Framing::Raw {
        assert_eq!(server.message().await.unwrap().unwrap(), "hello");
    }
    (server, client)
}

/// All that comes up to the FIN.
pub(crate) async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    bytes
}
