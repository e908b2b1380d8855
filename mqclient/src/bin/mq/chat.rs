//! `mq chat`: a conversation with one user, a line a message.

use crate::cli::LinkArgs;
use crate::connect::Host;
use crate::failure::Failure;
use crate::listen::{Stop, ended};
use crate::order::{Order, Recipient, Whom};
use crate::output::{self, Format, Printed, note};
use crate::post::report;
use crate::profile::Profile;
use mqclient::{Delivery, Kind};
use std::io::{BufRead, IsTerminal};
use tokio::sync::mpsc;

/// Messages of others stay where they are, and take up room in the window: the largest there is.
const WINDOW: usize = 1000;

pub(crate) async fn chat(profile: &Profile, user: &str, link: &LinkArgs) -> Result<(), Failure> {
    let mut stop = Stop::new()?;
    let mut host = tokio::select! {
        host = Host::open(profile, WINDOW, link) => host?,
        () = stop.asked() => return Ok(()),
    };
    if std::io::stdin().is_terminal() {
        note(&format!("you are {}, and write to {user}; ctrl-D ends it", profile.settings.user));
    }
    let mut lines = lines();
    let mut others = Vec::new();
    let result = loop {
        tokio::select! {
            line = lines.recv() => match line {
                Some(Ok(line)) => say(&host, user, line, link).await,
                Some(Err(failure)) => break Err(failure),
                None => break Ok(()),
            },
            delivery = host.client.next() => match delivery {
                Ok(delivery) if delivery.from == user && delivery.kind == Kind::Deliver => {
                    match output::message(&delivery, Format::Text) {
                        Ok(Printed::Yes) => {
                            delivery.ack();
                        }
                        Ok(Printed::NoReader) => break Ok(()),
                        Err(failure) => break Err(failure),
                    }
                }
                // Kept, as one that is dropped would come again and again.
                Ok(delivery) => keep(&mut others, delivery),
                Err(error) => break Err(ended(&error)),
            },
            () = stop.asked() => break Ok(()),
        }
    };
    if !others.is_empty() {
        note(&format!("{} other messages wait: mq listen", others.len()));
    }
    drop(others);
    host.close().await;
    result
}

/// Posts a line. What goes wrong is told, and the conversation goes on.
async fn say(host: &Host, user: &str, line: String, link: &LinkArgs) {
    if line.is_empty() {
        return;
    }
    let to = vec![Recipient { name: user.to_owned(), kind: Whom::User }];
    let order = Order::Post { to: to.clone(), copies: true, etc: None };
    match host.desk.carry_out(order, line.into(), link.patience()).await {
        Ok(answer) => {
            if let Err(failure) = report(&answer, &to) {
                note(&failure.text);
            }
        }
        Err(failure) => note(&failure.text),
    }
}

fn keep(others: &mut Vec<Delivery>, delivery: Delivery) {
    others.push(delivery);
    if others.len() == WINDOW {
        note("too many messages of others wait, so no more come: mq listen takes them");
    }
}

/// The lines of the standard input, by a thread that may wait for ever.
fn lines() -> mpsc::Receiver<Result<String, Failure>> {
    let (send, lines) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let line = line.map_err(|error| Failure::local(format!("standard input: {error}")));
            let failed = line.is_err();
            if send.blocking_send(line).is_err() || failed {
                return;
            }
        }
    });
    lines
}
