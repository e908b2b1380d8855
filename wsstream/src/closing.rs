//! The end of a link: who says what last.
//!
//! A socket closed with unread bytes in it resets the connection, and the peer may then lose what we
//! said last. So after our FIN we read, and throw away, until the peer's.

use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

use crate::link::{Codec, Link, Peer};
use crate::raw;

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Link<S> {
    /// Ends the link and returns when the socket is finished, at the latest after `wait`.
    ///
    /// We close first: what is queued, `last`, a close frame, FIN, then the peer's FIN is awaited;
    /// on a WebSocket our FIN follows the peer's close frame (RFC 6455 7.1.1). The peer closed
    /// first: its close frame is answered, `last` is not sent; a bare FIN is answered by ours.
    pub async fn close(mut self, last: Option<Bytes>, wait: Duration) {
        if self.peer == Peer::Lost {
            return;
        }
        let deadline = Instant::now() + wait;
        let _ = timeout_at(deadline, self.farewell(last)).await;
        finish(&mut self.stream, deadline).await;
    }

    async fn farewell(&mut self, last: Option<Bytes>) {
        let first = matches!(self.peer, Peer::Open | Peer::Unreadable);
        if first && let Some(last) = last {
            let _ = self.start_send(last);
        }
        if self.peer != Peer::Gone {
            match &mut self.codec {
                Codec::Raw(_) => self.out.put(raw::close()),
                Codec::WebSocket(ws) => ws.close(&mut self.out),
            }
        }
        let flushed = poll_fn(|cx| self.poll_flush(cx)).await;
        if matches!(self.codec, Codec::WebSocket(_)) && flushed.is_ok() {
            // Messages on their way are no longer ours.
            while let Some(Ok(_)) = self.message().await {}
        }
    }
}

/// FIN, then whatever comes until the peer's, at most until `deadline`.
pub(crate) async fn finish<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, deadline: Instant) {
    // Past the deadline too: it is polled once.
    let _ = timeout_at(deadline, stream.shutdown()).await;
    let drain = async {
        let mut scrap = [0; 1024];
        while matches!(stream.read(&mut scrap).await, Ok(1..)) {}
    };
    let _ = timeout_at(deadline, drain).await;
}
