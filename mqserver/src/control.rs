//! The control socket, `.control` in the store: how `mqserver status` asks a running server.
//!
//! A client sends one word and a line feed, and gets one line of JSON. Only the store's owner can
//! connect (0600).

use crate::status::Status;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio::time::timeout;

const NAME: &str = ".control";
/// How long either side waits for the other.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest request in bytes.
const REQUEST: u64 = 1024;

/// The socket, removed when it is dropped.
pub(crate) struct Control {
    path: PathBuf,
    listener: UnixListener,
}

impl Control {
    /// Opens the socket; the store's lock is held.
    pub(crate) fn open(store: &Path) -> io::Result<Self> {
        let path = store.join(NAME);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600))?;
        Ok(Self { path, listener })
    }

    /// Answers until it is dropped.
    pub(crate) async fn serve<F: Future<Output = io::Result<Status>>>(
        &self,
        status: impl Fn() -> F,
    ) {
        loop {
            let Ok((stream, _)) = self.listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let answer = async {
                let (read, mut write) = stream.into_split();
                let mut line = String::new();
                tokio::io::BufReader::new(read.take(REQUEST)).read_line(&mut line).await?;
                let text = match line.trim() {
                    "status" => serde_json::to_string(&status().await?)?,
                    _ => r#"{"error":"unknown request"}"#.to_owned(),
                };
                write.write_all(format!("{text}\n").as_bytes()).await
            };
            match timeout(PATIENCE, answer).await {
                Ok(Err(error)) => tracing::warn!("control socket: {error}"),
                Err(_) => tracing::warn!("control socket: a client was too slow"),
                Ok(Ok(())) => {}
            }
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // One that stays is replaced at the next start.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Asks the server that runs on a store how it is.
///
/// # Errors
/// None runs there, or it does not answer.
pub fn ask(store: &Path) -> io::Result<Status> {
    let mut stream = UnixStream::connect(store.join(NAME))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"status\n")?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    Ok(serde_json::from_str(&line)?)
}
