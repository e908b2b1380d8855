//! Where a server listens, and the link to it.

use crate::error::Error;
use crate::session::largest_reply;
use std::io;
use std::net::SocketAddr;
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use wsstream::{Framing, Limits, Link};

/// A server's address, taken from its URL.
#[derive(Debug, Clone)]
pub(crate) struct Address {
    url: String,
    /// `host:port`, as the resolver takes it.
    host: String,
    framing: Framing,
}

impl Address {
    pub(crate) fn parse(url: &str) -> Result<Self, Error> {
        let invalid = || Error::Address(url.to_owned());
        let (scheme, rest) = url.split_once("://").ok_or_else(invalid)?;
        let (framing, port) = match scheme {
            "ws" => (Framing::WebSocket, 80),
            "mq" => (Framing::Raw, 8008),
            _ => return Err(invalid()),
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        // A colon behind the bracket of an IPv6 address, if there is one, begins the port.
        let name = authority.rsplit_once(']').map_or(authority, |(_, tail)| tail);
        let host = match name.contains(':') {
            true => authority.to_owned(),
            false => format!("{authority}:{port}"),
        };
        if host.starts_with(':') || host.contains(['@', ' ']) {
            return Err(invalid());
        }
        Ok(Self { url: url.to_owned(), host, framing })
    }

    pub(crate) async fn connect(&self, max_message: usize) -> Result<Link<TcpStream>, Error> {
        let failed = |error: io::Error| Error::connect(&self.host, &error);
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in lookup_host(&self.host).await.map_err(failed)? {
            match open(address).await {
                Ok(stream) => return self.link(stream, max_message).await,
                Err(error) => last = error,
            }
        }
        Err(failed(last))
    }

    async fn link(&self, stream: TcpStream, max_message: usize) -> Result<Link<TcpStream>, Error> {
        let limits = Limits { max_message: largest_reply(max_message), ..Limits::default() };
        let link = match self.framing {
            Framing::WebSocket => Link::connect_ws(stream, &self.url, &limits).await,
            Framing::Raw => Link::connect_raw(stream, &limits).await,
        };
        link.map_err(|error| match error {
            wsstream::Error::Io(error) => Error::connect(&self.host, &error),
            other => Error::Protocol(other.to_string()),
        })
    }
}

async fn open(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // The raw framing has no pings, so only this finds a peer that vanished.
    socket.set_keepalive(true)?;
    socket.set_nodelay(true)?;
    socket.connect(address).await
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_from_its_url() {
        for (url, host, framing) in [
            ("ws://127.0.0.1:8008", "127.0.0.1:8008", Framing::WebSocket),
            ("ws://example.org/mq", "example.org:80", Framing::WebSocket),
            ("mq://[::1]", "[::1]:8008", Framing::Raw),
            ("mq://[::1]:9", "[::1]:9", Framing::Raw),
        ] {
            let address = Address::parse(url).unwrap();
            assert_eq!((address.host.as_str(), address.framing), (host, framing), "{url}");
        }
    }

    #[test]
    fn an_address_that_is_none_is_refused() {
        for url in ["", "localhost:8008", "http://h", "wss://h", "ws://", "ws://:80", "ws://u@h"] {
            assert!(matches!(Address::parse(url), Err(Error::Address(_))), "{url}");
        }
    }
}
