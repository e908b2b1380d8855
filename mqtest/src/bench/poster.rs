//! The posting side of a client: what it posts next, to whom, and what it waits for.

use super::outbox::Outbox;
use super::stamp::Stamp;
use super::tally::Tally;
use super::template::Template;
use super::world::World;
use anyhow::Context;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::cell::Cell;
use std::ops::Range;
use std::rc::Rc;
use std::task::{self, Poll, ready};
use tokio::sync::mpsc::UnboundedReceiver;

/// When a poster posts.
#[derive(Debug)]
pub(crate) enum Pace {
    /// Whenever fewer than so many posts are in flight.
    Closed,
    /// At the times that come here.
    Open(UnboundedReceiver<u64>),
}

/// To whom it posts.
#[derive(Debug)]
pub(crate) enum Aim {
    /// Neighbours in a ring of `users`, beginning anywhere, the poster itself left out.
    Others { me: u32, users: u32, random: Box<StdRng> },
    /// One of the users after the other. The posters take turns by `next`, until there have been
    /// `most` posts.
    Spread { users: Range<u32>, next: Rc<Cell<u32>>, most: u32 },
    /// Whom the template says.
    Fixed,
}

impl Aim {
    /// Anybody else among `users`, the same ones in every run.
    pub(crate) fn others(me: u32, users: u32) -> Self {
        Self::Others { me, users, random: Box::new(StdRng::seed_from_u64(me.into())) }
    }
}

/// A poster.
#[derive(Debug)]
pub(crate) struct Poster {
    number: u32,
    template: Rc<Template>,
    fanout: u32,
    pace: Pace,
    aim: Aim,
    in_flight: usize,
    /// When the post was sent whose ack a slot waits for.
    slots: Vec<u64>,
    free: Vec<u32>,
    posts: u32,
}

impl Poster {
    /// A poster with this number among the posters, and at most `in_flight` posts unacked, of which
    /// each reaches `fanout` users.
    pub(crate) fn new(
        number: u32,
        template: Rc<Template>,
        fanout: u32,
        in_flight: usize,
        pace: Pace,
        aim: Aim,
    ) -> Self {
        Self {
            number,
            template,
            fanout,
            pace,
            aim,
            in_flight,
            slots: Vec::new(),
            free: Vec::new(),
            posts: 0,
        }
    }

    /// Posts that wait for an ack.
    fn waiting(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Whether it has nothing left to post, and nothing to wait for.
    pub(crate) fn is_done(&self) -> bool {
        let over = matches!(&self.aim, Aim::Spread { next, most, .. } if next.get() >= *most);
        over && self.waiting() == 0
    }

    /// Posts, if it is time for it; otherwise the task is woken when it is.
    pub(crate) fn poll_post(
        &mut self,
        cx: &mut task::Context<'_>,
        world: &World,
        tally: &mut Tally,
        now: u64,
        outbox: &mut Outbox,
    ) -> Poll<()> {
        let stop = !world.posting.get() || self.waiting() >= self.in_flight;
        // A client that waits here is woken when something reaches it: some are, while there is
        // anything on its way.
        let on_its_way = (tally.sent * u64::from(self.fanout)).saturating_sub(tally.received);
        if stop || on_its_way >= world.behind.get() {
            return Poll::Pending;
        }
        if matches!(&self.aim, Aim::Spread { next, most, .. } if next.get() >= *most) {
            return Poll::Pending;
        }
        let due = match &mut self.pace {
            Pace::Closed => None,
            Pace::Open(times) => match ready!(times.poll_recv(cx)) {
                Some(due) => Some(due),
                None => return Poll::Pending,
            },
        };
        // Only when it is certain that it posts: a number that is not used is missed in the end.
        let number = match &self.aim {
            Aim::Spread { next, .. } => next.replace(next.get() + 1),
            Aim::Others { .. } | Aim::Fixed => self.posts,
        };
        let sent = due.unwrap_or(now);
        self.posts += 1;
        tally.posted(due.map(|due| now.saturating_sub(due)));
        let slot = self.take_slot(sent);
        let stamp = Stamp { sent, poster: self.number, number };
        let out = outbox.put(self.template.len());
        match &mut self.aim {
            // Neighbours from a random place on are distinct, and cost one random number.
            Aim::Others { me, users, random } => {
                let (me, others) = (*me, *users - 1);
                let first = random.random_range(0..others);
                let to = (0..self.fanout).map(|nth| other((first + nth) % others, me));
                self.template.write(out, slot, stamp, to);
            }
            Aim::Spread { users, .. } => {
                let to = users.start + number % (users.end - users.start);
                self.template.write(out, slot, stamp, [to]);
            }
            Aim::Fixed => self.template.write(out, slot, stamp, []),
        }
        Poll::Ready(())
    }

    fn take_slot(&mut self, sent: u64) -> u32 {
        match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = sent;
                slot
            }
            None => {
                self.slots.push(sent);
                (self.slots.len() - 1) as u32
            }
        }
    }

    /// The ack for the post in a slot has come: when that post was sent.
    pub(crate) fn answered(&mut self, slot: u32) -> anyhow::Result<u64> {
        let sent = self.slots.get_mut(slot as usize).filter(|sent| **sent != FREE);
        let sent = sent.with_context(|| format!("an ack for slot {slot}, which waits for none"))?;
        self.free.push(slot);
        Ok(std::mem::replace(sent, FREE))
    }
}

/// In a slot that waits for no ack.
const FREE: u64 = u64::MAX;

/// The `nth` user that is not `me`.
fn other(nth: u32, me: u32) -> u32 {
    if nth < me { nth } else { nth + 1 }
}

#[cfg(test)]
mod tests {
    use super::super::common::Framing;
    use super::super::people::user;
    use super::super::seen::{self, Seen};
    use super::*;
    use bytes::Bytes;
    use mqlib::reply::{self, AckError};
    use mqlib::request::{Incoming, Request};
    use std::collections::HashSet;
    use std::task::Waker;

    fn poster(fanout: u32, in_flight: usize, pace: Pace, aim: Aim) -> Poster {
        let template = Rc::new(Template::new(fanout as usize, 16).unwrap());
        Poster::new(0, template, fanout, in_flight, pace, aim)
    }

    fn post(poster: &mut Poster, world: &World) -> Option<(String, Vec<String>)> {
        let mut cx = task::Context::from_waker(Waker::noop());
        let (mut tally, mut outbox) = (world.tally.borrow_mut(), Outbox::new(Framing::Raw));
        if poster.poll_post(&mut cx, world, &mut tally, 0, &mut outbox).is_pending() {
            assert!(outbox.is_empty());
            return None;
        }
        // Behind the head of an empty frame is the post.
        let frame = outbox.put(0);
        let post = Bytes::from(frame.split_off(frame.len() - 2 - poster.template.len()));
        let post = post.slice(..poster.template.len());
        let Ok(Request::Post { id, to, .. }) = Incoming::parse(&post).unwrap().request else {
            panic!("no post");
        };
        Some((id, to.into_iter().map(|(name, _)| name).collect()))
    }

    fn answer(poster: &mut Poster, id: &str) -> anyhow::Result<u64> {
        let Seen::Acked(slot) = seen::look(&reply::ack(id, true, AckError::Absent)).unwrap() else {
            panic!("no ack");
        };
        poster.answered(slot)
    }

    #[test]
    fn a_closed_loop_waits_for_its_acks() {
        let world = World::new(2, 1).unwrap();
        let mut poster = poster(1, 2, Pace::Closed, Aim::others(0, 2));
        let (first, _) = post(&mut poster, &world).unwrap();
        let (second, _) = post(&mut poster, &world).unwrap();
        assert_eq!(post(&mut poster, &world), None);
        answer(&mut poster, &second).unwrap();
        let (third, _) = post(&mut poster, &world).unwrap();
        assert_eq!(post(&mut poster, &world), None);
        answer(&mut poster, &first).unwrap();
        answer(&mut poster, &third).unwrap();
        assert!(answer(&mut poster, &third).is_err());
        assert_eq!(HashSet::from([first, second, third]).len(), 3);
        world.posting.set(false);
        assert_eq!(post(&mut poster, &world), None);
    }

    #[test]
    fn nobody_posts_while_too_much_is_on_its_way() {
        let world = World::new(4, 1).unwrap();
        world.behind.set(5);
        let mut poster = poster(3, 100, Pace::Closed, Aim::others(0, 4));
        assert!(post(&mut poster, &world).is_some());
        assert!(post(&mut poster, &world).is_some());
        assert_eq!(post(&mut poster, &world), None);
        let stamp = Stamp { sent: 0, poster: 0, number: 0 };
        for receiver in [1, 2] {
            world.tally.borrow_mut().received(receiver, stamp, 0).unwrap();
        }
        assert!(post(&mut poster, &world).is_some());
    }

    #[test]
    fn recipients_are_distinct_others_and_all_have_their_turn() {
        let world = World::new(5, 1).unwrap();
        for fanout in [1, 3, 4] {
            let mut poster = poster(fanout, 1000, Pace::Closed, Aim::others(2, 5));
            let mut all = HashSet::new();
            for _ in 0..200 {
                let (_, to) = post(&mut poster, &world).unwrap();
                assert_eq!(HashSet::<&String>::from_iter(&to).len(), fanout as usize);
                all.extend(to);
            }
            assert_eq!(all, [0, 1, 3, 4].map(user).into());
        }
    }

    #[test]
    fn posters_that_take_turns_spread_a_number_of_posts() {
        let world = World::new(3, 2).unwrap();
        let next = Rc::new(Cell::new(0));
        let aim = || Aim::Spread { users: 10..13, next: next.clone(), most: 7 };
        let mut posters = [0, 1].map(|_| poster(1, 100, Pace::Closed, aim()));
        let mut to = Vec::new();
        let mut ids = Vec::new();
        for turn in 0..7 {
            let (id, names) = post(&mut posters[turn % 2], &world).unwrap();
            to.extend(names);
            ids.push((turn % 2, id));
        }
        assert_eq!(to, [10, 11, 12, 10, 11, 12, 10].map(user));
        for (who, id) in ids {
            assert_eq!(post(&mut posters[who], &world), None);
            assert!(!posters[who].is_done());
            answer(&mut posters[who], &id).unwrap();
        }
        assert!(posters.iter().all(Poster::is_done));
    }

    #[test]
    fn an_open_loop_posts_when_it_is_told() {
        let world = World::new(2, 1).unwrap();
        let (tx, rx) = tokio::sync::mpsc::unbounded_channel();
        let mut poster = poster(1, 10, Pace::Open(rx), Aim::others(0, 2));
        assert_eq!(post(&mut poster, &world), None);
        tx.send(123).unwrap();
        let (id, _) = post(&mut poster, &world).unwrap();
        assert_eq!(post(&mut poster, &world), None);
        assert_eq!(answer(&mut poster, &id).unwrap(), 123);
    }
}
