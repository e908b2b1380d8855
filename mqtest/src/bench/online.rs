//! Users that are all online post to each other, as fast as acks come or at a fixed rate.
//!
//! Version 1 has one delivery in flight a node, and posters wait for acks only: so posts may run
//! ahead of deliveries. What is still on its way when the measurement ends is waited for, since only
//! then it is known that nothing is missing.

use super::client::Client;
use super::common::Common;
use super::dial::Session;
use super::fill::LOGINS;
use super::gang::gang;
use super::pace::pace;
use super::people;
use super::poster::{Aim, Pace, Poster};
use super::process::Process;
use super::progress::Progress;
use super::report::Report;
use super::rig::Rig;
use super::stamp;
use super::template::Template;
use super::watch::stalled;
use super::world::World;
use anyhow::{Context, bail, ensure};
use clap::Args;
use clap::value_parser as range;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// What is not counted, at the beginning.
const WARM_UP: Duration = Duration::from_secs(1);
/// How often it is looked whether all has arrived.
const LOOK: Duration = Duration::from_millis(5);
/// Posts of a client that may wait for their acks when the rate is fixed: a server that is too slow
/// shows in the latency, and not in a pause of the load.
const OPEN_IN_FLIGHT: usize = 1 << 16;

/// Users that are all online post to each other
#[derive(Debug, Args)]
pub(crate) struct OnlineArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    /// How many users there are, with a link each
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = range!(u32).range(2..=100_000))]
    clients: u32,
    /// How many of them post; all receive [default: all]
    #[arg(long, value_name = "N", value_parser = range!(u32).range(1..))]
    posters: Option<u32>,
    /// To how many others each post goes
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = range!(u32).range(1..))]
    fanout: u32,
    /// Posts of a client that wait for their ack
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = range!(u32).range(1..=10_000), conflicts_with = "rate")]
    in_flight: u32,
    /// Post nothing while so many deliveries for each client are on their way: with it the load is
    /// no faster than what version 1 delivers, one after the other
    #[arg(long, value_name = "N", value_parser = range!(u32).range(1..), conflicts_with = "rate")]
    behind: Option<u32>,
    /// Post so much a second, all together, whether acks come or not
    #[arg(long, value_name = "POSTS", value_parser = rate)]
    rate: Option<f64>,
    /// The data of a message, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 1024, value_parser = range!(u64).range(stamp::LEN as u64..=16 << 20))]
    size: u64,
    /// How long it is measured, after a second of warming up
    #[arg(long, value_name = "S", default_value_t = 10.0, value_parser = super::report::seconds)]
    seconds: f64,
    /// How long to wait in the end for what is on its way
    #[arg(long, value_name = "S", default_value_t = 20.0, value_parser = super::report::seconds)]
    drain: f64,
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.1..=1e7).contains(&rate) => Ok(rate),
        _ => Err("a number of posts a second is wanted".into()),
    }
}

impl OnlineArgs {
    fn posters(&self) -> u32 {
        self.posters.unwrap_or(u32::MAX).min(self.clients)
    }
}

pub(crate) async fn measure(args: OnlineArgs, command: String) -> anyhow::Result<Report> {
    ensure!(args.fanout < args.clients, "there are only {} others to post to", args.clients - 1);
    let mut rig = Rig::start(&args.common, args.clients).await?;
    let outcome = measure_at(&rig, &args, command).await;
    rig.explain(outcome)
}

async fn measure_at(rig: &Rig, args: &OnlineArgs, command: String) -> anyhow::Result<Report> {
    let mut report = Report::new("online", command);
    people::register(rig.addr(), args.clients).await?;
    let sessions = gang(args.clients, LOGINS, |user| rig.log_in(user)).await?;
    let world = World::new(args.clients, args.posters())?;
    if let Some(behind) = args.behind {
        world.behind.set(u64::from(behind) * u64::from(args.clients));
    }
    let mut tasks = start(args, sessions, &world)?;
    {
        let _progress = Progress::new("measuring");
        undisturbed(&mut tasks, WARM_UP).await?;
        world.tally.borrow_mut().measure(true);
        let before = Moment::now(rig, &world)?;
        undisturbed(&mut tasks, Duration::from_secs_f64(args.seconds)).await?;
        world.tally.borrow_mut().measure(false);
        tell(rig, &world, &before, &Moment::now(rig, &world)?, &mut report)?;
    }
    finish(args, &world, &mut tasks, &mut report).await?;
    rig.tell_limit_again(&mut report)?;
    Ok(report)
}

/// Lets the clients loose.
fn start(
    args: &OnlineArgs,
    sessions: Vec<Session>,
    world: &Rc<World>,
) -> anyhow::Result<JoinSet<anyhow::Result<()>>> {
    let template = Rc::new(Template::new(args.fanout as usize, args.size as usize)?);
    let mut tasks = JoinSet::new();
    let mut paced = Vec::new();
    for (number, session) in (0..).zip(sessions) {
        let poster = (number < args.posters()).then(|| {
            let (in_flight, pace) = match args.rate {
                None => (args.in_flight as usize, Pace::Closed),
                Some(_) => {
                    let (times, due) = mpsc::unbounded_channel();
                    paced.push(times);
                    (OPEN_IN_FLIGHT, Pace::Open(due))
                }
            };
            // The same posts in every run.
            let random = Box::new(StdRng::seed_from_u64(number.into()));
            let aim = Aim::Others { me: number, users: args.clients, random };
            Poster::new(number, template.clone(), args.fanout, in_flight, pace, aim)
        });
        tasks.spawn_local(Client::poster(number, session, world.clone(), poster).live());
    }
    if let Some(rate) = args.rate {
        pace(world.clock, rate, paced)?;
    }
    Ok(tasks)
}

/// Waits; no client ends by itself.
async fn undisturbed(
    tasks: &mut JoinSet<anyhow::Result<()>>,
    long: Duration,
) -> anyhow::Result<()> {
    tokio::select! {
        ended = tasks.join_next() => {
            ended.context("there are no clients")?.context("a client broke down")??;
            bail!("a client has left")
        }
        () = sleep(long) => Ok(()),
    }
}

/// The state of things at one time.
struct Moment {
    at: u64,
    acked: u64,
    received: u64,
    server: f64,
    own: f64,
}

impl Moment {
    fn now(rig: &Rig, world: &World) -> anyhow::Result<Self> {
        let tally = world.tally.borrow();
        Ok(Self {
            at: world.clock.now(),
            acked: tally.acked,
            received: tally.received,
            server: rig.process().cpu_seconds()?,
            own: Process::Own.cpu_seconds()?,
        })
    }
}

fn tell(
    rig: &Rig,
    world: &World,
    before: &Moment,
    after: &Moment,
    report: &mut Report,
) -> anyhow::Result<()> {
    let seconds = (after.at - before.at) as f64 / 1e9;
    let posts = (after.acked - before.acked) as f64;
    let deliveries = (after.received - before.received) as f64;
    let server = after.server - before.server;
    let tally = world.tally.borrow();
    report.put("posts_per_s", "durable posts", posts / seconds, "/s");
    report.put("deliveries_per_s", "deliveries", deliveries / seconds, "/s");
    rig.limit.tell(report);
    report.put("ratio", "posts ÷ limit", posts / seconds / rig.limit.writes_per_s, "×");
    report.put_latency("ack", "post to ack", &tally.to_ack);
    report.put_latency("receive", "post to receive", &tally.to_receive);
    report.put("cpu_s_per_100k", "server CPU per 100k posts", server * 1e5 / posts, "s");
    report.put("server_cores", "server CPU", server / seconds, "cores");
    let own = (after.own - before.own) / seconds;
    report.put("generator_cores", "CPU of the load itself", own, "cores");
    if own > 0.9 {
        report.note("the load kept a core busy and may have been the limit");
    }
    report.put("rss_mib", "server memory (RSS)", rig.process().rss_kib()? / 1024.0, "MiB");
    Ok(())
}

/// Stops posting, waits for what is on its way, and compares the counts.
async fn finish(
    args: &OnlineArgs,
    world: &Rc<World>,
    tasks: &mut JoinSet<anyhow::Result<()>>,
    report: &mut Report,
) -> anyhow::Result<()> {
    world.posting.set(false);
    let on_its_way = {
        let tally = world.tally.borrow();
        tally.sent * u64::from(args.fanout) - tally.received
    };
    report.put("behind", "on the way when the load ended", on_its_way as f64, "deliveries");
    let start = world.clock.now();
    let long = Duration::from_secs_f64(args.drain);
    let all_arrived = async {
        loop {
            let complete = {
                let tally = world.tally.borrow();
                tally.acked + tally.refused == tally.sent
                    && tally.received >= tally.acked * u64::from(args.fanout)
            };
            if complete {
                return;
            }
            sleep(LOOK).await;
        }
    };
    let show = |tally: &super::tally::Tally| {
        format!("{} of {}", tally.received, tally.acked * u64::from(args.fanout))
    };
    let arrived = async {
        tokio::select! {
            () = all_arrived => Ok(true),
            () = stalled(world.clone(), "waiting for what is on its way", show) => Ok(false),
            failed = undisturbed(tasks, Duration::MAX) => failed.map(|()| false),
        }
    };
    let arrived = timeout(long, arrived).await;
    report.put("drain_s", "until all had arrived", (world.clock.now() - start) as f64 / 1e9, "s");
    let tally = world.tally.borrow();
    let expected = tally.acked * u64::from(args.fanout);
    match arrived {
        Ok(outcome) => {
            outcome?;
            report.broken_if(tally.sent - tally.acked - tally.refused, "posts never acked");
            report.broken_if(expected.saturating_sub(tally.received), "deliveries missing");
        }
        Err(_) => report.note(&format!(
            "{} deliveries were still coming {} s later, and were not waited for",
            expected.saturating_sub(tally.received),
            args.drain
        )),
    }
    report.broken_if(tally.received.saturating_sub(expected), "deliveries too many");
    report.broken_if(tally.repeated, "deliveries repeated, or out of order");
    report.broken_if(tally.refused, "posts refused");
    if let Some(refusal) = &tally.refusal {
        report.broken(format!("the first refusal says: {refusal}"));
    }
    Ok(())
}
