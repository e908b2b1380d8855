//! The users that were offline come and take what waits for them.

use super::client::Client;
use super::fill::FillArgs;
use super::gang::gang;
use super::meter::Meter;
use super::report::Report;
use super::rig::Rig;
use super::tally::Tally;
use super::watch::stalled;
use super::world::World;
use std::rc::Rc;

/// Users that are online at a time.
const AT_ONCE: usize = 64;

/// The first `recipients` users log in, ack all that waits for them, and leave.
pub(crate) async fn drain(
    rig: &Rig,
    args: &FillArgs,
    recipients: u32,
    world: &Rc<World>,
    report: &mut Report,
) -> anyhow::Result<()> {
    let wanted: u64 = (0..recipients).map(|recipient| args.waiting(recipient)).sum();
    let meter = Meter::start(rig.process(), world.clock)?;
    let draining = gang(recipients, AT_ONCE, |recipient| {
        let (log_in, world) = (rig.log_in(recipient), world.clone());
        let waiting = args.waiting(recipient);
        async move { Client::receiver(recipient, log_in.await?, world, waiting).live().await }
    });
    let show = |tally: &Tally| format!("{} of {wanted} messages", tally.received);
    tokio::select! {
        drained = draining => drop(drained?),
        () = stalled(world.clone(), "draining", show) => {
            report.broken("nothing is delivered any more".into());
        }
    }
    let tally = world.tally.borrow();
    let spent = meter.read_until(tally.received_at)?;
    let rate = tally.received as f64 / spent.seconds;
    report.put("drained", "messages taken, each acked", tally.received as f64, "");
    report.put("drain_per_s", "drained, logins included", rate, "/s");
    let per = spent.server * 1e5 / tally.received as f64;
    report.put("drain_cpu_s_per_100k", "server CPU per 100k deliveries", per, "s");
    spent.tell_own("drain_generator_cores", report);
    report.broken_if(wanted.saturating_sub(tally.received), "messages missing");
    report.broken_if(tally.received.saturating_sub(wanted), "messages too many");
    report.broken_if(tally.repeated, "messages repeated, or out of order");
    Ok(())
}
