//! The HTTP that opens a WebSocket: RFC 6455 section 4, in the words of tungstenite.
//!
//! tungstenite's own drivers of a handshake are not used: they drop the connection without a word
//! when a request is not theirs, and a browser pointed at the port deserves an answer.

use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::{Error as WsError, ProtocolError};
use tokio_tungstenite::tungstenite::handshake::client::{Response, generate_request};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::handshake::machine::TryParse;
use tokio_tungstenite::tungstenite::handshake::server::{Request, create_response, write_response};

use crate::closing::finish;
use crate::{Error, Limits, buffer};

/// The first room for a head; most fit into it. Bytes.
const HEAD: usize = 1 << 10;
/// How long a refused peer may take to hang up.
const LINGER: Duration = Duration::from_millis(500);

/// The server's side. `read` holds the first bytes, and afterwards what followed the request.
pub(crate) async fn answer<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    read: &mut BytesMut,
    limits: &Limits,
) -> Result<(), Error> {
    let request = match head::<Request, S>(stream, read, limits).await? {
        Ok(request) => request,
        Err(reason) => return refuse(stream, "400 Bad Request", "", &reason).await,
    };
    let path = request.uri().path();
    if path != "/" && path != "/mq" {
        let reason = "nothing here: the WebSocket is at / and /mq";
        return refuse(stream, "404 Not Found", "", reason).await;
    }
    match create_response(&request) {
        Ok(response) => {
            let mut bytes = Vec::new();
            write_response(&mut bytes, &response)?;
            stream.write_all(&bytes).await?;
            Ok(stream.flush().await?)
        }
        Err(WsError::Protocol(
            reason @ (ProtocolError::MissingConnectionUpgradeHeader
            | ProtocolError::MissingUpgradeWebSocketHeader
            | ProtocolError::MissingSecWebSocketVersionHeader),
        )) => {
            // RFC 9110 15.5.22, RFC 6455 4.4
            let headers = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
            let reason = format!("a WebSocket is served here: {reason}");
            refuse(stream, "426 Upgrade Required", headers, &reason).await
        }
        Err(reason) => refuse(stream, "400 Bad Request", "", &reason.to_string()).await,
    }
}

/// Answers with an HTTP error and ends the connection.
async fn refuse<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    status: &str,
    headers: &str,
    reason: &str,
) -> Result<(), Error> {
    let upgrade = if headers.is_empty() { "" } else { ", Upgrade" };
    let response = format!(
        "HTTP/1.1 {status}\r\n{headers}Connection: close{upgrade}\r\n\
         Content-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\r\n{reason}\n",
        reason.len() + 1
    );
    stream.write_all(response.as_bytes()).await?;
    stream.flush().await?;
    finish(stream, Instant::now() + LINGER).await;
    Err(Error::Handshake(format!("{status}: {reason}")))
}

/// The client's side. Returns what followed the response.
pub(crate) async fn ask<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    url: &str,
    limits: &Limits,
) -> Result<BytesMut, Error> {
    let refused = |reason: String| Error::Handshake(reason);
    let request = url.into_client_request().map_err(|error| refused(error.to_string()))?;
    let (bytes, key) = generate_request(request).map_err(|error| refused(error.to_string()))?;
    stream.write_all(&bytes).await?;
    stream.flush().await?;

    let mut read = BytesMut::new();
    let response = head::<Response, S>(stream, &mut read, limits).await?.map_err(refused)?;
    if response.status().as_u16() != 101 {
        return Err(refused(format!("the server answered {}", response.status())));
    }
    let headers = response.headers();
    let says = |name: &str, value: &str| {
        headers
            .get(name)
            .is_some_and(|found| found.as_bytes().eq_ignore_ascii_case(value.as_bytes()))
    };
    // RFC 6455 4.1, the client's checks 2 to 6; we asked for no extension and no subprotocol.
    let accept = derive_accept_key(key.as_bytes());
    if !says("upgrade", "websocket")
        || !says("connection", "upgrade")
        || headers.get("sec-websocket-accept").is_none_or(|found| *found != *accept)
        || headers.contains_key("sec-websocket-extensions")
        || headers.contains_key("sec-websocket-protocol")
    {
        return Err(refused("the server's answer is no WebSocket upgrade".into()));
    }
    Ok(read)
}

/// Reads up to the blank line and takes the head off `read`. The inner error is the peer's fault.
async fn head<T: TryParse, S: AsyncRead + Unpin>(
    stream: &mut S,
    read: &mut BytesMut,
    limits: &Limits,
) -> Result<Result<T, String>, Error> {
    const BLANK: &[u8] = b"\r\n\r\n";
    let mut searched: usize = 0;
    let end = loop {
        // The blank line may straddle two reads.
        let from = searched.saturating_sub(BLANK.len() - 1);
        if let Some(at) = read[from..].windows(BLANK.len()).position(|window| window == BLANK) {
            break from + at + BLANK.len();
        }
        searched = read.len();
        if searched >= limits.max_head {
            return Ok(Err("the HTTP head is too large".into()));
        }
        // From little: a head that is begun and never ended is to cost no more than a socket does.
        if read.len() == read.capacity() {
            read.reserve(read.len().max(HEAD));
        }
        if stream.read_buf(read).await? == 0 {
            return Err(Error::Handshake("the peer hung up".into()));
        }
    };
    let parsed = T::try_parse(&read[..end]);
    // A long head is not kept.
    buffer::skip(read, end, 0);
    Ok(match parsed {
        Ok(Some((_, head))) => Ok(head),
        Ok(None) => Err("the HTTP head is incomplete".into()),
        Err(error) => Err(error.to_string()),
    })
}
