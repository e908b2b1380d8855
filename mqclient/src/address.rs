//! Where a server listens, and the link to it.

use crate::error::Error;
use crate::session::largest_reply;
use crate::tls::Tls;
use std::io;
use std::net::SocketAddr;
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use wsstream::{Framing, Limits, Link, Stream};

/// A server, and whom to trust to be it. A URL alone will do.
#[derive(Debug, Clone)]
pub struct Server {
    /// `ws://host:port` for WebSocket, `mq://host:port` for the raw framing of the original; `wss://`
    /// and `mqs://` for the same over TLS.
    pub url: String,
    /// For TLS; `None`: whom the system trusts.
    pub tls: Option<Tls>,
}

impl From<&str> for Server {
    fn from(url: &str) -> Self {
        Self { url: url.to_owned(), tls: None }
    }
}

impl From<String> for Server {
    fn from(url: String) -> Self {
        Self { url, tls: None }
    }
}

impl From<&String> for Server {
    fn from(url: &String) -> Self {
        url.as_str().into()
    }
}

/// A server's address, taken from its URL.
#[derive(Debug, Clone)]
pub(crate) struct Address {
    url: String,
    /// `host:port`, as the resolver takes it.
    host: String,
    framing: Framing,
    tls: Option<Tls>,
}

impl Address {
    pub(crate) fn of(server: &Server) -> Result<Self, Error> {
        let mut address = Self::parse(&server.url)?;
        if address.url.starts_with("wss:") || address.url.starts_with("mqs:") {
            address.tls = Some(server.tls.clone().map_or_else(Tls::system, Ok)?);
        }
        Ok(address)
    }

    fn parse(url: &str) -> Result<Self, Error> {
        let invalid = || Error::Address(url.to_owned());
        let (scheme, rest) = url.split_once("://").ok_or_else(invalid)?;
        let (framing, port) = match scheme {
            "ws" => (Framing::WebSocket, 80),
            "wss" => (Framing::WebSocket, 443),
            "mq" => (Framing::Raw, 8008),
            "mqs" => (Framing::Raw, 8443),
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
        Ok(Self { url: url.to_owned(), host, framing, tls: None })
    }

    /// The host without its port, as a certificate names it.
    fn name(&self) -> &str {
        let name = self.host.rsplit_once(':').map_or(self.host.as_str(), |(name, _)| name);
        name.trim_start_matches('[').trim_end_matches(']')
    }

    pub(crate) async fn connect(&self, max_message: usize) -> Result<Link<Stream>, Error> {
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

    async fn link(&self, tcp: TcpStream, max_message: usize) -> Result<Link<Stream>, Error> {
        let stream = match &self.tls {
            Some(tls) => {
                let shaken = tls.connect(tcp, self.name()).await;
                shaken.map_err(|error| Error::connect(&self.host, &error))?
            }
            None => tcp.into(),
        };
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
            ("wss://example.org/mq", "example.org:443", Framing::WebSocket),
            ("mqs://example.org", "example.org:8443", Framing::Raw),
        ] {
            let address = Address::parse(url).unwrap();
            assert_eq!((address.host.as_str(), address.framing), (host, framing), "{url}");
        }
    }

    #[test]
    fn a_certificate_is_for_the_host_without_port_and_brackets() {
        for (url, name) in [
            ("wss://example.org:8443/mq", "example.org"),
            ("mqs://127.0.0.1", "127.0.0.1"),
            ("wss://[::1]:8443", "::1"),
        ] {
            assert_eq!(Address::parse(url).unwrap().name(), name, "{url}");
        }
    }

    #[test]
    fn an_address_that_is_none_is_refused() {
        for url in ["", "localhost:8008", "http://h", "wsss://h", "ws://", "ws://:80", "ws://u@h"] {
            assert!(matches!(Address::parse(url), Err(Error::Address(_))), "{url}");
        }
    }
}
