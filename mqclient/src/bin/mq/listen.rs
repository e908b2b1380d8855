//! `mq listen`: prints messages, or runs a command for each, and acks what was done.

use crate::cli::{LinkArgs, ListenArgs};
use crate::connect::Host;
use crate::exec;
use crate::failure::{Code, Failure};
use crate::output::{self, Format, Printed, note};
use crate::profile::Profile;
use mqclient::{Delivery, Error};
use std::future::pending;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval, sleep};

/// How often it is looked whether the link stands.
const LOOK: Duration = Duration::from_millis(500);

const STANDS: &str = "the link stands again";
const LOST: &str = "the link is lost; trying again";

/// Ctrl-C, or an end in good order by `kill`.
pub(crate) struct Stop(Signal, Signal);

impl Stop {
    pub(crate) fn new() -> Result<Self, Failure> {
        let failed = |error: std::io::Error| Failure::local(format!("signals: {error}"));
        let interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        Ok(Self(interrupt, signal(SignalKind::terminate()).map_err(failed)?))
    }

    pub(crate) async fn asked(&mut self) {
        tokio::select! {
            _ = self.0.recv() => {}
            _ = self.1.recv() => {}
        }
    }
}

/// What became of a message.
enum Fate {
    /// It is printed, or its command has succeeded.
    Done,
    /// Its command has failed.
    Failed,
    /// There is nobody to print it for.
    NoReader,
}

pub(crate) async fn listen(
    profile: &Profile,
    args: &ListenArgs,
    link: &LinkArgs,
) -> Result<(), Failure> {
    let mut stop = Stop::new()?;
    // What is not wanted stays with the server from the start.
    let most = args.count.map_or(usize::MAX, |count| count.try_into().unwrap_or(usize::MAX));
    let window = args.window().min(most).max(1);
    let mut host = tokio::select! {
        host = Host::open(profile, window, link) => host?,
        () = stop.asked() => return Ok(()),
    };
    note(&format!("{} listens; ctrl-C ends it", profile.settings.user));
    let result = serve(&mut host, profile, args, &mut stop).await;
    host.close().await;
    result
}

async fn serve(
    host: &mut Host,
    profile: &Profile,
    args: &ListenArgs,
    stop: &mut Stop,
) -> Result<(), Failure> {
    let mut done = 0;
    let mut online = true;
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        if args.count.is_some_and(|count| done >= count) {
            return Ok(());
        }
        let idle = async {
            match args.timeout {
                Some(seconds) => sleep(Duration::from_secs(seconds)).await,
                None => pending().await,
            }
        };
        let mut idle = std::pin::pin!(idle);
        let delivery = loop {
            tokio::select! {
                delivery = host.client.next() => break delivery.map_err(|error| ended(&error))?,
                () = stop.asked() => return Ok(()),
                () = &mut idle => return in_vain(done, args.count),
                _ = look.tick() => {
                    let now = host.client.stats().online;
                    if now != online {
                        online = now;
                        note(if now { STANDS } else { LOST });
                    }
                }
            }
        };
        let (fate, stopping) = {
            let mut handling = std::pin::pin!(handle(&delivery, profile, args));
            tokio::select! {
                fate = &mut handling => (fate?, false),
                () = stop.asked() => {
                    note("waiting for the command; once more ends it");
                    tokio::select! {
                        fate = &mut handling => (fate?, true),
                        () = stop.asked() => {
                            let text = "the command was ended, and its message is not acked";
                            return Err(Failure::local(text));
                        }
                    }
                }
            }
        };
        match fate {
            Fate::Done => {
                delivery.ack();
                done += 1;
            }
            // Not acked: the server delivers it again, after 10 s, 20, 40 … 300.
            Fate::Failed => drop(delivery),
            Fate::NoReader => return Ok(()),
        }
        if stopping {
            return Ok(());
        }
    }
}

async fn handle(
    delivery: &Delivery,
    profile: &Profile,
    args: &ListenArgs,
) -> Result<Fate, Failure> {
    let Some(command) = &args.exec else {
        let printed = output::message(delivery, args.format())?;
        return Ok(if printed == Printed::Yes { Fate::Done } else { Fate::NoReader });
    };
    if args.format() == Format::Json && output::message(delivery, Format::Json)? != Printed::Yes {
        return Ok(Fate::NoReader);
    }
    let how = match exec::run(command, delivery, profile).await {
        Ok(status) if status.success() => return Ok(Fate::Done),
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    };
    let id = &delivery.id;
    note(&format!("the command failed ({how}): message {id} is not acked, and will come again"));
    Ok(Fate::Failed)
}

fn in_vain(done: u64, count: Option<u64>) -> Result<(), Failure> {
    match count {
        None => Ok(()),
        Some(count) => {
            Err(Failure::new(Code::Vain, format!("{done} of {count} messages came in time")))
        }
    }
}

/// Why a client that was logged in is not any more.
pub(crate) fn ended(error: &Error) -> Failure {
    Failure::new(Code::NotLetIn, error.to_string())
}
