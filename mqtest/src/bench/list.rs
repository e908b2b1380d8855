//! A list whose members are all online: a post makes as many deliveries as there are others in it.

use super::common::Common;
use super::crowd::Crowd;
use super::dial::Session;
use super::enlist::Enlist;
use super::fill::LOGINS;
use super::gang::gang;
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

const EXAMPLES: &str = "\
Examples:
  mqtest bench list                              1,000 members, 4 of whom post
  mqtest bench list --members 50 --posters 50    a busy team
  mqtest bench list --members 100 --size 100000  with attachments

A poster does not get its own posts: with 1,000 members a post makes 999 deliveries. The list is made
before, and the news of it is taken before the members post; neither is counted.";

/// The list's name.
const LIST: &str = "everyone";

/// A list whose members are all online
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    /// How many members there are, with a link each
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = range!(u32).range(2..=20_000))]
    members: u32,
    /// How many of them post; all receive
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = range!(u32).range(1..))]
    posters: u32,
    /// Posts of a poster that wait for their ack
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = range!(u32).range(1..=10_000))]
    in_flight: u32,
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

pub(crate) async fn measure(args: ListArgs, command: String) -> anyhow::Result<Report> {
    ensure!(args.posters <= args.members, "who posts to a list is a member of it");
    let mut rig = Rig::start(&args.common, args.members).await?;
    let outcome = measure_at(&rig, &args, command).await;
    rig.explain(outcome)
}

async fn measure_at(rig: &Rig, args: &ListArgs, command: String) -> anyhow::Result<Report> {
    let mut report = Report::new("list", command);
    people::register(rig.addr(), args.members).await?;
    let list = Enlist { list: LIST, members: args.members };
    list.make(rig.dial()).await?;
    let sessions = gang(args.members, LOGINS, |user| {
        let log_in = rig.log_in(user);
        async move {
            let mut session = log_in.await?;
            list.catch_up(user, &mut session).await?;
            Ok(session)
        }
    });
    let mut crowd = start(args, sessions.await?)?;
    crowd.measure(rig, args.seconds, &mut report).await?;
    crowd.finish(args.drain, &mut report).await?;
    rig.tell_limit_again(&mut report)?;
    Ok(report)
}

/// Lets the members loose.
fn start(args: &ListArgs, sessions: Vec<Session>) -> anyhow::Result<Crowd> {
    let world = World::new(args.members, args.posters)?;
    let template = Rc::new(Template::to_list(LIST, args.size as usize)?);
    let fanout = args.members - 1;
    let mut crowd = Crowd::new(world, fanout);
    for (number, session) in (0..).zip(sessions) {
        let in_flight = args.in_flight as usize;
        let poster = (number < args.posters).then(|| {
            Poster::new(number, template.clone(), fanout, in_flight, Pace::Closed, Aim::Fixed)
        });
        crowd.join(number, session, poster);
    }
    Ok(crowd)
}
