//! Where to connect, as whom, and the client's limits.

use crate::address::Server;
use crate::login::Version;
use mqlib::request::{DEFAULT_WINDOW, NodeName};
use std::path::PathBuf;
use std::time::Duration;

/// Who a client logs in as.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The user.
    pub user: String,
    /// The node's name. It is the node's password too; it shows in no debug output and no log.
    pub node: NodeName,
}

impl Credentials {
    /// Of `user`'s `node`.
    pub fn new(user: impl Into<String>, node: impl Into<String>) -> Self {
        Self { user: user.into(), node: NodeName::new(node.into()) }
    }
}

/// A server, of which the URL will do, and who logs in there; all else as it suits most.
impl<S: Into<Server>> From<(S, Credentials)> for Config {
    fn from((server, Credentials { user, node }): (S, Credentials)) -> Self {
        Self { node, ..Self::new(server, user, "") }
    }
}

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
    /// How many posts may wait for their ack, in memory and in the outbox. At the limit a further
    /// post waits.
    pub max_unacked: usize,
    /// How many bytes of posts may wait for their ack, in memory and in the outbox. At the limit a
    /// further post waits.
    pub max_unacked_bytes: usize,
    /// The directory of an outbox on disk, made if there is none; `None`: posts wait in memory only.
    /// See [`outbox`](Self::outbox).
    pub outbox: Option<PathBuf>,
    /// The file that remembers which messages were acked lately; `None`: memory only. See
    /// [`memory`](Self::memory).
    pub memory: Option<PathBuf>,
    /// Begin without waiting for the server: [`Client::connect`] returns at once, and a first attempt
    /// that fails is repeated as later ones are. What the server refuses for good still ends the
    /// client.
    ///
    /// [`Client::connect`]: crate::Client::connect
    pub begin_offline: bool,
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
            outbox: None,
            memory: None,
            begin_offline: false,
            max_message: 16 << 20,
            login_timeout: Duration::from_secs(10),
            answer_timeout: Duration::from_secs(60),
            min_pause: Duration::from_millis(100),
            max_pause: Duration::from_secs(5),
        }
    }

    /// Keeps posts in the directory `dir` until they are acked. One is accepted when it is durable
    /// there, and is sent even after a restart of the program, under the same id: a server of version
    /// 2 stores it once. Edits of lists and aliases are not kept.
    ///
    /// One client at a time uses a directory, always as the same user.
    pub fn outbox(mut self, dir: impl Into<PathBuf>) -> Self {
        self.outbox = Some(dir.into());
        self
    }

    /// Remembers in the file `path` which messages were acked lately: one that comes again after a
    /// crash of the program, because the server had not heard of the ack, is not shown again.
    ///
    /// One client at a time uses a file, always as the same node.
    pub fn memory(mut self, path: impl Into<PathBuf>) -> Self {
        self.memory = Some(path.into());
        self
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
