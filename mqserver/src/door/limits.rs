//! The limits of the door, by name: what a connection may cost before and besides its requests.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::time::Duration;

/// Files that a server has open besides its connections: journal, spool, listeners, and the
/// connections that are only told that there are too many.
const SPARE: u64 = 256;

/// How many connections there may be, and how long each may be silent. From `[limits]` in the
/// configuration.
#[derive(Debug, Clone)]
pub struct DoorLimits {
    /// Connections in all.
    pub connections: usize,
    /// Connections of one address; of IPv6, of one network of 64 bits.
    pub connections_per_address: usize,
    /// From the connection to the end of its TLS and HTTP handshakes.
    pub handshake_timeout: Duration,
    /// A WebSocket that was silent so long is pinged, and closed after as long again.
    pub ping: Duration,
    /// A peer whose system confirms nothing for so long is gone.
    pub dead_peer: Duration,
}

impl Default for DoorLimits {
    fn default() -> Self {
        Self {
            connections: 16_384,
            connections_per_address: 4_096,
            handshake_timeout: Duration::from_secs(10),
            ping: Duration::from_secs(30),
            dead_peer: Duration::from_secs(120),
        }
    }
}

impl DoorLimits {
    /// The limits with no more connections than this process may open files; it is allowed as many
    /// as they need, if the system lets it.
    pub(crate) fn within_open_files(mut self) -> Self {
        let wanted = self.connections as u64 + SPARE;
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        if current.is_some_and(|current| current < wanted) {
            let most = maximum.map_or(wanted, |maximum| maximum.min(wanted));
            // Refused, it stays as it is.
            let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum });
        }
        let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        if files < wanted {
            let most = files.saturating_sub(SPARE).max(files / 2) as usize;
            tracing::warn!(
                "limits.connections = {} is cut to {most}: the system allows this process {files} \
                 open files (LimitNOFILE, ulimit -n)",
                self.connections
            );
            self.connections = most;
        }
        self
    }
}
