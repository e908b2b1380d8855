//! Requests of other processes of the same profile, by the one that is logged in.
//!
//! A node is logged in once. While `mq listen` or `mq chat` is, the others hand it what they ask
//! for, over a socket in the profile's directory, which is the user's alone. The alternative, a
//! second node for posting, would have a queue that nobody reads: it would grow up to its limit, and
//! then those who post would be told so.
//!
//! The host greets whom it accepts; before that nothing was asked of it, so it may be asked again.
//! Then: a line of JSON with the order and the length of the body, the body, a line with the
//! result.

use crate::failure::{Code, Failure};
use crate::order::{Answer, Desk, Order};
use crate::profile::Profile;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

/// Tells what is spoken. Programs of one version only speak with each other.
const GREETING: &str = concat!("mq ", env!("CARGO_PKG_VERSION"), "\n");
/// The longest line.
const MAX_LINE: u64 = 64 << 20;
/// How long a host that ends waits for what it was asked.
const GOODBYE: Duration = Duration::from_secs(5);

#[derive(Serialize, Deserialize)]
struct Asked {
    order: Order,
    body: usize,
    /// How long the guest waits while the link is away, in ms.
    patience: u64,
}

/// Takes requests of other processes, until it is closed.
#[derive(Debug)]
pub(crate) struct Relay {
    serving: JoinHandle<()>,
    stop: tokio::sync::oneshot::Sender<()>,
}

impl Relay {
    /// Listens in the profile's directory. The caller holds the profile's lock.
    pub(crate) fn open(profile: &Profile, desk: Desk) -> Result<Self, Failure> {
        let path = profile.socket();
        // Whoever had it before is gone: it would have the lock.
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).map_err(|error| Failure::file(&path, &error))?;
        let (stop, mut stopped) = tokio::sync::oneshot::channel();
        let serving = tokio::spawn(async move {
            let mut guests = JoinSet::new();
            loop {
                tokio::select! {
                    _ = &mut stopped => break,
                    Some(_) = guests.join_next() => {}
                    guest = listener.accept() => match guest {
                        Ok((guest, _)) => { guests.spawn(serve(guest, desk.clone())); }
                        // Out of file descriptors: it passes.
                        Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                    },
                }
            }
            drop(listener);
            let _ = std::fs::remove_file(path);
            let _ = timeout(GOODBYE, async { while guests.join_next().await.is_some() {} }).await;
        });
        Ok(Self { serving, stop })
    }

    /// Takes no more, and waits for the answers to what it took.
    pub(crate) async fn close(self) {
        let _ = self.stop.send(());
        let _ = self.serving.await;
    }
}

/// Carries out the one request of a guest. If that goes away, nobody needs the answer.
async fn serve(guest: UnixStream, desk: Desk) {
    let mut guest = BufReader::new(guest);
    let answered: io::Result<()> = async {
        guest.write_all(GREETING.as_bytes()).await?;
        let mut line = String::new();
        (&mut guest).take(MAX_LINE).read_line(&mut line).await?;
        let Asked { order, body, patience } = serde_json::from_str(&line)?;
        // Grows as the bytes come, whatever was announced.
        let mut data = Vec::new();
        (&mut guest).take(body as u64).read_to_end(&mut data).await?;
        if data.len() != body {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let patience = Duration::from_millis(patience);
        let result = desk.carry_out(order, data.into(), patience).await;
        let mut result = serde_json::to_vec(&result)?;
        result.push(b'\n');
        guest.write_all(&result).await?;
        guest.shutdown().await
    }
    .await;
    if let Err(error) = answered {
        tracing::debug!(%error, "a guest is gone");
    }
}

/// Asks the process that is logged in; `None` if none takes requests.
pub(crate) async fn ask(
    profile: &Profile,
    order: &Order,
    body: &Bytes,
    patience: Duration,
) -> Option<Result<Answer, Failure>> {
    let host = UnixStream::connect(profile.socket()).await.ok()?;
    let mut host = BufReader::new(host);
    let mut greeting = String::new();
    let greeted = (&mut host).take(GREETING.len() as u64).read_line(&mut greeting).await;
    match greeted {
        Ok(1..) if greeting == GREETING => {}
        Ok(1..) => {
            let text = format!("{} is another version of mq: start it again", profile.holder());
            return Some(Err(Failure::local(text)));
        }
        // It ended just now.
        Ok(0) | Err(_) => return None,
    }
    Some(hand_over(host, order, body, patience).await)
}

async fn hand_over(
    mut host: BufReader<UnixStream>,
    order: &Order,
    body: &Bytes,
    patience: Duration,
) -> Result<Answer, Failure> {
    #[derive(Serialize)]
    struct Asking<'a> {
        order: &'a Order,
        body: usize,
        patience: u64,
    }
    let asked: io::Result<String> = async {
        let patience = patience.as_millis().try_into().unwrap_or(u64::MAX);
        let mut line = serde_json::to_vec(&Asking { order, body: body.len(), patience })?;
        line.push(b'\n');
        host.write_all(&line).await?;
        host.write_all(body).await?;
        let mut answer = String::new();
        host.read_line(&mut answer).await?;
        Ok(answer)
    }
    .await;
    let answer = asked.unwrap_or_default();
    if answer.is_empty() {
        let text = "the mq that is logged in ended before the answer came";
        return Err(Failure::uncertain(text));
    }
    serde_json::from_str(&answer).unwrap_or_else(|error| {
        Err(Failure::new(Code::Uncertain, format!("the mq that is logged in answers: {error}")))
    })
}
