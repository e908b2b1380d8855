//! Does the server live, and does it take posts?

use super::Metrics;
use super::room::Room;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How long the broker may take for an answer before it is said to hang.
const PATIENCE: Duration = Duration::from_secs(3);
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
        match self.ask_broker(PATIENCE).await {
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

#[cfg(test)]
mod tests {
    use super::super::Sources;
    use super::*;
    use crate::config::Config;
    use crate::config::live::Live;
    use crate::hasher::Hasher;
    use crate::store_thread::Inquiry;
    use std::sync::Arc;
    use std::time::Instant;
    use tokio::sync::mpsc;

    #[tokio::test]
    async fn a_broker_and_a_store_that_do_not_answer_hang_and_one_that_is_gone_has_stopped() {
        let (events, inbox) = mpsc::unbounded_channel();
        let metrics = Metrics::new(Sources {
            start: Instant::now(),
            live: Live::new(Config::new(".".into())).1,
            ledger: Arc::default(),
            events,
            inquiry: Inquiry::unanswered(),
            hasher: Arc::new(Hasher::new([0; 32], [0; 32], 1)),
            tls: None,
        });
        assert_eq!(metrics.health().await, Health::Hung);
        let why = metrics.obstacles().await;
        assert_eq!(why.len(), 2, "{why:?}");
        assert_eq!(why[0], "the broker does not answer");
        assert!(why[1].starts_with("the store does not answer"), "{why:?}");
        // What is known all the same is told.
        let families = metrics.gather(true).await.families(&metrics.0.sources.ledger);
        let names: Vec<_> = families.iter().map(|family| family.name).collect();
        assert!(names.contains(&"mqserver_disk_free_bytes"), "{names:?}");
        assert!(!names.contains(&"mqserver_users"), "{names:?}");
        drop(inbox);
        assert_eq!(metrics.health().await, Health::Stopping);
    }
}
