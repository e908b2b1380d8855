//! How many messages wait in the spool: counted once, and from then on told by what the store makes
//! and removes there. That goes astray a little with every node that is dropped and every file that
//! is damaged, so it is counted again from time to time.

use super::Metrics;
use super::figures::StoreFigures;
use crate::status::count_files;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// How long a count is good for, if anything changed since.
const EVERY: Duration = Duration::from_mins(15);
/// And so many times as long as counting takes.
const SHARE: u32 = 100;
/// How long until what a restart left is looked at again.
const SETTLE: Duration = Duration::from_millis(200);
/// How long until it is tried again, if the store or the disk did not answer.
const RETRY: Duration = Duration::from_secs(60);

/// The count.
#[derive(Debug, Default)]
pub(crate) struct SpoolCount(Mutex<Option<Counted>>);

#[derive(Debug, Clone, Copy)]
struct Counted {
    /// Names there were.
    found: i64,
    /// What the store's count of names was then.
    names: i64,
}

impl SpoolCount {
    /// Messages that wait, counted for each node; `None` before the spool was counted.
    pub(crate) fn waiting(&self, store: &StoreFigures) -> Option<u64> {
        let Counted { found, names } = (*self.0.lock().unwrap_or_else(PoisonError::into_inner))?;
        let filed = (found + store.totals.names - names).max(0) as u64;
        Some(filed + store.state.unfiled as u64)
    }

    /// Counts, until it is dropped.
    pub(crate) async fn keep(&self, metrics: &Metrics) {
        let mut last = None;
        loop {
            let begun = Instant::now();
            let pause = match self.count(metrics, &mut last).await {
                Some(()) => EVERY.max(begun.elapsed() * SHARE),
                None => RETRY,
            };
            sleep(pause).await;
        }
    }

    async fn count(&self, metrics: &Metrics, last: &mut Option<i64>) -> Option<()> {
        let sources = &metrics.0.sources;
        let before = loop {
            let store = sources.inquiry.figures().await?;
            // They would be counted here, and once more when it is known that they have files.
            if store.state.doubtful == 0 {
                break store.totals.names;
            }
            sleep(SETTLE).await;
        };
        if last.replace(before) == Some(before) {
            return Some(());
        }
        let store = sources.live.current().store.clone();
        let counted = tokio::task::spawn_blocking(move || count_files(&store)).await;
        let found = counted.ok()?.ok()? as i64;
        let after = sources.inquiry.figures().await?.totals.names;
        // Of what came and went meanwhile, about half was seen.
        let counted = Counted { found, names: before.midpoint(after) };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(counted);
        Some(())
    }
}
