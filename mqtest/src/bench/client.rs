//! One link and the task that owns it.
//!
//! A turn reads all that is there, acks what was delivered, posts what may be posted, and sends all
//! of it in one go.

use super::dial::{Session, Wire};
use super::poster::Poster;
use super::seen::{self, Id, Seen};
use super::world::World;
use anyhow::{Context, bail};
use bytes::Bytes;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{self, Poll};
use std::time::Duration;

/// Messages read in a turn: then it is the next client's.
const TURN: usize = 256;
/// How long the server may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(2);

/// A client.
#[derive(Debug)]
pub(crate) struct Client {
    number: u32,
    session: Session,
    world: Rc<World>,
    /// How it posts, if it does.
    poster: Option<Poster>,
    /// It is done when it has received so many.
    until: Option<u64>,
    received: u64,
    /// Delivered in this turn.
    ids: Vec<Id>,
}

impl Client {
    /// A client that posts, for ever or until its poster is done.
    pub(crate) fn poster(
        number: u32,
        session: Session,
        world: Rc<World>,
        poster: Option<Poster>,
    ) -> Self {
        Self { number, session, world, poster, until: None, received: 0, ids: Vec::new() }
    }

    /// A client that is done when it has received so many.
    pub(crate) fn receiver(number: u32, session: Session, world: Rc<World>, until: u64) -> Self {
        Self {
            number,
            session,
            world,
            poster: None,
            until: Some(until),
            received: 0,
            ids: Vec::new(),
        }
    }

    /// Lives until it is done, and leaves.
    pub(crate) async fn live(mut self) -> anyhow::Result<()> {
        let lived = poll_fn(|cx| self.poll_turn(cx)).await;
        lived.with_context(|| format!("client {}", self.number))?;
        self.session.link.close(None, GOODBYE).await;
        Ok(())
    }

    fn is_done(&self) -> bool {
        let received = self.until.is_some_and(|until| self.received >= until);
        (received || self.poster.as_ref().is_some_and(Poster::is_done))
            && self.session.link.queued() == 0
    }

    fn poll_turn(&mut self, cx: &mut task::Context<'_>) -> Poll<anyhow::Result<()>> {
        let turn = self.turn(cx);
        match turn {
            Ok(()) if self.is_done() => Poll::Ready(Ok(())),
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    fn turn(&mut self, cx: &mut task::Context<'_>) -> anyhow::Result<()> {
        let link = &mut self.session.link;
        let mut tally = self.world.tally.borrow_mut();
        let mut read = 0;
        while let Poll::Ready(message) = link.poll_message(cx) {
            let message = message.context("the server has closed the link")??;
            let seen = seen::look(&message)?;
            let now = self.world.clock.now();
            match seen {
                Seen::Delivered(id, stamp) => {
                    self.ids.push(id);
                    self.received += u64::from(tally.received(self.number, stamp, now)?);
                }
                Seen::Acked(slot) => {
                    let sent = answered(&mut self.poster, slot)?;
                    tally.acked(sent, now);
                }
                Seen::Refused(slot, text) => {
                    answered(&mut self.poster, slot)?;
                    tally.refused(text);
                }
            }
            read += 1;
            if read == TURN {
                cx.waker().wake_by_ref();
                break;
            }
        }
        drop(tally);
        send_acks(link, &mut self.ids)?;
        if let Some(poster) = &mut self.poster {
            while let Some(post) = poster.poll_post(cx, &self.world) {
                link.start_send(post)?;
            }
        }
        // What the socket does not take now, it wakes us for.
        if let Poll::Ready(flushed) = link.poll_flush(cx) {
            flushed?;
        }
        Ok(())
    }
}

fn answered(poster: &mut Option<Poster>, slot: u32) -> anyhow::Result<u64> {
    match poster {
        Some(poster) => poster.answered(slot),
        None => bail!("an ack for a client that posts nothing"),
    }
}

fn send_acks(link: &mut Wire, ids: &mut Vec<Id>) -> anyhow::Result<()> {
    for id in ids.drain(..) {
        link.start_send(ack(&id))?;
    }
    Ok(())
}

fn ack(id: &Id) -> Bytes {
    let mut message = Vec::with_capacity(80);
    message.extend_from_slice(br#"40  {"op":"ack","type":"ok","id":""#);
    message.extend_from_slice(id);
    message.extend_from_slice(b"\"}");
    message.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use mqlib::id::MessageId;
    use mqlib::request::{Incoming, Request};

    #[test]
    fn an_ack_is_what_the_server_knows() {
        let id = MessageId::from_bits(0xabc);
        let request = Incoming::parse(&ack(&id.text())).unwrap().request;
        assert_eq!(request, Ok(Request::Ack { ids: vec![id], ok: true }));
    }
}
