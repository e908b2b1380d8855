//! Users that are all online post to each other, as fast as acks come or at a fixed rate.

use super::common::Common;
use super::crowd::Crowd;
use super::dial::Session;
use super::fill::LOGINS;
use super::gang::gang;
use super::pace::pace;
use super::people;
use super::poster::{Aim, Pace, Poster};
use super::report::Report;
use super::rig::Rig;
use super::stamp;
use super::template::Template;
use super::world::World;
use anyhow::ensure;
use clap::Args;
use clap::value_parser as range;
use std::rc::Rc;
use tokio::sync::mpsc;

const EXAMPLES: &str = "\
Examples:
  mqtest bench online                              64 clients, 16 posts of 1 KB in flight each
  mqtest bench online --clients 256 --framing raw  more clients, the original's framing
  mqtest bench online --rate 1000                  the latency of an unhurried server
  mqtest bench online --fanout 10                  ten recipients a post
  mqtest bench online --protocol 1 --in-flight 16  one delivery in flight, as the original has it

A post is in flight until it is acked to its poster; whether it was delivered by then does not
matter to the poster. Deliveries are acked as they come. A server that delivers more slowly than it
acks falls behind, and the report says so; with --behind the posters wait for it.";

/// Posts of a client that may wait for their acks when the rate is fixed: a server that is too slow
/// shows in the latency, and not in a pause of the load.
const OPEN_IN_FLIGHT: usize = 1 << 16;

/// Users that are all online post to each other
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
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
    /// Post nothing while so many deliveries for each client are on their way: with it posters are
    /// no faster than what the server delivers [default: they wait for acks only]
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
    #[arg(long, value_name = "S", default_value_t = 60.0, value_parser = super::report::seconds)]
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
    let mut crowd = start(args, sessions, &world)?;
    crowd.measure(rig, args.seconds, &mut report).await?;
    crowd.finish(args.drain, &mut report).await?;
    rig.tell_limit_again(&mut report)?;
    Ok(report)
}

/// Lets the clients loose.
fn start(args: &OnlineArgs, sessions: Vec<Session>, world: &Rc<World>) -> anyhow::Result<Crowd> {
    let template = Rc::new(Template::new(args.fanout as usize, args.size as usize)?);
    let mut crowd = Crowd::new(world.clone(), args.fanout);
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
            let aim = Aim::others(number, args.clients);
            Poster::new(number, template.clone(), args.fanout, in_flight, pace, aim)
        });
        crowd.join(number, session, poster);
    }
    if let Some(rate) = args.rate {
        crowd.beside(pace(world.clone(), rate, paced));
    }
    Ok(crowd)
}
