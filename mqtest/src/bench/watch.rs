//! Watches a run: shows how far it is, and notices when nothing happens any more.

use super::progress::Progress;
use super::tally::Tally;
use super::world::World;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::{Instant, interval};

/// How often the run is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// When nothing has happened for so long, nothing will: the server sends again after ten seconds.
const STALL: Duration = Duration::from_secs(15);

/// Returns when nothing has happened for a long time. `show` says how far it is.
pub(crate) async fn stalled(world: Rc<World>, what: &str, show: impl Fn(&Tally) -> String) {
    let progress = Progress::new(what);
    let mut looks = interval(LOOK);
    let (mut last, mut since) = (0, Instant::now());
    loop {
        looks.tick().await;
        let tally = world.tally.borrow();
        let count = tally.acked + tally.refused + tally.received;
        if count != last {
            (last, since) = (count, Instant::now());
        } else if since.elapsed() > STALL {
            return;
        }
        progress.show(|| format!("{what}: {}", show(&tally)));
    }
}
