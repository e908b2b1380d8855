//! Where to connect, as whom, and the client's limits.

use crate::address::Server;
use crate::login::Version;
use mqlib::request::{DEFAULT_WINDOW, NodeName};
use std::time::Duration;

/// How to connect. [`Config::new`] sets everything but the first three to what suits most.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// The server to connect to.
    pub server: Server,
    /// The user to log in as.
    pub user: String,
    /// The node's name. It is the node's password too; it shows in no debug output and no log.
    pub node: NodeName,
    /// What to ask the server for. One that knows only version 1 is spoken to in that, in any case.
    pub version: Version,
    /// How many messages the server may deliver before one is acked, 1–1000. It takes more for
    /// 1000, and may stop earlier when they are large. Version 1 has one.
    pub window: usize,
    /// Take the node over from a connection that holds it, which ends with [`Error::TakenOver`]: after
    /// a lost link the server may not know yet that the old one is gone, and without this the client
    /// tries again until it does. Not for a node that two programs share. Version 1 cannot.
    ///
    /// [`Error::TakenOver`]: crate::Error::TakenOver
    pub takeover: bool,
    /// How many posts may wait for their ack. At the limit a further post waits.
    pub max_unacked: usize,
    /// How many bytes of posts may wait for their ack. At the limit a further post waits.
    pub max_unacked_bytes: usize,
    /// The largest message to send or to take, in bytes, its header included, as the server is
    /// configured. If the server names a lower limit for what it takes, that holds.
    pub max_message: usize,
    /// How long connecting and logging in may take, each time.
    pub login_timeout: Duration,
    /// A link that stays silent for so long while posts wait for their ack is taken for lost. It
    /// must suffice for the largest message at the link's speed.
    pub answer_timeout: Duration,
    /// The first pause before a lost link is made again; doubles up to `max_pause`. The actual
    /// pauses are random, between half and all of it.
    pub min_pause: Duration,
    /// The longest pause between attempts.
    pub max_pause: Duration,
}

impl Config {
    /// A configuration for `user`'s `node` on a server, of which the URL will do.
    pub fn new(
        server: impl Into<Server>,
        user: impl Into<String>,
        node: impl Into<String>,
    ) -> Self {
        Self {
            server: server.into(),
            user: user.into(),
            node: NodeName::new(node.into()),
            version: Version::V2,
            window: DEFAULT_WINDOW,
            takeover: false,
            max_unacked: 1024,
            max_unacked_bytes: 64 << 20,
            max_message: 16 << 20,
            login_timeout: Duration::from_secs(10),
            answer_timeout: Duration::from_secs(60),
            min_pause: Duration::from_millis(100),
            max_pause: Duration::from_secs(5),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nodes_name_does_not_show_in_debug_output() {
        let config = Config::new("ws://h", "alice", "s3cret");
        assert!(!format!("{config:?}").contains("s3cret"));
    }
}
