//! Requests on their way: in the order of submission, kept until the server settles them.

use crate::error::Error;
use crate::request::Request;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// How many requests may be on a link before one of them is acked. Far fewer than the 4,096 of which
/// a server of version 2 knows a repeat: all of them may have to be sent again.
pub(super) const IN_FLIGHT: usize = 1024;

#[derive(Debug)]
struct Entry {
    message: Bytes,
    /// Confirmed by a queued `registered`, not by an ack: version 1 acks no change of aliases.
    aliases: bool,
    needs_v2: bool,
    /// One that the first servers of version 2 do not know either.
    newer: bool,
    /// Is it in the outbox on disk, or on its way there?
    stored: bool,
    /// May it be sent? Not before it is in the outbox on disk, if it belongs there.
    ready: bool,
    /// It was given to a link, this one or an earlier.
    attempted: bool,
    deadline: Option<Instant>,
}

#[derive(Debug, Default)]
pub(super) struct Unacked {
    entries: BTreeMap<u64, Entry>,
    bytes: usize,
    last_id: u64,
    /// The last id that was sent on the present link.
    sent: u64,
    /// How many of the entries that is.
    in_flight: usize,
    /// Those of the entries that have one, the earliest first.
    deadlines: BTreeSet<(Instant, u64)>,
}

/// What is known of an entry that was taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) id: u64,
    pub(super) size: usize,
    pub(super) stored: bool,
    pub(super) attempted: bool,
}

impl Unacked {
    /// None yet; the next one's id follows `last_id`.
    pub(super) fn after(last_id: u64) -> Self {
        Self { last_id, ..Self::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The id that the next entry will have.
    pub(super) fn next_id(&self) -> u64 {
        self.last_id + 1
    }

    /// A new one; `stored` if it waits until it is in the outbox on disk.
    pub(super) fn push(
        &mut self,
        message: Bytes,
        request: &Request,
        stored: bool,
        deadline: Option<Instant>,
    ) {
        self.last_id += 1;
        let aliases = matches!(request, Request::Aliases(_));
        let needs_v2 = request.needs_v2();
        let newer = matches!(request, Request::Status | Request::DropNode(_));
        let (ready, attempted) = (!stored, false);
        let entry = Entry { message, aliases, needs_v2, newer, stored, ready, attempted, deadline };
        self.insert(self.last_id, entry);
    }

    /// A post that an earlier session left in the outbox on disk.
    pub(super) fn restore(&mut self, id: u64, message: Bytes, deadline: Option<Instant>) {
        self.last_id = self.last_id.max(id);
        let (stored, ready, attempted) = (true, true, true);
        let (aliases, needs_v2, newer) = (false, false, false);
        let entry = Entry { message, aliases, needs_v2, newer, stored, ready, attempted, deadline };
        self.insert(id, entry);
    }

    fn insert(&mut self, id: u64, entry: Entry) {
        self.bytes += entry.message.len();
        self.deadlines.extend(entry.deadline.map(|deadline| (deadline, id)));
        self.entries.insert(id, entry);
    }

    /// It is in the outbox on disk, and may be sent.
    pub(super) fn make_ready(&mut self, id: u64) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.ready = true;
        }
    }

    /// The next to send on this link.
    pub(super) fn poll_transmit(&mut self) -> Option<Bytes> {
        if self.in_flight >= IN_FLIGHT {
            return None;
        }
        // One that is not ready holds up those behind it: their order is promised.
        let next = self.entries.range_mut(self.sent + 1..).next();
        let (&id, entry) = next.filter(|(_, entry)| entry.ready)?;
        entry.attempted = true;
        self.sent = id;
        self.in_flight += 1;
        Some(entry.message.clone())
    }

    /// When the next one is too late.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|&(deadline, _)| deadline)
    }

    /// Takes out one whose deadline has come.
    pub(super) fn take_late(&mut self, now: Instant) -> Option<Taken> {
        let &(_, id) = self.deadlines.first().filter(|&&(deadline, _)| deadline <= now)?;
        self.settle(id)
    }

    /// Does the server owe an ack? One for new aliases may wait behind messages that the
    /// application does not ack, so it is not owed.
    pub(super) fn expects_ack(&self) -> bool {
        self.entries.range(..=self.sent).any(|(_, entry)| !entry.aliases)
    }

    /// A new link: everything is sent again. Returns how many of them were sent before.
    pub(super) fn send_again(&mut self) -> usize {
        self.sent = 0;
        std::mem::take(&mut self.in_flight)
    }

    /// Takes out an entry, if there is one of that id.
    pub(super) fn settle(&mut self, id: u64) -> Option<Taken> {
        let Entry { message, stored, attempted, deadline, .. } = self.entries.remove(&id)?;
        self.bytes -= message.len();
        self.in_flight -= usize::from(id <= self.sent);
        if let Some(deadline) = deadline {
            self.deadlines.remove(&(deadline, id));
        }
        Some(Taken { id, size: message.len(), stored, attempted })
    }

    /// Takes out the oldest change of aliases.
    pub(super) fn settle_aliases(&mut self) -> Option<Taken> {
        let id = self.entries.iter().find(|(_, entry)| entry.aliases).map(|(&id, _)| id)?;
        self.settle(id)
    }

    /// Takes out the largest of those sent on this link.
    pub(super) fn take_largest_sent(&mut self) -> Option<Taken> {
        let sent = self.entries.range(..=self.sent);
        let (_, id) = sent.map(|(&id, entry)| (entry.message.len(), id)).max()?;
        self.settle(id)
    }

    /// Takes out those sent on this link that a server may not know.
    pub(super) fn take_newer_sent(&mut self) -> Vec<Taken> {
        let sent = self.entries.range(..=self.sent).filter(|(_, entry)| entry.newer);
        let newer: Vec<u64> = sent.map(|(&id, _)| id).collect();
        newer.into_iter().filter_map(|id| self.settle(id)).collect()
    }

    /// Takes out those that the server at the other end would refuse, told from their size and from
    /// whether they need version 2.
    pub(super) fn take_unfit(
        &mut self,
        check: impl Fn(usize, bool) -> Result<(), Error>,
    ) -> Vec<(Taken, Error)> {
        let why = |entry: &Entry| check(entry.message.len(), entry.needs_v2).err();
        let unfit = self.entries.iter().filter_map(|(&id, entry)| Some((id, why(entry)?)));
        let unfit: Vec<_> = unfit.collect();
        unfit.into_iter().filter_map(|(id, why)| Some((self.settle(id)?, why))).collect()
    }

    /// Takes out everything.
    pub(super) fn clear(&mut self) -> impl Iterator<Item = u64> + use<> {
        self.bytes = 0;
        self.in_flight = 0;
        self.deadlines.clear();
        std::mem::take(&mut self.entries).into_keys()
    }
}
