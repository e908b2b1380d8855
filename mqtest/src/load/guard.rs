//! Watches over a server of our own, and kills it now and then if that is asked for.

use super::Stage;
use super::note::Note;
use crate::spawn::{Options, Server};
use anyhow::Context;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

/// How often the server is asked whether it lives.
const LOOK: Duration = Duration::from_millis(500);

/// Starts a server on a free port that it keeps when it is started again, so that the clients find
/// it.
pub(crate) async fn start(bin: Option<PathBuf>, tls: bool) -> anyhow::Result<Server> {
    // Somebody else may take the port in between; then the server says so.
    let probe = || std::net::TcpListener::bind("127.0.0.1:0").context("there is no free port");
    let (one, other) = (probe()?, probe()?);
    let listen = Some(one.local_addr()?);
    let listen_tls = if tls { Some(other.local_addr()?) } else { None };
    drop((one, other));
    Server::spawn(Options { bin, listen, listen_tls, ..Options::default() }).await
}

/// Watches until the run is over, then stops the server; the error says how it failed.
pub(crate) async fn watch(
    mut server: Server,
    kill_every: Option<Duration>,
    mut stage: watch::Receiver<Stage>,
    notes: mpsc::Sender<Note>,
) -> Result<(), String> {
    let mut kill_at = kill_every.map(|every| Instant::now() + every);
    loop {
        let now_stage = *stage.borrow_and_update();
        if now_stage == Stage::Over {
            return stop(server).await;
        }
        let killing = kill_at.filter(|_| now_stage == Stage::Load);
        tokio::select! {
            _ = stage.changed() => {}
            () = sleep(LOOK) => {
                if let Ok(Some(status)) = server.exited() {
                    let text = format!("the server ended by itself: {status}\n{}", server.log_tail());
                    let _ = notes.send(Note::ServerFailed(text.clone())).await;
                    return Err(text);
                }
            }
            () = sleep_until(killing.unwrap_or_else(Instant::now)), if killing.is_some() => {
                if let Err(error) = kill(&mut server).await {
                    let text = format!("the server did not come back: {error:#}");
                    let _ = notes.send(Note::ServerFailed(text.clone())).await;
                    return Err(text);
                }
                let _ = notes.send(Note::Killed).await;
                kill_at = kill_every.map(|every| Instant::now() + every);
            }
        }
    }
}

async fn kill(server: &mut Server) -> anyhow::Result<()> {
    server.kill()?;
    server.restart().await
}

async fn stop(mut server: Server) -> Result<(), String> {
    match server.stop().await {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("the server did not stop well: {status}\n{}", server.log_tail())),
        Err(error) => Err(format!("the server did not stop: {error:#}\n{}", server.log_tail())),
    }
}
