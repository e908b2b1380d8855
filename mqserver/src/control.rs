//! The control socket, `.control` in the store: how `mqserver status` and `mqserver invite` ask a
//! running server.
//!
//! A client sends one line of JSON, and gets one. Only the store's owner can connect (0600).

use mqlib::directory::Registration;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
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

/// What a server can be asked.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Question {
    /// How are you? Answered by a [`Status`](crate::status::Status).
    Status,
    /// Make so many invitations that are good for so many seconds. Answered by [`Invitations`].
    Invite(usize, u64),
}

/// Tokens that let somebody register, as `mqserver invite --json` prints them.
#[derive(Serialize, Deserialize)]
pub struct Invitations {
    /// The tokens, each for one user.
    pub invites: Vec<String>,
    /// When they expire, in ISO 8601.
    pub expires: String,
    /// Whether they are needed: who may register now.
    pub registration: Registration,
}

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
    pub(crate) async fn serve<F: Future<Output = io::Result<Value>>>(
        &self,
        answer: impl Fn(Question) -> F,
    ) {
        loop {
            let Ok((stream, _)) = self.listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let conversation = async {
                let (read, mut write) = stream.into_split();
                let mut line = String::new();
                tokio::io::BufReader::new(read.take(REQUEST)).read_line(&mut line).await?;
                let text = match serde_json::from_str(&line) {
                    Ok(question) => answer(question).await?.to_string(),
                    Err(_) => r#"{"error":"unknown request"}"#.to_owned(),
                };
                write.write_all(format!("{text}\n").as_bytes()).await
            };
            match timeout(PATIENCE, conversation).await {
                Ok(Err(error)) => tracing::warn!(%error, "control socket"),
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

fn is_socket(path: &Path) -> io::Result<()> {
    if std::fs::symlink_metadata(path)?.file_type().is_socket() {
        return Ok(());
    }
    let what = format!("{} is something else", path.display());
    Err(io::Error::new(io::ErrorKind::InvalidData, what))
}

/// Asks the server that runs on a store.
///
/// # Errors
/// None runs there, or it does not answer.
pub fn ask<T: DeserializeOwned>(store: &Path, question: Question) -> io::Result<T> {
    let path = store.join(NAME);
    is_socket(&path)?;
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(format!("{}\n", serde_json::to_string(&question)?).as_bytes())?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    Ok(serde_json::from_str(&line)?)
}
