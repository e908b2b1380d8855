//! Does the server live, and does it take posts?

use super::Metrics;
use super::room::Room;
use std::sync::atomic::Ordering;

/// How long the store may be silent. A disk that takes longer for a write is no good.
const SILENT_S: f64 = 5.0;

/// Whether the process serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Health {
    Ok,
    /// It is about to end.
    Stopping,
    /// The broker's task does not answer: restart the server.
    Hung,
}

impl Health {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Stopping => "stopping",
            Self::Hung => "hung",
        }
    }
}

impl Metrics {
    pub(super) async fn health(&self) -> Health {
        match self.ask_broker().await {
            Some(true) => Health::Ok,
            Some(false) => Health::Hung,
            None => Health::Stopping,
        }
    }

    /// Why no post is taken now: sentences for the operator, none if posts are taken.
    pub(super) async fn obstacles(&self) -> Vec<String> {
        let mut found = Vec::new();
        if self.0.stopping.load(Ordering::Relaxed) {
            found.push("the server is stopping".to_owned());
        }
        let now = self.gather(false).await;
        let silent = |told: Option<f64>| told.is_none_or(|seconds| seconds >= SILENT_S);
        if silent(now.broker.as_ref().map(|(_, ago)| ago.as_secs_f64())) {
            found.push("the broker does not answer".to_owned());
        }
        if silent(now.store.as_ref().map(|(_, ago)| ago.as_secs_f64())) {
            found.push("the store does not answer: its disk hangs, or it has failed".to_owned());
        }
        let min_free = now.limits.min_free;
        let refused = now.store.is_some_and(|(store, _)| store.state.full);
        if refused || now.room.is_some_and(|Room { free, .. }| free < min_free) {
            let free = now.room.map_or("?".to_owned(), |room| (room.free >> 20).to_string());
            found.push(format!(
                "the disk is full: {free} MiB are free, spool.min_free_mib is {}",
                min_free >> 20
            ));
        }
        found
    }
}
