//! What happens at the doors, counted for the operator: by connection, never by message.

use mqlib::quit::Quit;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use wsstream::Framing;

/// What a connection speaks: its framing, and whether under TLS.
pub(crate) type Speech = (Framing, bool);

/// All that a connection may speak.
const SPEECHES: [Speech; 4] = [
    (Framing::Raw, false),
    (Framing::Raw, true),
    (Framing::WebSocket, false),
    (Framing::WebSocket, true),
];

/// The handshakes there are.
const HANDSHAKES: [&str; 2] = ["tls", "websocket"];

/// The counts. Links and broker write into it, whoever asks reads.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// By what they speak, connections that have shaken hands: now, and ever.
    links: [(AtomicU64, AtomicU64); SPEECHES.len()],
    failed: [AtomicU64; HANDSHAKES.len()],
    rare: Mutex<Rare>,
}

/// What happens once in the life of a connection, and mostly not at all.
#[derive(Debug)]
struct Rare {
    quits: BTreeMap<&'static str, u64>,
    limits: BTreeMap<&'static str, u64>,
}

/// A limit of the doors, by its name in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DoorLimit {
    Connections,
    ConnectionsPerAddress,
    HandshakeTimeout,
    LoginTimeout,
    Ping,
    MaxMessage,
}

impl DoorLimit {
    const ALL: [Self; 6] = [
        Self::Connections,
        Self::ConnectionsPerAddress,
        Self::HandshakeTimeout,
        Self::LoginTimeout,
        Self::Ping,
        Self::MaxMessage,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Connections => "limits.connections",
            Self::ConnectionsPerAddress => "limits.connections_per_address",
            Self::HandshakeTimeout => "limits.handshake_timeout_s",
            Self::LoginTimeout => "limits.login_timeout_s",
            Self::Ping => "limits.ping_s",
            Self::MaxMessage => "limits.max_message_mib",
        }
    }

    /// The limit behind a quit.
    fn of(quit: &Quit) -> Option<Self> {
        Some(match quit {
            Quit::TooManyConnections => Self::Connections,
            Quit::TooManyFromAddress => Self::ConnectionsPerAddress,
            Quit::LoginTimeout => Self::LoginTimeout,
            Quit::MessageTooLarge => Self::MaxMessage,
            _ => return None,
        })
    }
}

impl Default for Ledger {
    fn default() -> Self {
        let none = |name| (name, 0);
        let rare = Rare {
            quits: Quit::REASONS.into_iter().map(none).collect(),
            limits: DoorLimit::ALL.into_iter().map(DoorLimit::name).map(none).collect(),
        };
        Self { links: Default::default(), failed: Default::default(), rare: Mutex::new(rare) }
    }
}

/// A connection that has shaken hands, until it is dropped.
#[derive(Debug)]
pub(crate) struct Present<'a>(&'a AtomicU64);

impl Drop for Present<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Ledger {
    /// A connection has shaken hands.
    pub(crate) fn enter(&self, speech: Speech) -> Present<'_> {
        let at = SPEECHES.iter().position(|known| *known == speech).unwrap_or_default();
        let (now, ever) = &self.links[at];
        now.fetch_add(1, Ordering::Relaxed);
        ever.fetch_add(1, Ordering::Relaxed);
        Present(now)
    }

    /// A handshake has failed, of TLS or else the WebSocket's.
    pub(crate) fn failed(&self, is_tls: bool) {
        self.failed[usize::from(!is_tls)].fetch_add(1, Ordering::Relaxed);
    }

    /// A connection is ended with this last word.
    pub(crate) fn quit(&self, quit: &Quit) {
        let mut rare = self.rare();
        *rare.quits.entry(quit.reason()).or_default() += 1;
        if let Some(limit) = DoorLimit::of(quit) {
            *rare.limits.entry(limit.name()).or_default() += 1;
        }
    }

    /// A connection has met a limit.
    pub(crate) fn meet(&self, limit: DoorLimit) {
        *self.rare().limits.entry(limit.name()).or_default() += 1;
    }

    /// Connections by what they speak: how many there are, and were ever.
    pub(crate) fn links(&self) -> impl Iterator<Item = (Speech, u64, u64)> {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        SPEECHES
            .into_iter()
            .zip(&self.links)
            .map(move |(speech, (now, ever))| (speech, load(now), load(ever)))
    }

    /// Handshakes that failed, by their kind.
    pub(crate) fn handshakes_failed(&self) -> impl Iterator<Item = (&'static str, u64)> {
        HANDSHAKES.into_iter().zip(self.failed.iter().map(|count| count.load(Ordering::Relaxed)))
    }

    /// Last words, by their reasons.
    pub(crate) fn quits(&self) -> BTreeMap<&'static str, u64> {
        self.rare().quits.clone()
    }

    /// How often each limit was met.
    pub(crate) fn limits(&self) -> BTreeMap<&'static str, u64> {
        self.rare().limits.clone()
    }

    fn rare(&self) -> MutexGuard<'_, Rare> {
        self.rare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_counts_under_what_it_speaks_until_it_ends() {
        let ledger = Ledger::default();
        let count = || -> Vec<_> { ledger.links().map(|(_, now, ever)| (now, ever)).collect() };
        let one = ledger.enter((Framing::WebSocket, true));
        let _two = ledger.enter((Framing::Raw, false));
        assert_eq!(count(), [(1, 1), (0, 0), (0, 0), (1, 1)]);
        drop(one);
        assert_eq!(count(), [(1, 1), (0, 0), (0, 0), (0, 1)]);
    }

    #[test]
    fn a_quit_counts_under_its_reason_and_its_limit() {
        let ledger = Ledger::default();
        ledger.quit(&Quit::TooManyConnections);
        ledger.quit(&Quit::InvalidJson);
        ledger.meet(DoorLimit::Ping);
        let counted = |counts: BTreeMap<&'static str, u64>| -> Vec<_> {
            counts.into_iter().filter(|(_, count)| *count > 0).collect()
        };
        assert_eq!(ledger.quits().len(), Quit::REASONS.len());
        assert_eq!(counted(ledger.quits()), [("invalid_json", 1), ("too_many_connections", 1)]);
        assert_eq!(counted(ledger.limits()), [("limits.connections", 1), ("limits.ping_s", 1)]);
    }
}
