//! Does the peer of a silent WebSocket still live?
//!
//! Once an interval it is looked whether anything came from the peer, or its system took anything of
//! ours, since the last look; so a link that is used costs a look and no more. If nothing did, the
//! peer is pinged, and if nothing comes by the next look, it is dead. A slow reader takes something
//! now and then, and lives.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep};
use wsstream::{Error, Framing, Link, Stream};

/// The pulse of one link.
#[derive(Debug)]
pub(crate) struct Pulse {
    interval: Duration,
    next: Pin<Box<Sleep>>,
    received: u64,
    sent: u64,
    pinged: bool,
}

impl Pulse {
    /// The pulse of a link that is new; the raw framing knows no pings.
    pub(crate) fn of(link: &Link<Stream>, interval: Duration) -> Option<Self> {
        (link.framing() == Framing::WebSocket).then(|| Self {
            interval,
            next: Box::pin(sleep(interval)),
            received: link.received(),
            sent: link.sent(),
            pinged: false,
        })
    }

    /// Ready when the peer is dead. `is_read`: we read what it sends, so silence is its own. After a
    /// ping the link is to be flushed.
    pub(crate) fn poll_dead(
        &mut self,
        cx: &mut Context<'_>,
        link: &mut Link<Stream>,
        is_read: bool,
    ) -> Poll<Result<(), Error>> {
        loop {
            ready!(self.next.as_mut().poll(cx));
            self.next.as_mut().reset(Instant::now() + self.interval);
            let alive = link.received() > self.received || link.sent() > self.sent || !is_read;
            if !alive && self.pinged {
                return Poll::Ready(Ok(()));
            }
            self.pinged = false;
            (self.received, self.sent) = (link.received(), link.sent());
            if !alive {
                let clogged = link.queued() > 0;
                link.start_ping()?;
                self.pinged = true;
                if !clogged {
                    // The socket takes the ping whether the peer lives or not.
                    self.sent += link.queued() as u64;
                    let _ = link.poll_flush(cx)?;
                }
            }
        }
    }
}
