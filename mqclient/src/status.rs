//! What the server tells a user of itself.

use crate::error::Error;
use serde::{Deserialize, Serialize};

/// A node of one's own user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct NodeStatus {
    /// Its number among the user's nodes.
    pub offset: u8,
    /// Is it logged in?
    pub online: bool,
    /// How many messages wait for it.
    pub queued: u64,
    /// Their bytes.
    pub bytes: u64,
    /// When it was last online, by the server's clock, in ISO 8601; if the server knows.
    #[serde(default)]
    pub last_seen: Option<String>,
}

/// One's own user, as the server knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Status {
    /// Its nodes, by offset.
    pub nodes: Vec<NodeStatus>,
    /// Its aliases.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// The lists that it is a full member of.
    #[serde(default)]
    pub lists: Vec<String>,
}

impl Status {
    pub(crate) fn parse(etc: &[u8]) -> Result<Self, Error> {
        serde_json::from_slice(etc).map_err(|error| Error::Protocol(format!("a status: {error}")))
    }
}
