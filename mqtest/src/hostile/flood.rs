//! Strangers that take all they can of a server, while somebody wants to log in and to post.
//!
//! The attackers come from addresses of their own (the whole of 127.0.0.0/8 is this machine): one for
//! every kind of attack, so that what is kept from one address is not kept from the others. Each kind
//! attacks alone, for the same time; meanwhile a client logs in and posts again and again, and then
//! everything must be as before.

use super::stranger::{Kind, Strangers};
use crate::bench::common::Common;
use crate::bench::dial::{self, Dial, Session};
use crate::bench::origin::Origin;
use crate::bench::people;
use crate::bench::population;
use crate::bench::report::Report;
use crate::bench::rig::Rig;
use crate::bench::stamp::Stamp;
use crate::bench::template::Template;
use anyhow::Context;
use clap::Args;
use clap::value_parser as range;
use mqlib::reply::Reply;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// How long one waits for it at most, and for an ack.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two logins.
const PAUSE: Duration = Duration::from_millis(200);
/// Links that the server keeps longer than this after the strangers have left are leaked.
const GONE: Duration = Duration::from_secs(20);
/// Files that the server may open in the attack on its descriptors.
const FILES: u64 = 400;
/// Users that are tried in turn.
const USERS: u32 = 8;
/// Who gets what the client posts, and what the strangers do.
pub(super) const VICTIM: u32 = USERS;

const EXAMPLES: &str = "\
Shows that strangers who take all they can do not keep a client from logging in within --max-login-s and
from having its posts acked, that their connections are closed in time (10 s for a handshake, 6 s for
a login), that the server's memory stays below --max-mib, and that all is as before when they have
left. Needs files for two per socket. Kinds of attack:
  heads         half an HTTP head, and then a byte a second
  frames        half a frame of the original's framing, and then a byte a second
  silent        connected, and nothing said
  churn         connections made and closed as fast as it goes
  registrations users registered as fast as it goes, on 64 sockets
  logins        logins with wrong names, on 64 sockets
  posts         posts to one user, by one that is registered
  descriptors   more connections than the server may open files (its limit is lowered to 400)

Examples:
  mqtest flood                          every kind, with 2,000 sockets, 15 s each
  mqtest flood --kind heads --seconds 60
  mqtest flood --sockets 200 --seconds 8";

/// Floods of connections, registrations, logins and posts by strangers
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct FloodArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Attack in this way only; may be given more than once [default: all ways]
    #[arg(long, value_enum)]
    kind: Vec<Kind>,
    /// How many sockets an attack has
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = range!(u32).range(10..=15_000))]
    sockets: u32,
    /// How long each attack lasts
    #[arg(long, value_name = "S", default_value_t = 15.0, value_parser = crate::bench::report::seconds)]
    seconds: f64,
    /// MiB of memory that the server may have at most
    #[arg(long, value_name = "MIB", default_value_t = 512.0)]
    max_mib: f64,
    /// How long a login may take, whatever the strangers do: more on a machine with other work
    #[arg(long, value_name = "S", default_value_t = 1.0, value_parser = crate::bench::report::seconds)]
    max_login_s: f64,
}

pub(crate) async fn measure(args: FloodArgs, command: String) -> anyhow::Result<Report> {
    let mut report = Report::new("flood", command);
    let kinds = if args.kind.is_empty() { Kind::all() } else { args.kind.clone() };
    for kind in kinds {
        let make = |store: &Path| population::make(store, VICTIM + 1, VICTIM + 1);
        let links = args.sockets.max(FILES as u32 + 100);
        let mut rig = Rig::start_on(&args.common, links, make).await?;
        let outcome = attack(&rig, &args, kind, &mut report).await;
        let outcome = outcome.with_context(|| format!("attack by {kind:?}"));
        if let Err(ended) = rig.survived(outcome)? {
            report.broken(ended);
        }
    }
    Ok(report)
}

async fn attack(
    rig: &Rig,
    args: &FloodArgs,
    kind: Kind,
    report: &mut Report,
) -> anyhow::Result<()> {
    let name = kind.name();
    let mut sockets = args.sockets;
    if kind == Kind::Descriptors {
        rig.process().limit_files(FILES)?;
        sockets = sockets.max(FILES as u32 + 100);
    }
    let (start, mut open) = (Instant::now(), 0);
    let mut strangers = Strangers::start(kind, rig.addr(), sockets);
    let mut friend = Friend::new(rig.dial())?;
    let mut peak = 0_f64;
    // On a busy machine it takes a while until the server has taken all that it can.
    let harmless = |open: usize| kind == Kind::Descriptors && open < FILES as usize - 10;
    while start.elapsed().as_secs_f64() < args.seconds
        || harmless(open) && start.elapsed().as_secs_f64() < args.seconds + PATIENCE.as_secs_f64()
    {
        // Out of descriptors nobody gets in: then only that it recovers counts.
        if kind == Kind::Descriptors {
            sleep(PAUSE).await;
        } else {
            friend.try_once().await;
            sleep(PAUSE).await;
        }
        peak = peak.max(rig.process().rss_kib()? / 1024.0);
        open = open.max(rig.process().open_files()?);
    }
    let done = strangers.stop().await;
    let put = |report: &mut Report, key: &str, label: &str, value: f64, unit| {
        report.put(&format!("{name}_{key}"), &format!("{name}: {label}"), value, unit);
    };
    put(report, "done", "attempts of the strangers", done.attempts as f64, "");
    put(report, "closed", "of these ended by the server", done.closed as f64, "");
    put(report, "held_s", "longest that the server held one", done.longest.as_secs_f64(), "s");
    if friend.tries > 0 {
        put(report, "tries", "logins with a post meanwhile", f64::from(friend.tries), "");
        put(report, "slowest_ms", "slowest login", friend.slowest.as_secs_f64() * 1e3, "ms");
    }
    put(report, "open_files", "files that the server had open at most", open as f64, "");
    put(report, "peak_mib", "server memory at most", peak, "MiB");
    if done.attempts == 0 || harmless(open) {
        report.broken(format!("{name}: this was no attack"));
    }
    for fault in friend.faults.drain(..).take(3) {
        report.broken(format!("{name}: {fault}"));
    }
    if friend.slowest.as_secs_f64() > args.max_login_s {
        report.broken(format!("{name}: a login took {:.1?}", friend.slowest));
    }
    if let Some(most) = kind.longest()
        && done.longest > most
    {
        report.broken(format!("{name}: a connection was held for {:.1?}", done.longest));
    }
    if peak > args.max_mib {
        report.broken(format!("{name}: the server has taken {peak:.0} MiB"));
    }
    // As before: one can log in and post, and nobody is left.
    let deadline = Instant::now() + GONE;
    let mut after = Friend::new(rig.dial())?;
    loop {
        after.faults.clear();
        after.try_once().await;
        let open = rig.process().open_files()?;
        if after.faults.is_empty() && open < 200 {
            break;
        }
        if Instant::now() > deadline {
            report.broken(format!("{name}: not as before: {open} files open, {:?}", after.faults));
            break;
        }
        sleep(PAUSE).await;
    }
    Ok(())
}

/// Somebody who means well, and comes from an address of its own.
pub(super) struct Friend {
    dial: Dial,
    template: Template,
    pub(super) tries: u32,
    slowest: Duration,
    pub(super) faults: Vec<String>,
}

impl Friend {
    pub(super) fn new(dial: Dial) -> anyhow::Result<Self> {
        let origin =
            Origin { ip: Some(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2))), ..Origin::default() };
        let dial = Dial { origin, ..dial };
        let template = Template::new(1, 100)?;
        Ok(Self { dial, template, tries: 0, slowest: Duration::ZERO, faults: Vec::new() })
    }

    /// Does so again and again.
    pub(super) async fn go_on(&mut self, pause: Duration) {
        loop {
            self.try_once().await;
            sleep(pause).await;
        }
    }

    /// Logs in, posts, waits for the ack and leaves.
    async fn try_once(&mut self) {
        let user = self.tries % USERS;
        let number = self.tries;
        self.tries += 1;
        let start = Instant::now();
        match timeout(PATIENCE, self.dial.clone().log_in(user)).await {
            Ok(Ok(session)) => {
                self.slowest = self.slowest.max(start.elapsed());
                match timeout(PATIENCE, self.post(session, number)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => self.faults.push(format!("no ack: {error:#}")),
                    Err(_) => self.faults.push(format!("no ack after {PATIENCE:?}")),
                }
            }
            Ok(Err(error)) => self.faults.push(format!("no login: {error:#}")),
            Err(_) => self.faults.push(format!("no login after {PATIENCE:?}")),
        }
    }

    async fn post(&self, mut session: Session, number: u32) -> anyhow::Result<()> {
        let mut post = Vec::new();
        let stamp = Stamp { sent: 0, poster: 0, number };
        self.template.write(&mut post, number, stamp, [VICTIM]);
        session.wire.send(&post).await?;
        let reply: Reply = dial::reply(&mut session.wire).await?;
        anyhow::ensure!(reply.op == "ack" && reply.error.is_none(), "the server says {reply:?}");
        session.wire.close().await;
        Ok(())
    }
}

/// The login of a user with a node that it has not.
pub(super) fn wrong_login(number: u32) -> String {
    let user = people::user(number % USERS);
    format!(r#"{{"op":"login","userId":"{user}","nodeId":"wrong{number}"}}"#)
}
