//! What a post and a delivery cost as the queue of one user who is offline grows.

use super::client::Client;
use super::depth::DepthArgs;
use super::ingest::Ingest;
use super::meter::Spent;
use super::people;
use super::report::Report;
use super::rig::Rig;
use super::rows::{Column, Rows};
use super::tally::Tally;
use super::template::Template;
use super::watch::stalled;
use super::world::World;
use anyhow::bail;
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::timeout;

const COLUMNS: &[Column] = &[
    ("depth", "messages waiting", "how deep the queue of the one user is"),
    ("posts_per_s", "posts/s", "further durable posts to that user in a second"),
    ("ratio", "÷ limit", "the same, divided by the limit"),
    ("ack_p50_ms", "post→ack p50 ms", "the median from such a post to its ack"),
    ("ack_p99_ms", "p99 ms", "its 99th percentile"),
    ("first_delivery_ms", "login→first delivery ms", "from the user's login to the first message"),
    ("deliveries_per_s", "first deliveries/s", "messages in a second, of as many as were posted"),
    ("drain_per_s", "all deliveries/s", "messages in a second from the login until all were taken"),
    ("rss_mib", "RSS MiB", "memory of the server after the first of them"),
];

/// Adds the rows to a report.
pub(crate) async fn measure(args: &DepthArgs, report: &mut Report) -> anyhow::Result<()> {
    let mut rig = Rig::start(&args.common, args.clients).await?;
    let outcome = measure_at(&rig, args, report).await;
    rig.explain(outcome)
}

async fn measure_at(rig: &Rig, args: &DepthArgs, report: &mut Report) -> anyhow::Result<()> {
    let mut rows = Rows::new("depths", COLUMNS);
    // A user for each depth; then those that post.
    let users = args.depths.len() as u32;
    people::register(rig.addr(), users + args.clients).await?;
    let template = Rc::new(Template::new(1, args.size as usize)?);
    // The posters' ids go on from one queue to the next, or a post would be a repeat.
    let next = Rc::<Cell<u32>>::default();
    for (user, &depth) in (0..).zip(&args.depths) {
        let ingest = Ingest {
            posters: users..users + args.clients,
            in_flight: args.in_flight,
            recipients: user..user + 1,
            template: template.clone(),
            next: next.clone(),
        };
        let world = World::new(users, args.clients)?;
        let queue = Queue { rig, args, user, depth, ingest, world };
        rows.push(queue.measure(report).await?);
    }
    rig.limit.tell(report);
    rig.tell_limit_again(report)?;
    report.put_rows(rows);
    Ok(())
}

/// A queue that is filled, measured and emptied.
struct Queue<'a> {
    rig: &'a Rig,
    args: &'a DepthArgs,
    user: u32,
    depth: u32,
    ingest: Ingest,
    world: Rc<World>,
}

/// When things happened while messages were taken.
struct Taken {
    login: u64,
    first: u64,
    last: u64,
    count: u64,
}

impl Queue<'_> {
    async fn measure(&self, report: &mut Report) -> anyhow::Result<Vec<f64>> {
        let (rig, world) = (self.rig, &self.world);
        let (before, all) = (self.ingest.next.get(), self.depth + self.args.posts);
        self.ingest.post(rig, world, before + self.depth).await?;
        self.settle(report).await?;
        world.tally.borrow_mut().measure(true);
        let spent = self.ingest.post(rig, world, before + all).await?;
        world.tally.borrow_mut().measure(false);

        let first = self.take(self.args.posts.into()).await?;
        let rss = rig.process().rss_kib()? / 1024.0;
        let long = Duration::from_secs_f64(self.args.drain);
        match timeout(long, self.take(u64::from(all) - first.count)).await {
            Ok(rest) => {
                rest?;
            }
            Err(_) => report.broken(format!("not all had come after {} s", self.args.drain)),
        }
        self.compare(all, report);
        let row = self.row(&spent, &first, rss);
        self.settle(report).await?;
        Ok(row)
    }

    async fn settle(&self, report: &mut Report) -> anyhow::Result<()> {
        if self.rig.settle().await?.is_none() {
            report.note(&format!("the server was busy with {} messages for a minute", self.depth));
        }
        Ok(())
    }

    /// The user logs in, takes at least so many messages, and leaves.
    async fn take(&self, count: u64) -> anyhow::Result<Taken> {
        let login = self.world.clock.now();
        if count > 0 {
            let session = self.rig.log_in(self.user).await?;
            let client = Client::receiver(self.user, session, self.world.clone(), count);
            let show = |tally: &Tally| format!("{} messages taken", tally.received);
            tokio::select! {
                lived = client.live() => lived?,
                () = stalled(self.world.clone(), "taking", show) => {
                    bail!("nothing is delivered any more, of {} messages", self.depth)
                }
            }
        }
        let tally = self.world.tally.borrow();
        let first = tally.first_received_at.unwrap_or(login);
        Ok(Taken { login, first, last: tally.received_at, count: tally.received })
    }

    fn compare(&self, all: u32, report: &mut Report) {
        let tally = self.world.tally.borrow();
        let mut part = Report::new("queue", String::new());
        part.broken_if(u64::from(all).abs_diff(tally.acked), "posts not acked");
        part.broken_if(tally.acked.saturating_sub(tally.received), "deliveries missing");
        part.broken_if(tally.received.saturating_sub(tally.acked), "deliveries too many");
        part.broken_if(tally.repeated, "deliveries repeated, or out of order");
        tally.tell_refusals(&mut part);
        report.take_in(&part, &format!("with {} messages waiting", self.depth));
    }

    fn row(&self, spent: &Spent, first: &Taken, rss: f64) -> Vec<f64> {
        let tally = self.world.tally.borrow();
        let posts_per_s = f64::from(self.args.posts) / spent.seconds;
        let ms = |quantile| tally.to_ack.value_at_quantile(quantile) as f64 / 1000.0;
        let per_s = |count, from, to: u64| count as f64 * 1e9 / to.saturating_sub(from) as f64;
        vec![
            self.depth.into(),
            posts_per_s,
            posts_per_s / self.rig.limit.writes_per_s,
            ms(0.5),
            ms(0.99),
            first.first.saturating_sub(first.login) as f64 / 1e6,
            per_s(first.count, first.first, first.last),
            per_s(tally.received, first.login, tally.received_at),
            rss,
        ]
    }
}
