//! The configuration as it is now: a reload changes it while the server runs.

use super::Config;
use std::sync::Arc;
use tokio::sync::watch;

/// What whoever needs the current configuration has of it.
#[derive(Debug, Clone)]
pub(crate) struct Live(watch::Receiver<Arc<Config>>);

impl Live {
    /// A configuration, and what replaces it.
    pub(crate) fn new(config: Config) -> (watch::Sender<Arc<Config>>, Self) {
        let (sender, receiver) = watch::channel(Arc::new(config));
        (sender, Self(receiver))
    }

    /// The current one. Not to be kept: it is another one after a reload.
    pub(crate) fn current(&self) -> Arc<Config> {
        self.0.borrow().clone()
    }

    /// Waits for another one than this handle, or the one it was cloned from, has waited for.
    pub(crate) async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            // Nobody can change it any more.
            std::future::pending().await
        }
    }
}
