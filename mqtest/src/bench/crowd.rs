//! Clients that are all online and post to each other: let loose, measured for a while, and counted.
//!
//! Posters wait for acks only, so posts may run ahead of deliveries: a server that files what it
//! should deliver would look fast. So both rates are told, and the lesser of the two, and what was
//! still on its way in the end. That is waited for, since only then it is known that nothing is
//! missing.

use super::client::Client;
use super::dial::Session;
use super::meter::Meter;
use super::poster::Poster;
use super::progress::Progress;
use super::report::Report;
use super::rig::Rig;
use super::tally::Tally;
use super::watch::stalled;
use super::world::World;
use anyhow::{Context, bail};
use std::rc::Rc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// What is not counted, at the beginning.
const WARM_UP: Duration = Duration::from_secs(1);
/// How often it is looked whether all has arrived.
const LOOK: Duration = Duration::from_millis(5);
/// When fewer of the deliveries came while it was measured, they fell behind.
const KEPT_UP: f64 = 0.95;

/// The clients.
#[derive(Debug)]
pub(crate) struct Crowd {
    world: Rc<World>,
    /// How many deliveries a post makes.
    fanout: u32,
    tasks: JoinSet<anyhow::Result<()>>,
}

impl Crowd {
    /// Nobody yet.
    pub(crate) fn new(world: Rc<World>, fanout: u32) -> Self {
        Self { world, fanout, tasks: JoinSet::new() }
    }

    /// Lets a client loose.
    pub(crate) fn join(&mut self, number: u32, session: Session, poster: Option<Poster>) {
        let client = Client::poster(number, session, self.world.clone(), poster);
        self.tasks.spawn_local(client.live());
    }

    /// Does something beside the clients, for ever.
    pub(crate) fn beside(&mut self, work: impl Future<Output = anyhow::Result<()>> + 'static) {
        self.tasks.spawn_local(work);
    }

    /// Waits. No client ends by itself.
    async fn undisturbed(&mut self, long: Duration) -> anyhow::Result<()> {
        tokio::select! {
            ended = self.tasks.join_next() => {
                ended.context("there are no clients")?.context("a client broke down")??;
                bail!("a client has left")
            }
            () = sleep(long) => Ok(()),
        }
    }

    /// Measures for so many seconds, after a while of warming up.
    pub(crate) async fn measure(
        &mut self,
        rig: &Rig,
        seconds: f64,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        let _progress = Progress::new("measuring");
        self.undisturbed(WARM_UP).await?;
        let before = {
            let mut tally = self.world.tally.borrow_mut();
            tally.measure(true);
            (tally.acked, tally.received)
        };
        let meter = Meter::start(rig.process(), self.world.clock)?;
        self.undisturbed(Duration::from_secs_f64(seconds)).await?;
        let spent = meter.read()?;
        let mut tally = self.world.tally.borrow_mut();
        tally.measure(false);
        let posts = (tally.acked - before.0) as f64;
        let deliveries = (tally.received - before.1) as f64;
        tell_rates(posts, deliveries, f64::from(self.fanout), spent.seconds, report);
        rig.limit.tell(report);
        report.put("ratio", "posts ÷ limit", posts / spent.seconds / rig.limit.writes_per_s, "×");
        if !tally.late.is_empty() {
            report.put_latency("late", "from due to sent", &tally.late);
        }
        report.put_latency("ack", "post to ack", &tally.to_ack);
        report.put_latency("receive", "post to receive", &tally.to_receive);
        let per = spent.server * 1e5;
        report.put("cpu_s_per_100k", "server CPU per 100k posts", per / posts, "s");
        let label = "server CPU per 100k deliveries";
        report.put("cpu_s_per_100k_deliveries", label, per / deliveries, "s");
        report.put("server_cores", "server CPU", spent.server / spent.seconds, "cores");
        spent.tell_own("generator_cores", report);
        let label = "CPU of the load itself per 100k posts";
        report.put("generator_s_per_100k", label, spent.own * 1e5 / posts, "s");
        report.put("rss_mib", "server memory (RSS)", rig.process().rss_kib()? / 1024.0, "MiB");
        Ok(())
    }

    /// Stops posting, waits at most so many seconds for what is on its way, and compares the counts.
    pub(crate) async fn finish(mut self, seconds: f64, report: &mut Report) -> anyhow::Result<()> {
        let (world, fanout) = (self.world.clone(), u64::from(self.fanout));
        world.posting.set(false);
        let on_its_way = {
            let tally = world.tally.borrow();
            (tally.sent * fanout).saturating_sub(tally.received)
        };
        report.put("behind", "on the way when the load ended", on_its_way as f64, "deliveries");
        let start = world.clock.now();
        let all_arrived = async {
            while !is_complete(&world.tally.borrow(), fanout) {
                sleep(LOOK).await;
            }
        };
        let show = |tally: &Tally| format!("{} of {}", tally.received, tally.acked * fanout);
        let arrived = async {
            tokio::select! {
                () = all_arrived => Ok(true),
                () = stalled(world.clone(), "waiting for what is on its way", show) => Ok(false),
                failed = self.undisturbed(Duration::MAX) => failed.map(|()| false),
            }
        };
        let arrived = timeout(Duration::from_secs_f64(seconds), arrived).await;
        let took = (world.clock.now() - start) as f64 / 1e9;
        report.put("drain_s", "until all had arrived", took, "s");
        match arrived {
            Ok(outcome) => drop(outcome?),
            Err(_) => report.broken(format!("not all had arrived after {seconds} s")),
        }
        compare(&world.tally.borrow(), fanout, report);
        Ok(())
    }
}

/// How fast it was, and whether deliveries kept up with the posts.
fn tell_rates(posts: f64, deliveries: f64, fanout: f64, seconds: f64, report: &mut Report) {
    let sustained = posts.min(deliveries / fanout);
    report.put("posts_per_s", "durable posts", posts / seconds, "/s");
    report.put("deliveries_per_s", "deliveries", deliveries / seconds, "/s");
    let label = "posts that were durable and delivered";
    report.put("sustained_per_s", label, sustained / seconds, "/s");
    if deliveries < KEPT_UP * posts * fanout {
        report.note("deliveries fell behind the posts: the rate of posts alone says too much");
    }
}

fn is_complete(tally: &Tally, fanout: u64) -> bool {
    tally.acked + tally.refused == tally.sent && tally.received >= tally.acked * fanout
}

/// Says where the counts do not match.
fn compare(tally: &Tally, fanout: u64, report: &mut Report) {
    let expected = tally.acked * fanout;
    let answered = tally.acked + tally.refused;
    report.broken_if(tally.sent.abs_diff(answered), "posts never acked");
    report.broken_if(expected.saturating_sub(tally.received), "deliveries missing");
    report.broken_if(tally.received.saturating_sub(expected), "deliveries too many");
    report.broken_if(tally.repeated, "deliveries repeated, or out of order");
    tally.tell_refusals(report);
}

#[cfg(test)]
mod tests {
    use super::super::stamp::Stamp;
    use super::*;

    /// What is said of so many posts sent, acked and refused, and deliveries received.
    fn faults(sent: u32, acked: u32, refused: u32, received: u32) -> Vec<String> {
        let mut tally = Tally::new(1, 1).unwrap();
        (0..sent).for_each(|_| tally.posted(None));
        (0..acked).for_each(|_| tally.acked(0, 1));
        (0..refused).for_each(|_| tally.refused("no".into()));
        for number in 0..received {
            assert!(tally.received(0, Stamp { sent: 0, poster: 0, number }, 1).unwrap());
        }
        assert_eq!(is_complete(&tally, 2), sent == acked + refused && received >= 2 * acked);
        let mut report = Report::new("test", "c".into());
        compare(&tally, 2, &mut report);
        report.faults().to_vec()
    }

    #[test]
    fn counts_that_do_not_match_are_told() {
        assert_eq!(faults(5, 5, 0, 10), [""; 0]);
        assert_eq!(faults(5, 4, 0, 8), ["1 posts never acked"]);
        assert_eq!(faults(5, 5, 0, 9), ["1 deliveries missing"]);
        assert_eq!(faults(5, 5, 0, 12), ["2 deliveries too many"]);
        assert_eq!(faults(5, 4, 1, 8), ["1 posts refused", "the first refusal says: no"]);
    }

    #[test]
    fn the_rate_that_is_sustained_is_the_lesser_one() {
        for (deliveries, sustained, notes) in [(2000.0, 100.0, 0), (1000.0, 50.0, 1)] {
            let mut report = Report::new("test", "c".into());
            tell_rates(1000.0, deliveries, 2.0, 10.0, &mut report);
            assert_eq!(report.get("posts_per_s"), Some(100.0));
            assert_eq!(report.get("sustained_per_s"), Some(sustained));
            assert_eq!(report.notes().len(), notes);
        }
    }
}
