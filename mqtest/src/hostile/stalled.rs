//! Readers that log in and read no more, while messages for them keep coming.
//!
//! What they cost is compared with what they cost when they are away, in turns: the same posts go to
//! them in both, so that the difference is what a link that nobody reads costs. At first there is a
//! burst, while they are away and again when they are there, so that all of them are clogged; in the
//! end they read, and everything must be there.

use crate::bench::client::Client;
use crate::bench::common::Common;
use crate::bench::crowd::Crowd;
use crate::bench::dial::{Dial, Session};
use crate::bench::fill::LOGINS;
use crate::bench::gang::gang;
use crate::bench::ingest::Ingest;
use crate::bench::origin::Origin;
use crate::bench::pace::pace;
use crate::bench::population;
use crate::bench::poster::{Aim, Pace, Poster};
use crate::bench::report::Report;
use crate::bench::rig::Rig;
use crate::bench::stamp;
use crate::bench::tally::Tally;
use crate::bench::template::Template;
use crate::bench::watch;
use crate::bench::world::World;
use anyhow::Context;
use clap::Args;
use clap::value_parser as range;
use rustix::net::sockopt::set_socket_recv_buffer_size;
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::sleep;

/// Clients that post what the readers do not read, in the burst.
const POSTERS: u32 = 8;
/// Posts of each that wait for their ack.
const IN_FLIGHT: u32 = 64;
/// Posts of a client at a fixed rate that may wait for their acks.
const OPEN_IN_FLIGHT: usize = 1 << 16;
/// The kernel's buffer of a reader: small, or it would read in the reader's place. Bytes.
const SMALL: u32 = 4096;
/// Its largest segment, as on an Ethernet: of larger ones the server's kernel would take a lot.
const SEGMENT: u32 = 1460;
/// Its buffer when it reads again.
const LARGE: usize = 1 << 20;
/// How often the server's memory is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// How long the server is left alone before its memory is read.
const SETTLE: Duration = Duration::from_secs(1);

const EXAMPLES: &str = "\
Shows that a reader that reads no more costs disk, not memory, and does not slow the others down.
Needs a server program beside this one, and files for two per reader. It fails if a reader costs
more than --max-kib of the server's memory, if the others' p99 from post to delivery is more than
--max-slower percent above what it is while the readers are away, or if anything is missing when
they read again. Of the latencies the median of the rounds counts.

Examples:
  mqtest stalled                                  1,000 readers, three rounds, five minutes
  mqtest stalled --readers 200 --rounds 1 --seconds 6 --max-slower 100
                                                  a short one, on a machine with other work
  mqtest stalled --rounds 15 --seconds 10         a long one
  mqtest stalled --window 1000 --size 512         many small messages in flight";

/// Readers that stop reading: memory for each, and what it costs the others
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct StalledArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    /// How many readers there are
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = range!(u32).range(1..=15_000))]
    readers: u32,
    /// How many clients post to each other meanwhile
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = range!(u32).range(2..=1000))]
    healthy: u32,
    /// Posts a second of all of them together
    #[arg(long, value_name = "POSTS", default_value_t = 500, value_parser = range!(u32).range(10..=100_000))]
    rate: u32,
    /// Posts a second to the readers
    #[arg(long, value_name = "POSTS", default_value_t = 500, value_parser = range!(u32).range(1..=100_000))]
    reader_rate: u32,
    /// KiB of messages for each reader in a burst
    #[arg(long, value_name = "KIB", default_value_t = 256, value_parser = range!(u32).range(1..=65_536))]
    burst_kib: u32,
    /// The data of a message, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 4096, value_parser = range!(u32).range(stamp::LEN as i64..=1 << 20))]
    size: u32,
    /// How often it is measured without the readers, and with them
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = range!(u32).range(1..=1000))]
    rounds: u32,
    /// How long it is measured each time: what the burst left for the disk to do is over by then
    #[arg(long, value_name = "S", default_value_t = 30.0, value_parser = crate::bench::report::seconds)]
    seconds: f64,
    /// KiB of the server's memory that a reader may cost
    #[arg(long, value_name = "KIB", default_value_t = 64.0)]
    max_kib: f64,
    /// How many percent the others may become slower
    #[arg(long, value_name = "PERCENT", default_value_t = 20.0)]
    max_slower: f64,
}

impl StalledArgs {
    fn users(&self) -> u32 {
        // Behind them, one that posts to the readers at a rate, and those of the burst.
        self.healthy + self.readers + 1 + POSTERS
    }

    fn first_poster(&self) -> u32 {
        self.healthy + self.readers
    }
}

pub(crate) async fn measure(args: StalledArgs, command: String) -> anyhow::Result<Report> {
    let users = args.users();
    let make = |store: &std::path::Path| population::make(store, users, users);
    let mut rig = Rig::start_on(&args.common, users, make).await?;
    let outcome = Stalled::measure_at(&rig, &args, command).await;
    rig.explain(outcome)
}

/// A run.
struct Stalled<'a> {
    rig: &'a Rig,
    args: &'a StalledArgs,
    /// What is posted to the readers.
    far: Rc<World>,
    /// How many posts to them there were.
    next: Rc<Cell<u32>>,
    template: Rc<Template>,
}

impl<'a> Stalled<'a> {
    async fn measure_at(
        rig: &'a Rig,
        args: &'a StalledArgs,
        command: String,
    ) -> anyhow::Result<Report> {
        let far = World::new(args.readers, 1 + POSTERS)?;
        let template = Rc::new(Template::new(1, args.size as usize)?);
        let run = Self { rig, args, far, next: Rc::default(), template };
        let mut report = Report::new("stalled", command);
        let near = World::new(args.healthy, args.healthy)?;
        let mut crowd = run.healthy(&near).await?;
        let sender = run.keep_posting().await?;

        let (mut away, mut there) = (Vec::new(), Vec::new());
        let (mut base, mut most, peak) = (None, 0_f64, Cell::new(0.0));
        let mut sessions = Vec::new();
        for round in 0..args.rounds {
            if round == 0 {
                run.burst().await?;
            }
            away.push(run.round(&mut crowd, &near).await?);
            let before = *base.get_or_insert(run.rss().await?);
            sessions = run.log_in().await?;
            if round == 0 {
                run.burst().await?;
            }
            tokio::select! {
                failed = run.watch(&peak) => failed?,
                p99 = run.round(&mut crowd, &near) => there.push(p99?),
            }
            most = most.max(run.rss().await? - before);
            if round + 1 < args.rounds {
                sessions.clear();
            }
        }
        run.far.posting.set(false);
        run.drain(sessions, &mut report).await?;
        drop(sender);
        crowd.finish(60.0, &mut report).await?;
        let peak = peak.get() - base.unwrap_or_default();
        run.tell(most, peak, &away, &there, &mut report);
        Ok(report)
    }

    /// The clients that read, each of which posts to the others.
    async fn healthy(&self, near: &Rc<World>) -> anyhow::Result<Crowd> {
        let (count, rate) = (self.args.healthy, f64::from(self.args.rate));
        let mut crowd = Crowd::new(near.clone(), 1);
        let template = Rc::new(Template::new(1, 1024)?);
        let sessions = gang(count, LOGINS, |user| self.rig.log_in(user)).await?;
        let mut paced = Vec::new();
        for (number, session) in (0..).zip(sessions) {
            let (times, due) = mpsc::unbounded_channel();
            paced.push(times);
            let (pace, aim) = (Pace::Open(due), Aim::others(number, count));
            let poster = Poster::new(number, template.clone(), 1, OPEN_IN_FLIGHT, pace, aim);
            crowd.join(number, session, Some(poster));
        }
        crowd.beside(pace(near.clone(), rate, paced));
        Ok(crowd)
    }

    /// Posts to the readers at a fixed rate from now on.
    async fn keep_posting(&self) -> anyhow::Result<Crowd> {
        let first = self.args.first_poster();
        let session = self.rig.log_in(first).await?;
        let (times, due) = mpsc::unbounded_channel();
        let aim = self.aim(u32::MAX);
        let pacing = pace(self.far.clone(), f64::from(self.args.reader_rate), vec![times]);
        let template = self.template.clone();
        let poster = Poster::new(POSTERS, template, 1, OPEN_IN_FLIGHT, Pace::Open(due), aim);
        let mut crowd = Crowd::new(self.far.clone(), 1);
        crowd.join(first, session, Some(poster));
        crowd.beside(pacing);
        Ok(crowd)
    }

    fn aim(&self, most: u32) -> Aim {
        let users = self.args.healthy..self.args.first_poster();
        Aim::Spread { users, next: self.next.clone(), most }
    }

    /// The p99 from post to delivery of the clients that read, in ms.
    async fn round(&self, crowd: &mut Crowd, near: &Rc<World>) -> anyhow::Result<f64> {
        near.tally.borrow_mut().to_receive.reset();
        let mut part = Report::new("round", String::new());
        crowd.measure(self.rig, self.args.seconds, &mut part).await?;
        Ok(part.get("receive_p99_ms").unwrap_or(f64::NAN))
    }

    async fn log_in(&self) -> anyhow::Result<Vec<Session>> {
        let origin =
            Origin { receive_buffer: Some(SMALL), segment: Some(SEGMENT), ..Origin::default() };
        let dial = Dial { origin, ..self.rig.dial() };
        let first = self.args.healthy;
        gang(self.args.readers, LOGINS, |nth| dial.clone().log_in(first + nth)).await
    }

    /// Posts so much that every reader is clogged.
    async fn burst(&self) -> anyhow::Result<()> {
        let first = self.args.first_poster() + 1;
        let each = (self.args.burst_kib * 1024).div_ceil(self.args.size);
        let ingest = Ingest {
            posters: first..first + POSTERS,
            in_flight: IN_FLIGHT,
            recipients: self.args.healthy..self.args.first_poster(),
            template: self.template.clone(),
            next: self.next.clone(),
        };
        let most = self.next.get() + each * self.args.readers;
        ingest.post(self.rig, &self.far, most).await.map(drop)
    }

    async fn rss(&self) -> anyhow::Result<f64> {
        sleep(SETTLE).await;
        self.rig.process().rss_kib()
    }

    /// Keeps the most memory that the server had.
    async fn watch(&self, peak: &Cell<f64>) -> anyhow::Result<()> {
        loop {
            peak.set(peak.get().max(self.rig.process().rss_kib()?));
            sleep(LOOK).await;
        }
    }

    /// The readers read again, and take all that waits.
    async fn drain(&self, sessions: Vec<Session>, report: &mut Report) -> anyhow::Result<()> {
        let (readers, posted) = (self.args.readers, self.next.get());
        let mut sessions = sessions.into_iter();
        let draining = gang(readers, readers as usize, |nth| {
            let session = sessions.next();
            let wanted = posted / readers + u32::from(nth < posted % readers);
            let world = self.far.clone();
            async move {
                let session = session.context("a reader has no link")?;
                set_socket_recv_buffer_size(session.wire.get_ref().tcp(), LARGE)?;
                Client::receiver(nth, session, world, wanted.into()).live().await
            }
        });
        let show = |tally: &Tally| format!("{} of {posted} messages", tally.received);
        tokio::select! {
            drained = draining => drop(drained?),
            () = watch::stalled(self.far.clone(), "the readers read", show) => {
                report.broken("nothing is delivered to the readers any more".into());
            }
        }
        let tally = self.far.tally.borrow();
        let posted = f64::from(posted);
        report.put("readers", "readers that read no more", readers.into(), "");
        report.put("posted", "messages posted to them", posted, "");
        report.put("acked", "of these acked", tally.acked as f64, "");
        report.put("received", "and received when they read again", tally.received as f64, "");
        report.put("repeated", "received once more", tally.repeated as f64, "");
        report.broken_if(tally.acked.saturating_sub(tally.received), "messages missing");
        tally.tell_refusals(report);
        Ok(())
    }

    fn tell(&self, most: f64, peak: f64, away: &[f64], there: &[f64], report: &mut Report) {
        let (args, readers) = (self.args, f64::from(self.args.readers));
        report.put("kib_per_reader", "server memory for a reader", most / readers, "KiB");
        report.put("peak_kib_per_reader", "at most, meanwhile", peak / readers, "KiB");
        let (without, with) = (median(away), median(there));
        report.put("p99_away_ms", "the others' p99, readers away", without, "ms");
        report.put("p99_stalled_ms", "the others' p99, readers stalled", with, "ms");
        report.put("p99_ratio", "stalled ÷ away", with / without, "×");
        report.note(&format!("p99 of each round, away {away:.2?} and stalled {there:.2?} ms"));
        if most / readers > args.max_kib {
            report.broken(format!("a reader costs more than {} KiB", args.max_kib));
        }
        let slower = with / without - 1.0;
        if slower.is_nan() || slower > args.max_slower / 100.0 {
            report.broken(format!("the others are more than {} % slower", args.max_slower));
        }
    }
}

/// The middle one, or the mean of the two that are.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() % 2 {
        0 if middle > 0 => f64::midpoint(sorted[middle - 1], sorted[middle]),
        _ => sorted.get(middle).copied().unwrap_or(f64::NAN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }
}
