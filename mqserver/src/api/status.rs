//! How the server is.

use super::ApiError;
use crate::operator::Operator;
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};

/// A server's status, as `mqserver status --json` prints it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The process id.
    pub pid: u32,
    /// The version of the program.
    pub version: String,
    /// Seconds since it started.
    pub uptime_s: u64,
    /// Connections.
    pub links: usize,
    /// Nodes that are logged in.
    pub online: usize,
    /// Users.
    pub users: usize,
    /// Nodes of all users.
    pub nodes: usize,
    /// Lists.
    pub lists: usize,
    /// Messages that wait, counted for each node that they wait for.
    pub waiting: usize,
    /// The disk that the store is on.
    pub disk: Space,
    /// The journal.
    pub journal: Journal,
}

/// A disk, in bytes.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Space {
    /// What is left for the server.
    pub free: u64,
    /// All there is.
    pub total: u64,
}

/// The segments of the journal.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Journal {
    /// How many there are.
    pub segments: usize,
    /// How many hold what is still needed, or are being filled.
    pub used: usize,
}

/// `GET /api/v1/status`
pub(crate) async fn get(State(operator): State<Operator>) -> Result<Json<Status>, ApiError> {
    let counts = operator.look(|broker, _| broker.counts()).await?;
    let store = operator.inquiry().ask(|store| store.state()).await;
    let store = store.ok_or(crate::operator::Stopping)?;
    let files = operator.files().await?;
    let room = rustix::fs::statvfs(operator.store()).map_err(std::io::Error::from)?;
    Ok(Json(Status {
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime_s: operator.uptime().as_secs(),
        links: counts.links,
        online: counts.online,
        users: counts.users,
        nodes: counts.nodes,
        lists: counts.lists,
        waiting: files + store.unfiled,
        disk: Space {
            free: room.f_bavail.saturating_mul(room.f_frsize),
            total: room.f_blocks.saturating_mul(room.f_frsize),
        },
        journal: Journal { segments: store.segments, used: store.segments_used },
    }))
}
