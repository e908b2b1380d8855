//! A command of the user's for a message: the data on its standard input, the rest in its
//! environment.

use crate::output;
use crate::profile::Profile;
use crate::secret;
use bytes::Bytes;
use mqclient::Delivery;
use std::io;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// The longest etc that goes into the environment: Linux takes 128 KiB in one variable.
const MAX_ETC: usize = 96 << 10;

/// Runs it to its end.
pub(crate) async fn run(
    command: &str,
    delivery: &Delivery,
    profile: &Profile,
) -> io::Result<ExitStatus> {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(command).stdin(Stdio::piped()).kill_on_drop(true);
    shell.env("MQ_ID", &delivery.id).env("MQ_FROM", &delivery.from);
    shell.env("MQ_KIND", output::kind(delivery.kind));
    shell.env("MQ_REDELIVERED", delivery.redelivered.to_string());
    shell.env("MQ_POSTED", delivery.posted.as_deref().unwrap_or_default());
    shell.env("MQ_USER", &profile.settings.user);
    // So that a mq in it speaks as the same node.
    shell.env("MQ_PROFILE", &profile.name);
    let etc = delivery.etc.as_deref().unwrap_or_default();
    let etc = Some(etc).filter(|etc| etc.len() <= MAX_ETC && !etc.contains(&0));
    match etc.and_then(|etc| std::str::from_utf8(etc).ok()) {
        Some(etc) => shell.env("MQ_ETC", etc),
        None => shell.env_remove("MQ_ETC"),
    };
    for variable in secret::VARIABLES {
        shell.env_remove(variable);
    }
    let mut child = shell.spawn()?;
    let stdin = child.stdin.take();
    let data: Bytes = delivery.data.clone();
    let mut feeding = pin!(async move {
        if let Some(mut stdin) = stdin {
            // A command need not read all of it, and its status says how it went.
            let _ = stdin.write_all(&data).await;
        }
    });
    let mut ended = pin!(child.wait());
    let mut fed = false;
    loop {
        tokio::select! {
            () = &mut feeding, if !fed => fed = true,
            // Whoever else has the other end of the pipe need not read it either.
            status = &mut ended => return status,
        }
    }
}
