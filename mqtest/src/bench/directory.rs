//! What a post costs between users that are online as the directory grows by others who are not.

use super::crowd::Crowd;
use super::depth::DepthArgs;
use super::fill::LOGINS;
use super::gang::gang;
use super::population;
use super::poster::{Aim, Pace, Poster};
use super::report::Report;
use super::rig::Rig;
use super::rows::{Column, Rows};
use super::template::Template;
use super::world::World;
use anyhow::ensure;
use std::rc::Rc;

const COLUMNS: &[Column] = &[
    ("users", "users", "users in the directory, most of whom are offline"),
    ("listens_s", "listens after s", "from the start until the server took connections"),
    ("posts_per_s", "posts/s", "durable posts in a second, among those that are online"),
    ("ratio", "÷ limit", "the same, divided by the limit"),
    ("deliveries_per_s", "deliveries/s", "messages delivered and acked in a second"),
    ("ack_p50_ms", "post→ack p50 ms", "the median from a post to its ack"),
    ("ack_p99_ms", "p99 ms", "its 99th percentile"),
    ("cpu_s_per_100k", "server CPU s per 100k", "CPU of the server for 100,000 posts"),
    ("rss_mib", "RSS MiB", "memory of the server after the measurement"),
];

/// Adds the rows to a report.
pub(crate) async fn measure(args: &DepthArgs, report: &mut Report) -> anyhow::Result<()> {
    let mut rows = Rows::new("directories", COLUMNS);
    for &users in &args.users {
        ensure!(users >= args.clients, "{users} users are too few for {} clients", args.clients);
        let make = |store: &_| population::make(store, users, args.clients);
        let mut rig = Rig::start_on(&args.common, args.clients, make).await?;
        let mut part = Report::new("directory", String::new());
        let outcome = measure_at(&rig, args, &mut part).await;
        rig.explain(outcome)?;
        let figures = COLUMNS[2..].iter().map(|(key, ..)| part.get(key).unwrap_or(f64::NAN));
        rows.push([users.into(), rig.listens.as_secs_f64()].into_iter().chain(figures).collect());
        report.take_in(&part, &format!("with {users} users"));
    }
    report.put_rows(rows);
    Ok(())
}

async fn measure_at(rig: &Rig, args: &DepthArgs, part: &mut Report) -> anyhow::Result<()> {
    let sessions = gang(args.clients, LOGINS, |user| rig.log_in(user)).await?;
    let template = Rc::new(Template::new(1, args.size as usize)?);
    let mut crowd = Crowd::new(World::new(args.clients, args.clients)?, 1);
    for (number, session) in (0..).zip(sessions) {
        let (aim, in_flight) = (Aim::others(number, args.clients), args.in_flight as usize);
        let poster = Poster::new(number, template.clone(), 1, in_flight, Pace::Closed, aim);
        crowd.join(number, session, Some(poster));
    }
    crowd.measure(rig, args.seconds, part).await?;
    crowd.finish(args.drain, part).await
}
