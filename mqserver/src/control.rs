//! The control socket, `.control` in the store: where [`api`] is served to the commands of `mqserver`.
//! Only the store's owner can connect (0600).

mod client;

pub use client::{Client, ClientError, path, with};

use crate::api;
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

const NAME: &str = ".control";
/// How long the server waits for the head of a request, and for the next one on a connection.
const PATIENCE: Duration = Duration::from_secs(30);
/// Connections at a time; the next ones wait.
const CONNECTIONS: usize = 64;
/// How long it waits after it could not accept one.
const PAUSE: Duration = Duration::from_millis(100);

/// The socket, removed when it is dropped.
pub(crate) struct Control {
    path: PathBuf,
    listener: UnixListener,
}

impl Control {
    /// Opens the socket; the store's lock is held.
    pub(crate) fn open(store: &Path) -> io::Result<Self> {
        let path = store.join(NAME);
        // One that a server left that was killed.
        match is_socket(&path) {
            Ok(()) => std::fs::remove_file(&path)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let listener = UnixListener::bind(&path)?;
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600))?;
        Ok(Self { path, listener })
    }

    /// Answers until it is dropped.
    pub(crate) async fn serve(self, router: Router) {
        let router = router.fallback(api::nowhere);
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        let mut connections = JoinSet::new();
        loop {
            while connections.try_join_next().is_some() {}
            // It is never closed.
            let Ok(place) = places.clone().acquire_owned().await else { return };
            let Ok((stream, _)) = self.listener.accept().await else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            let router = router.clone();
            connections.spawn(async move {
                converse(stream, router).await;
                drop(place);
            });
        }
    }
}

async fn converse(stream: UnixStream, router: Router) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    if let Err(error) = connection.await {
        match error.is_timeout() {
            true => tracing::warn!("control socket: a client was too slow"),
            false => tracing::debug!("control socket: {error}"),
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // One that stays is replaced at the next start.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn is_socket(path: &Path) -> io::Result<()> {
    if std::fs::symlink_metadata(path)?.file_type().is_socket() {
        return Ok(());
    }
    let what = format!("{} is something else", path.display());
    Err(io::Error::new(io::ErrorKind::InvalidData, what))
}
