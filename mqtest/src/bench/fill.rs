//! Fills the queues of users that are offline: what `spool` and `restart` begin with.

use super::common::Common;
use super::ingest::Ingest;
use super::people;
use super::report::{Report, number};
use super::rig::Rig;
use super::stamp;
use super::template::Template;
use super::world::World;
use anyhow::ensure;
use clap::Args;
use clap::value_parser as range;
use std::rc::Rc;

/// Links that log in at a time.
pub(crate) const LOGINS: usize = 32;

/// How queues are filled.
#[derive(Debug, Args)]
pub(crate) struct FillArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    /// How many clients post
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = range!(u32).range(1..=10_000))]
    pub(crate) clients: u32,
    /// Posts of a client that wait for their ack
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = range!(u32).range(1..=10_000))]
    pub(crate) in_flight: u32,
    /// How many users are offline and get messages
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = range!(u32).range(1..=1_000_000))]
    pub(crate) recipients: u32,
    /// How many messages they get together
    #[arg(long, value_name = "N", default_value_t = 200_000, value_parser = range!(u32).range(1..=100_000_000))]
    pub(crate) messages: u32,
    /// The data of a message, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 1024, value_parser = range!(u64).range(stamp::LEN as u64..=16 << 20))]
    pub(crate) size: u64,
}

impl FillArgs {
    /// How many messages wait for a recipient.
    pub(crate) fn waiting(&self, recipient: u32) -> u64 {
        let more = recipient < self.messages % self.recipients;
        u64::from(self.messages / self.recipients) + u64::from(more)
    }

    /// The users of the run: first those that are offline, then those that post.
    pub(crate) fn users(&self) -> u32 {
        self.recipients + self.clients
    }
}

/// Fills the queues, and reports how fast that was.
pub(crate) async fn fill(
    rig: &Rig,
    args: &FillArgs,
    report: &mut Report,
) -> anyhow::Result<Rc<World>> {
    ensure!(args.users() < 10_000_000, "that many users have no names");
    people::register(rig.addr(), args.users()).await?;
    let world = World::new(args.recipients, args.clients)?;
    let ingest = Ingest {
        posters: args.recipients..args.users(),
        in_flight: args.in_flight,
        recipients: 0..args.recipients,
        template: Rc::new(Template::new(1, args.size as usize)?),
        next: Rc::default(),
    };
    world.tally.borrow_mut().measure(true);
    let spent = ingest.post(rig, &world, args.messages).await?;
    let mut tally = world.tally.borrow_mut();
    tally.measure(false);
    let rate = tally.acked as f64 / spent.seconds;
    report.put("messages", "messages posted", tally.acked as f64, "");
    report.put("ingest_per_s", "durable posts, all recipients offline", rate, "/s");
    rig.limit.tell(report);
    report.put("ingest_ratio", "posts ÷ limit", rate / rig.limit.writes_per_s, "×");
    report.put_latency("ack", "post to ack", &tally.to_ack);
    let per = spent.server * 1e5 / tally.acked as f64;
    report.put("ingest_cpu_s_per_100k", "server CPU per 100k posts", per, "s");
    spent.tell_own("ingest_generator_cores", report);
    let full = rig.process().rss_kib()? / 1024.0;
    report.put("rss_full_mib", "server memory (RSS) when full", full, "MiB");
    tally.tell_refusals(report);
    if tally.acked + tally.refused != u64::from(args.messages) {
        let messages = number(args.messages.into());
        report.broken(format!("{} acks for {messages} posts", tally.acked));
    }
    drop(tally);
    Ok(world)
}
