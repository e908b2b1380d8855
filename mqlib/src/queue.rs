//! One online node's queue: what waits, what is in flight, and what comes next.
//!
//! A node that is offline has no queue in memory; its messages are in the store. When it logs in,
//! the store lists them, oldest first, and from then on what is committed for the node is appended.
//! A queue that grows long is cut: the rest stays in the store, to be listed when its turn comes.
//! Bodies are kept for the first few; others are read when they are about to be sent, and none is
//! kept that was sent: what has to be sent again is read again.
//!
//! A link takes only so much before its socket has taken it: behind it everything waits in the
//! store. Every few deliveries there is a mark, and the link tells when it has passed it. When a
//! delivery is not acked in time, most of what is known of the queue is forgotten, too; a node that
//! acks in time has more in hand.
//!
//! In version 2 what was acked keeps its place in the window until the store has made that durable,
//! which a queue asks for before it runs out of places.

mod flight;
#[cfg(test)]
mod tests;

use crate::id::MessageId;
use crate::limits::Limits;
use crate::node::NodeId;
use crate::request::Version;
use bytes::Bytes;
use flight::{Flight, Place};
use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

/// A message that waits for this node.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) id: MessageId,
    /// Only one node of the user is to have it.
    pub(crate) to_one: bool,
    /// The message, if it is still in memory.
    pub(crate) message: Option<Bytes>,
    /// When its request was read, if the node was online then.
    pub(crate) read: Option<Duration>,
}

/// A message that waits, and whether it is being read ahead of its turn.
#[derive(Debug)]
struct Waiting {
    item: Item,
    ahead: Ahead,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ahead {
    No,
    /// It is being read.
    Asked,
    /// It was read, and there was no room for it. It is read again when its turn comes.
    NoRoom,
}

/// How many messages are read ahead: as many as keep the way to the disk and back from being felt.
const READ_AHEAD: usize = 32;

/// How many messages a queue knows that is not read.
const REMEMBERED: usize = READ_AHEAD;

/// How many times as much a node has in memory, and its link in its hands, that acks what it gets.
const PROMPT: usize = 4;

/// What is to be done for the queue to go on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Send a message that was sent so often on this connection before; if never, with when its
    /// request was read, if the node was online then.
    Send { message: Bytes, redelivered: u32, read: Option<Duration> },
    /// Read a message.
    Read(MessageId, bool),
    /// List what comes after an id.
    List(MessageId),
    /// Ask the link to tell when it has written what was sent, so many bytes since the last mark.
    Mark(usize),
    /// Make the acks durable that there were so far.
    Settle,
}

/// A message that its node is done with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Acked {
    /// It was for one node only.
    pub(crate) to_one: bool,
    /// Its length in bytes.
    pub(crate) len: usize,
}

/// How long a delivery waits for its ack: at first, and at most after ever longer waits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    pub(crate) first: Duration,
    pub(crate) most: Duration,
}

impl Patience {
    /// When a delivery is due again that was sent so often, lastly at `at`.
    fn after(self, at: Duration, sent: u32) -> Duration {
        let factor = 1 << sent.saturating_sub(1).min(16);
        at + self.first.saturating_mul(factor).min(self.most)
    }
}

/// What comes behind `pending`.
#[derive(Debug)]
enum Tail {
    /// Nothing: what is committed is appended.
    None,
    /// More, in the store.
    Stored,
    /// More, being listed; what was committed, and removed, since that began.
    Listing { committed: Vec<Item>, removed: HashSet<MessageId> },
}

/// The node that has taken each message for one node.
pub(crate) type Owners = HashMap<MessageId, NodeId>;

/// A queue.
#[derive(Debug)]
pub(crate) struct Queue {
    node: NodeId,
    version: Version,
    window: usize,
    patience: Patience,
    pending: VecDeque<Waiting>,
    /// Bytes of messages in `pending`.
    warm: usize,
    flights: VecDeque<Flight>,
    /// How many of them are to be sent, now or when they are read.
    unsent: usize,
    /// Bytes of those that were sent.
    flying: usize,
    /// Bytes handed to the link that its socket has not taken, as far as it has told.
    unwritten: usize,
    /// How many of them came after the last mark.
    unmarked: usize,
    /// How many messages are being read.
    reading: usize,
    /// The length of the message that was read last, which those being read may have, too.
    read_len: usize,
    /// The node acks what it gets in time.
    prompt: bool,
    /// How many were acked since acks were last asked to be made durable; not counted in version 1.
    acked: usize,
    /// How many acks are being made durable.
    settling: Option<usize>,
    tail: Tail,
    /// The latest that was ever pending.
    last: MessageId,
}

impl Queue {
    /// The queue of a node that has just logged in: all is in the store. What it acked before it left
    /// may not be durable yet. In version 1 a place is free with the ack: the order of what it is sent
    /// is the original's, and a window of one would wait for the disk each time.
    pub(crate) fn new(node: NodeId, version: Version, patience: Patience) -> Self {
        let (window, acked) = match version {
            Version::V1 => (1, 0),
            Version::V2 { window } => (window, window),
        };
        Self {
            node,
            version,
            window,
            patience,
            pending: VecDeque::new(),
            warm: 0,
            flights: VecDeque::new(),
            unsent: 0,
            flying: 0,
            unwritten: 0,
            unmarked: 0,
            reading: 0,
            read_len: usize::MAX,
            prompt: false,
            acked,
            settling: None,
            tail: Tail::Stored,
            last: MessageId::ZERO,
        }
    }

    /// A message was committed for this node.
    pub(crate) fn push(&mut self, item: Item, limits: &Limits) {
        match &mut self.tail {
            Tail::None if self.pending.len() >= limits.pending => self.tail = Tail::Stored,
            Tail::None => self.append(item, limits),
            Tail::Stored => {}
            Tail::Listing { committed, .. } => {
                // Bodies would pile up; it is read when its turn comes.
                committed.push(Item { message: None, ..item });
                if committed.len() > limits.pending {
                    // The listing cannot be trusted to be complete any more: it will be repeated.
                    committed.truncate(0);
                    self.tail = Tail::Stored;
                }
            }
        }
    }

    fn append(&mut self, mut item: Item, limits: &Limits) {
        let size = item.message.as_ref().map_or(0, Bytes::len);
        if self.link_takes(limits) && self.warm + size <= self.most(limits.warm) {
            self.warm += size;
        } else {
            item.message = None;
        }
        self.last = self.last.max(item.id);
        self.pending.push_back(Waiting { item, ahead: Ahead::No });
    }

    /// The store has listed what waits behind `last`: all, or all up to `end`.
    pub(crate) fn listed(
        &mut self,
        found: Vec<(MessageId, bool)>,
        end: Option<MessageId>,
        limits: &Limits,
    ) {
        let tail = std::mem::replace(&mut self.tail, Tail::None);
        let Tail::Listing { committed, removed } = tail else {
            // Given up meanwhile.
            self.tail = tail;
            return;
        };
        let item = |(id, to_one)| Item { id, to_one, message: None, read: None };
        let mut items: Vec<Item> = found.into_iter().map(item).collect();
        items.extend(committed.into_iter().filter(|item| end.is_none_or(|end| item.id <= end)));
        items.sort_unstable_by_key(|item| item.id);
        items.dedup_by_key(|item| item.id);
        let after = self.last;
        for item in items {
            let in_flight = self.flights.iter().any(|flight| flight.id == item.id);
            if item.id > after && !in_flight && !removed.contains(&item.id) {
                self.append(item, limits);
            }
        }
        // Where a listing ends is known even if nothing of it is left.
        self.last = self.last.max(end.unwrap_or(MessageId::ZERO));
        if end.is_some() {
            self.tail = Tail::Stored;
        }
    }

    /// What is to be done next, if anything.
    pub(crate) fn next(
        &mut self,
        now: Duration,
        owners: &mut Owners,
        limits: &Limits,
    ) -> Option<Step> {
        if self.unmarked >= (self.most(limits.unwritten) / 2).max(1) {
            return Some(Step::Mark(std::mem::take(&mut self.unmarked)));
        }
        if !self.link_takes(limits) {
            return None;
        }
        if let Some(step) = self.send_ready(now).or_else(|| self.read_due(limits)) {
            return Some(step);
        }
        if self.may_fly(limits)
            && let Some(item) = self.take(owners)
        {
            let Waiting { item: Item { id, to_one, message, read }, ahead } = item;
            let (place, step) = match (message, ahead) {
                (Some(message), _) => (Place::Ready(message), None),
                (None, Ahead::Asked) => (Place::Reading, None),
                (None, _) => (Place::Reading, Some(self.read(id, to_one))),
            };
            self.unsent += 1;
            let (sent_at, sent, len) = (None, 0, 0);
            self.flights.push_back(Flight { id, to_one, place, sent_at, sent, len, read });
            return step.or_else(|| self.send_ready(now));
        }
        // What cannot be sent anyway need not be known.
        let wanted = self.flights.is_empty() || self.has_room(limits);
        if wanted && self.pending.is_empty() && matches!(self.tail, Tail::Stored) {
            self.tail = Tail::Listing { committed: Vec::new(), removed: HashSet::new() };
            return Some(Step::List(self.last));
        }
        self.read_ahead(limits).or_else(|| self.settle())
    }

    /// May more be handed to the link? If not, a mark is on its way that will tell.
    fn link_takes(&self, limits: &Limits) -> bool {
        self.unwritten < self.most(limits.unwritten).max(1)
    }

    /// A limit, or what a node gets of it that acks in time: a slow reader is to cost little, and a
    /// quick one is not to wait for marks.
    fn most(&self, limit: usize) -> usize {
        if self.prompt { limit.saturating_mul(PROMPT) } else { limit }
    }

    /// The link has written what was sent up to a mark.
    pub(crate) fn written(&mut self, bytes: usize) {
        self.unwritten = self.unwritten.saturating_sub(bytes);
    }

    /// Has the window room for another message, by number and by bytes?
    fn has_room(&self, limits: &Limits) -> bool {
        self.has_place() && self.flying < limits.flying
    }

    /// Has the window a place that is free? What was acked keeps its place until that is durable, so
    /// that no more than a window comes again after a crash.
    fn has_place(&self) -> bool {
        self.flights.len() + self.acked + self.settling.unwrap_or_default() < self.window
    }

    /// May another message enter the window now?
    fn may_fly(&self, limits: &Limits) -> bool {
        if self.flights.is_empty() {
            return self.has_place();
        }
        // A message that must be read for it is one more being read.
        let warm = self.pending.front().is_some_and(|next| next.item.message.is_some());
        self.has_room(limits) && (warm || self.may_read(limits))
    }

    /// Has acks made durable whose places are needed, before the last is taken.
    fn settle(&mut self) -> Option<Step> {
        let waits = !self.pending.is_empty() || !matches!(self.tail, Tail::None);
        let needed = self.acked * 2 >= self.window || !self.has_place();
        if !waits || !needed || self.acked == 0 || self.settling.is_some() {
            return None;
        }
        self.settling = Some(std::mem::take(&mut self.acked));
        Some(Step::Settle)
    }

    /// The acks that were to be made durable are.
    pub(crate) fn settled(&mut self) {
        self.settling = None;
    }

    /// May another message be read, besides those that are? Of unknown length only one is.
    fn may_read(&self, limits: &Limits) -> bool {
        self.reading == 0
            || self.reading < READ_AHEAD
                && self.reading.saturating_mul(self.read_len) < self.most(limits.warm)
    }

    fn read(&mut self, id: MessageId, to_one: bool) -> Step {
        self.reading += 1;
        Step::Read(id, to_one)
    }

    /// Reads the first message that is due to be sent again.
    fn read_due(&mut self, limits: &Limits) -> Option<Step> {
        if self.unsent == 0 || !self.may_read(limits) {
            return None;
        }
        let flight = self.flights.iter_mut().find(|flight| matches!(flight.place, Place::Due))?;
        flight.place = Place::Reading;
        let (id, to_one) = (flight.id, flight.to_one);
        Some(self.read(id, to_one))
    }

    /// Reads one of the next messages before its turn comes.
    fn read_ahead(&mut self, limits: &Limits) -> Option<Step> {
        if self.warm >= self.most(limits.warm) || !self.may_read(limits) {
            return None;
        }
        let cold =
            |waiting: &&mut Waiting| waiting.item.message.is_none() && waiting.ahead == Ahead::No;
        let waiting = self.pending.iter_mut().take(READ_AHEAD).find(cold)?;
        waiting.ahead = Ahead::Asked;
        let (id, to_one) = (waiting.item.id, waiting.item.to_one);
        Some(self.read(id, to_one))
    }

    /// Sends the first message in flight that is read and has nothing unsent before it.
    fn send_ready(&mut self, now: Duration) -> Option<Step> {
        if self.unsent == 0 {
            return None;
        }
        // Mostly it is the newest that is unsent, and alone.
        let flight = match self.flights.back_mut() {
            Some(_) if self.unsent > 1 => None,
            newest => newest.filter(|flight| flight.place.is_unsent()),
        };
        let flight = match flight {
            Some(flight) => flight,
            None => self.flights.iter_mut().find(|flight| flight.place.is_unsent())?,
        };
        let place = std::mem::replace(&mut flight.place, Place::Sent);
        let Place::Ready(message) = place else {
            flight.place = place;
            return None;
        };
        flight.sent_at = Some(now);
        let redelivered = flight.sent;
        flight.sent = flight.sent.saturating_add(1);
        self.unsent -= 1;
        self.flying = self.flying - flight.len + message.len();
        self.unwritten += message.len();
        self.unmarked += message.len();
        flight.len = message.len();
        Some(Step::Send { message, redelivered, read: flight.read.take() })
    }

    /// The first pending message that no other node has taken.
    fn take(&mut self, owners: &mut Owners) -> Option<Waiting> {
        let node = self.node;
        let free = |Waiting { item, .. }: &Waiting| {
            !item.to_one || owners.get(&item.id).is_none_or(|owner| *owner == node)
        };
        let position = self.pending.iter().position(free)?;
        let waiting = self.take_out(position)?;
        if waiting.item.to_one {
            owners.insert(waiting.item.id, node);
        }
        Some(waiting)
    }

    fn take_out(&mut self, position: usize) -> Option<Waiting> {
        let waiting = self.pending.remove(position)?;
        self.warm -= waiting.item.message.as_ref().map_or(0, Bytes::len);
        Some(waiting)
    }

    /// A message that was to be read is there, or gone.
    pub(crate) fn loaded(
        &mut self,
        id: MessageId,
        message: Option<Bytes>,
        owners: &mut Owners,
        limits: &Limits,
    ) {
        self.reading = self.reading.saturating_sub(1);
        self.read_len = message.as_ref().map_or(self.read_len, Bytes::len);
        let reading = |flight: &Flight| flight.id == id && matches!(flight.place, Place::Reading);
        if let Some(position) = self.flights.iter().position(reading) {
            match message {
                Some(message) => self.flights[position].place = Place::Ready(message),
                None => {
                    self.take_down(position);
                    if owners.get(&id) == Some(&self.node) {
                        owners.remove(&id);
                    }
                }
            }
            return;
        }
        let asked = |waiting: &Waiting| waiting.item.id == id && waiting.ahead == Ahead::Asked;
        let Some(position) = self.pending.iter().take(READ_AHEAD).position(asked) else { return };
        match message {
            Some(message) if self.warm + message.len() <= self.most(limits.warm) => {
                self.warm += message.len();
                let waiting = &mut self.pending[position];
                waiting.item.message = Some(message);
                waiting.ahead = Ahead::No;
            }
            Some(_) => self.pending[position].ahead = Ahead::NoRoom,
            None => drop(self.take_out(position)),
        }
    }

    /// The node acks a message. `Some` if it was in flight.
    pub(crate) fn ack(&mut self, id: MessageId) -> Option<Acked> {
        let sent = |flight: &Flight| flight.id == id && flight.sent_at.is_some();
        let position = self.flights.iter().position(sent)?;
        // All is listed anew, what is in flight too.
        if let Tail::Listing { removed, .. } = &mut self.tail
            && id > self.last
        {
            removed.insert(id);
        }
        let flight = self.take_down(position)?;
        if matches!(flight.place, Place::Purged) {
            return None;
        }
        self.acked += usize::from(self.version != Version::V1);
        self.prompt = true;
        Some(Acked { to_one: flight.to_one, len: flight.len })
    }

    /// Takes a message out of the window; it may be about to be sent, or sent again.
    fn take_down(&mut self, position: usize) -> Option<Flight> {
        let flight = self.flights.remove(position)?;
        self.unsent -= usize::from(flight.place.is_unsent());
        self.flying -= flight.len;
        Some(flight)
    }

    /// Another node has acked a message that was for one node only.
    pub(crate) fn remove(&mut self, id: MessageId) {
        if let Some(position) = self.pending.iter().position(|waiting| waiting.item.id == id) {
            self.take_out(position);
        }
        if let Tail::Listing { committed, removed } = &mut self.tail {
            committed.retain(|item| item.id != id);
            removed.insert(id);
        }
    }

    /// A message is removed though nobody acked it. If it was sent, its ack will be ignored.
    pub(crate) fn purge(&mut self, id: MessageId) {
        if let Some(position) = self.flights.iter().position(|flight| flight.id == id) {
            let flight = &mut self.flights[position];
            if flight.sent_at.is_some() {
                self.unsent -= usize::from(flight.place.is_unsent());
                flight.place = Place::Purged;
            } else {
                self.take_down(position);
            }
        }
        self.remove(id);
    }

    /// When a message in flight is to be sent again.
    pub(crate) fn next_retry(&self) -> Option<Duration> {
        let due = |flight: &Flight| match flight.place {
            Place::Sent | Place::Purged => {
                flight.sent_at.map(|at| self.patience.after(at, flight.sent))
            }
            Place::Due | Place::Reading | Place::Ready(_) => None,
        };
        self.flights.iter().filter_map(due).min()
    }

    /// What was not acked in time is to be sent again. While the link takes no more it would only
    /// wait behind its first copy; then it is due later.
    pub(crate) fn retry(&mut self, now: Duration, limits: &Limits) {
        let (patience, takes) = (self.patience, self.link_takes(limits));
        let is_late = |flight: &Flight| {
            flight.sent_at.is_some_and(|at| patience.after(at, flight.sent) <= now)
        };
        let is_over = |flight: &Flight| matches!(flight.place, Place::Purged) && is_late(flight);
        while let Some(position) = self.flights.iter().position(is_over) {
            self.take_down(position);
        }
        let mut slow = false;
        for flight in &mut self.flights {
            if !is_late(flight) || !matches!(flight.place, Place::Sent) {
                continue;
            }
            slow = true;
            if takes {
                flight.place = Place::Due;
                self.unsent += 1;
            } else {
                flight.sent_at = Some(now);
            }
        }
        if slow {
            self.prompt = false;
            self.forget(takes);
        }
    }

    /// A slow reader costs disk, not memory: keeps no bodies, but of what its link takes at once, and
    /// only the first of what waits.
    fn forget(&mut self, takes: bool) {
        for flight in self.flights.iter_mut().filter(|_| !takes) {
            if matches!(flight.place, Place::Ready(_)) {
                flight.place = Place::Due;
            }
        }
        if self.pending.len() > REMEMBERED {
            self.pending.truncate(REMEMBERED);
            self.tail = Tail::Stored;
            self.last = self.pending.back().map_or(MessageId::ZERO, |waiting| waiting.item.id);
        }
        for waiting in &mut self.pending {
            waiting.item.message = None;
        }
        self.warm = 0;
        self.pending.shrink_to_fit();
    }

    /// What the node had taken for itself, and gives back when it leaves.
    pub(crate) fn taken(&self) -> impl Iterator<Item = MessageId> {
        self.flights.iter().filter(|flight| flight.to_one).map(|flight| flight.id)
    }

    /// Messages older than some that are known have come: all that waits is listed anew, but for
    /// what is in flight.
    pub(crate) fn relist(&mut self) {
        self.pending.clear();
        self.warm = 0;
        self.tail = Tail::Stored;
        self.last = MessageId::ZERO;
    }

    /// Is nothing waiting, nowhere?
    pub(crate) fn is_empty(&self) -> bool {
        self.pending.is_empty() && self.flights.is_empty() && matches!(self.tail, Tail::None)
    }
}
