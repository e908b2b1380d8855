//! What the server said when it let this node in.

use crate::config::Config;
use crate::error::Error;
use bytes::Bytes;
use mqlib::header;
use serde::Deserialize;

/// A version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// The original's: one delivery in flight.
    V1,
    /// A window of deliveries, acked in any order and many at once; dates; edits of a list that
    /// have several members.
    V2,
}

/// The server's answer to the latest login.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Login {
    /// What is spoken: version 1 if the server knows no other. It says nothing of itself then.
    pub version: Version,
    /// The server's name and version, for people to read.
    pub server: Option<String>,
    /// The number of this node among its user's.
    pub node: Option<u8>,
    /// How many deliveries there may be that are not acked: what was asked for, or fewer. The
    /// server may stop earlier, when they are large.
    pub window: usize,
    /// How many messages waited for this node, about: some may just have been acked or posted.
    pub queued: Option<usize>,
    /// The largest message that the server takes, in bytes, its header included.
    pub max_message: Option<usize>,
    /// The server's clock, in ISO 8601 with milliseconds, in UTC.
    pub time: Option<String>,
}

/// What of it is on the wire.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Welcome {
    v: Option<u8>,
    server: Option<String>,
    node: Option<u8>,
    window: Option<usize>,
    queued: Option<usize>,
    max_message: Option<usize>,
    time: Option<String>,
}

impl Login {
    /// What is taken for granted until the server answers.
    pub(crate) fn asked(config: &Config) -> Self {
        let (version, window) = match config.version {
            Version::V1 => (Version::V1, 1),
            Version::V2 => (Version::V2, config.window.max(1)),
        };
        let (server, time) = (None, None);
        Self { version, server, node: None, window, queued: None, max_message: None, time }
    }

    /// Reads the answer to a login.
    pub(crate) fn parse(message: &Bytes, config: &Config) -> Result<Self, Error> {
        let wrong = |why: String| Error::Protocol(why);
        let (header, _) = header::split(message).map_err(|quit| wrong(quit.to_string()))?;
        let welcome: Welcome =
            serde_json::from_slice(header).map_err(|error| wrong(error.to_string()))?;
        let asked = Self::asked(config);
        let Welcome { v, server, node, window, queued, max_message, time } = welcome;
        if v.is_none_or(|v| v < 2) {
            return Ok(Self { version: Version::V1, window: 1, ..asked });
        }
        let window = window.unwrap_or(asked.window);
        Ok(Self { server, node, window, queued, max_message, time, ..asked })
    }
    /// Would the server take a request of `size` bytes? The client sends `most` in any case.
    pub(crate) fn check(&self, size: usize, needs_v2: bool, most: usize) -> Result<(), Error> {
        let most = most.min(self.max_message.unwrap_or(usize::MAX));
        match self.version {
            _ if size > most => Err(Error::TooLarge(most)),
            Version::V1 if needs_v2 => {
                Err(Error::Argument("the server speaks version 1, which has no such request"))
            }
            _ => Ok(()),
        }
    }
}
