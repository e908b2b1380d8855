//! What a supervisor such as systemd is told, if there is one: sd_notify.
//!
//! It learns when the server serves, when it reads its configuration again, and when it stops; and, if it wants to (`WatchdogSec=`), that the
//! broker's task still works: a broker that hangs is started again.

use sd_notify::{NotifyState, notify, watchdog_enabled};
use tokio::time::{Interval, MissedTickBehavior, interval};

/// The server takes connections.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// It reads its configuration again, until it is ready once more.
pub(crate) fn reloading() {
    // Both at once, as systemd wants it (sd_notify(3)).
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::debug!("the supervisor cannot be told: {error}"),
    }
}

/// It has begun to stop.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// The sign of life that the supervisor waits for.
pub(crate) struct Heart(Option<Interval>);

impl Heart {
    pub(crate) fn new() -> Self {
        Self(watchdog_enabled().filter(|time| !time.is_zero()).map(|time| {
            // As sd_watchdog_enabled(3) recommends.
            let mut beats = interval(time / 2);
            beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
            beats
        }))
    }

    /// Waits until one is due, and gives it. Never, if nobody waits for it.
    pub(crate) async fn beat(&mut self) {
        match &mut self.0 {
            Some(beats) => _ = beats.tick().await,
            None => std::future::pending().await,
        }
        tell(&[NotifyState::Watchdog]);
    }
}

/// A supervisor that cannot be told is nobody's concern but its own.
fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = notify(state) {
        tracing::debug!(%error, "the supervisor cannot be told");
    }
}
