//! One link and the task that owns it.
//!
//! A turn reads all that is there, acks what was delivered, posts what may be posted, and sends all
//! of it in one go. The clock is read once for what came with one read.

use super::ack;
use super::dial::Session;
use super::poster::Poster;
use super::seen::{self, Id, Seen};
use super::tally::Tally;
use super::world::World;
use anyhow::{Context, bail};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{self, Poll};

/// Messages read in a turn: then it is the next client's.
const TURN: usize = 256;

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
    /// When it read last.
    read_at: u64,
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
        let (received, read_at) = (0, world.clock.now());
        Self { number, session, world, poster, until: None, received, read_at, ids: Vec::new() }
    }

    /// A client that is done when it has received so many.
    pub(crate) fn receiver(number: u32, session: Session, world: Rc<World>, until: u64) -> Self {
        Self { until: Some(until), ..Self::poster(number, session, world, None) }
    }

    /// Lives until it is done, and leaves.
    pub(crate) async fn live(mut self) -> anyhow::Result<()> {
        let lived = poll_fn(|cx| self.poll_turn(cx)).await;
        lived.with_context(|| format!("client {}", self.number))?;
        self.session.wire.close().await;
        Ok(())
    }

    fn is_done(&self) -> bool {
        let received = self.until.is_some_and(|until| self.received >= until);
        (received || self.poster.as_ref().is_some_and(Poster::is_done))
            && self.session.wire.outbox.is_empty()
    }

    fn poll_turn(&mut self, cx: &mut task::Context<'_>) -> Poll<anyhow::Result<()>> {
        match self.turn(cx) {
            Ok(()) if self.is_done() => Poll::Ready(Ok(())),
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    fn turn(&mut self, cx: &mut task::Context<'_>) -> anyhow::Result<()> {
        let world = self.world.clone();
        let mut tally = world.tally.borrow_mut();
        let mut left = TURN;
        self.take(&mut tally, &mut left)?;
        while left > 0 && self.session.wire.poll_read(cx)?.is_ready() {
            self.read_at = world.clock.now();
            self.take(&mut tally, &mut left)?;
        }
        if left == 0 {
            cx.waker().wake_by_ref();
        }
        let Session { wire, protocol } = &mut self.session;
        if !self.ids.is_empty() {
            ack::put(&mut wire.outbox, *protocol, &self.ids);
            self.ids.clear();
        }
        if let Some(poster) = &mut self.poster {
            let now = world.clock.now();
            let outbox = &mut wire.outbox;
            while poster.poll_post(cx, &world, &mut tally, now, outbox).is_ready() {}
        }
        // What the socket does not take now, it wakes us for.
        if let Poll::Ready(flushed) = wire.poll_flush(cx) {
            flushed.context("the link is broken")?;
        }
        Ok(())
    }

    /// Takes the messages that were read, at most `left`.
    fn take(&mut self, tally: &mut Tally, left: &mut usize) -> anyhow::Result<()> {
        let now = self.read_at;
        while *left > 0
            && let Some(message) = self.session.wire.next()?
        {
            match seen::look(message)? {
                Seen::Delivered(id, stamp) => {
                    self.ids.push(id);
                    self.received += u64::from(tally.received(self.number, stamp, now)?);
                }
                Seen::Noticed(_) => bail!("news of a list that nobody has changed"),
                Seen::Acked(slot) => tally.acked(answered(&mut self.poster, slot)?, now),
                Seen::Refused(slot, text) => {
                    answered(&mut self.poster, slot)?;
                    tally.refused(text);
                }
            }
            *left -= 1;
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
