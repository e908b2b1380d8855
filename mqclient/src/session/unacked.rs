//! Requests on their way: in the order of submission, kept until the server settles them.

use crate::error::Error;
use crate::request::Request;
use bytes::Bytes;
use std::collections::BTreeMap;

#[derive(Debug)]
struct Entry {
    message: Bytes,
    /// Confirmed by a queued `registered`, not by an ack: version 1 acks no change of aliases.
    aliases: bool,
    needs_v2: bool,
    /// One that the first servers of version 2 do not know either.
    newer: bool,
}

#[derive(Debug, Default)]
pub(super) struct Unacked {
    entries: BTreeMap<u64, Entry>,
    bytes: usize,
    last_id: u64,
    /// The last id that was sent on the present link.
    sent: u64,
}

impl Unacked {
    /// None yet; their ids begin far from those of other sessions.
    pub(super) fn beginning(first: u32) -> Self {
        // Exact in a float, as some read numbers; and room for a million of each.
        Self { last_id: u64::from(first) << 20, ..Self::default() }
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

    pub(super) fn push(&mut self, message: Bytes, request: &Request) {
        self.last_id += 1;
        self.bytes += message.len();
        let aliases = matches!(request, Request::Aliases(_));
        let newer = matches!(request, Request::Status | Request::DropNode(_));
        let entry = Entry { message, aliases, needs_v2: request.needs_v2(), newer };
        self.entries.insert(self.last_id, entry);
    }

    /// The next to send on this link.
    pub(super) fn poll_transmit(&mut self) -> Option<Bytes> {
        let (&id, entry) = self.entries.range(self.sent + 1..).next()?;
        self.sent = id;
        Some(entry.message.clone())
    }

    /// Does the server owe an ack? One for new aliases may wait behind messages that the
    /// application does not ack, so it is not owed.
    pub(super) fn expects_ack(&self) -> bool {
        self.entries.range(..=self.sent).any(|(_, entry)| !entry.aliases)
    }

    /// A new link: everything is sent again. Returns how many of them were sent before.
    pub(super) fn send_again(&mut self) -> usize {
        let again = self.entries.range(..=self.sent).count();
        self.sent = 0;
        again
    }

    /// Takes out an entry; false if there is none.
    pub(super) fn settle(&mut self, id: u64) -> bool {
        let entry = self.entries.remove(&id);
        self.bytes -= entry.as_ref().map_or(0, |entry| entry.message.len());
        entry.is_some()
    }

    /// Takes out the oldest change of aliases.
    pub(super) fn settle_aliases(&mut self) -> Option<u64> {
        let id = self.entries.iter().find(|(_, entry)| entry.aliases).map(|(&id, _)| id)?;
        self.settle(id);
        Some(id)
    }

    /// Takes out the largest of those sent on this link; its id and size.
    pub(super) fn take_largest_sent(&mut self) -> Option<(u64, usize)> {
        let sent = self.entries.range(..=self.sent);
        let (size, id) = sent.map(|(&id, entry)| (entry.message.len(), id)).max()?;
        self.settle(id);
        Some((id, size))
    }

    /// Takes out those sent on this link that a server may not know.
    pub(super) fn take_newer_sent(&mut self) -> Vec<u64> {
        let sent = self.entries.range(..=self.sent).filter(|(_, entry)| entry.newer);
        let newer: Vec<u64> = sent.map(|(&id, _)| id).collect();
        for id in &newer {
            self.settle(*id);
        }
        newer
    }

    /// Takes out those that the server at the other end would refuse, told from their size and from
    /// whether they need version 2.
    pub(super) fn take_unfit(
        &mut self,
        check: impl Fn(usize, bool) -> Result<(), Error>,
    ) -> Vec<(u64, Error)> {
        let why = |entry: &Entry| check(entry.message.len(), entry.needs_v2).err();
        let unfit = self.entries.iter().filter_map(|(&id, entry)| Some((id, why(entry)?)));
        let unfit: Vec<_> = unfit.collect();
        for (id, _) in &unfit {
            self.settle(*id);
        }
        unfit
    }

    /// Takes out everything.
    pub(super) fn clear(&mut self) -> impl Iterator<Item = u64> + use<> {
        self.bytes = 0;
        std::mem::take(&mut self.entries).into_keys()
    }
}
