//! A backup of a store at work: what the store's threads tell of the moment, and the files.

use super::archive::{Archive, SINGLE};
use super::manifest::{FORMAT, Manifest};
use crate::operator::{Operator, Stopping, wall};
use crate::plain;
use crate::store_thread::Inquiry;
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, stream};
use mqlib::directory::Directory;
use mqlib::disk::{Disk, FsDisk};
use mqlib::id::MessageId;
use mqlib::node::NodeId;
use mqlib::registry::{self, Registry, RegistryError};
use mqlib::store::Snapshot;
use mqlib::{now, posted, spool};
use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

/// Bytes handed on at once.
const CHUNK: usize = 256 << 10;
/// Chunks that wait for the client.
const CHUNKS: usize = 8;
/// How long a client may take to take one, before the backup is given up.
const STALLED: Duration = Duration::from_secs(60);
/// How long the store may take to file what is in the journal.
const FILING: Duration = Duration::from_secs(60);
/// How often it is asked whether it has.
const LOOK: Duration = Duration::from_millis(10);
/// How often the directory's database is read before nobody may write to it meanwhile.
const TRIES: usize = 3;

/// Why a backup was not begun. Told to the operator.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TakeError {
    #[error(transparent)]
    Stopping(#[from] Stopping),
    #[error("a backup is being taken; one at a time")]
    Busy,
    #[error(
        "messages in the journal are not filed within {FILING:?}: the disk is full, or too slow"
    )]
    NotFiled,
    #[error("the disk refuses: {0}")]
    Disk(#[from] io::Error),
    #[error("{0}")]
    Directory(#[from] RegistryError),
}

/// Ends a backup, however it goes.
struct Ending(Inquiry);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.tell(|store| store.end_backup());
    }
}

/// Takes a backup: its bytes, as they come. An error among them says that it broke off.
pub(crate) async fn stream(
    operator: &Operator,
) -> Result<impl Stream<Item = io::Result<Bytes>> + Send + 'static, TakeError> {
    let started = wall();
    let inquiry = operator.inquiry();
    if !inquiry.ask(|store| store.begin_backup()).await.ok_or(Stopping)? {
        return Err(TakeError::Busy);
    }
    let ending = Ending(inquiry.clone());
    let snapshot = snapshot(operator).await?;
    // Behind the snapshot: a message that is in the spool has its user there, unless that was deleted.
    let database = database(operator).await?;
    let content = database.clone();
    let look = move || Registry::look_into(&content);
    let directory = tokio::task::spawn_blocking(look).await.map_err(io::Error::other)??;
    let (disk, store) = (operator.disk().clone(), operator.store().to_owned());
    let (chunks, taken) = mpsc::channel(CHUNKS);
    let out = Pipe { chunks, handle: Handle::current(), chunk: BytesMut::new() };
    tokio::task::spawn_blocking(move || {
        // Until here.
        let _ending = ending;
        let (end, handle) = (out.chunks.clone(), out.handle.clone());
        let mut take =
            Take { disk, store, database, directory, snapshot, started, damaged: 0, messages: 0 };
        match take.write(out) {
            Ok(manifest) => tracing::info!(
                "a backup was taken: {} messages, {} users, {} MiB",
                manifest.messages,
                manifest.users,
                manifest.bytes >> 20
            ),
            Err(error) => {
                tracing::warn!("a backup broke off: {error}");
                // Whoever takes it may have gone.
                let _ = handle.block_on(timeout(STALLED, end.send(Err(error))));
            }
        }
    });
    Ok(stream::unfold(taken, async |mut taken| Some((taken.recv().await?, taken))))
}

async fn snapshot(operator: &Operator) -> Result<Snapshot, TakeError> {
    let start = Instant::now();
    while start.elapsed() < FILING {
        let asked = operator.inquiry().ask(|store| store.snapshot()).await;
        if let Some(snapshot) = asked.ok_or(Stopping)? {
            return Ok(snapshot);
        }
        sleep(LOOK).await;
    }
    Err(TakeError::NotFiled)
}

/// The file of the directory's database, as a commit left it.
async fn database(operator: &Operator) -> Result<Bytes, TakeError> {
    let edits = async || operator.inquiry().ask(|store| store.edits()).await.ok_or(Stopping);
    let disk = operator.disk().clone();
    for _ in 0..TRIES {
        let (before, disk) = (edits().await?, disk.clone());
        let read = tokio::task::spawn_blocking(move || disk.read(registry::PATH));
        let content = read.await.map_err(io::Error::other)??;
        if edits().await? == before {
            return Ok(content.into());
        }
    }
    // Somebody edits all the time: nobody does while the thread that commits reads it.
    let read = operator.inquiry().ask(move |_| disk.read(registry::PATH)).await;
    Ok(read.ok_or(Stopping)??.into())
}

/// Hands on bytes to a task, and waits while that has enough.
struct Pipe {
    chunks: mpsc::Sender<io::Result<Bytes>>,
    handle: Handle,
    chunk: BytesMut,
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.chunk.extend_from_slice(bytes);
        if self.chunk.len() >= CHUNK {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let chunk = self.chunk.split().freeze();
        if chunk.is_empty() {
            return Ok(());
        }
        match self.handle.block_on(timeout(STALLED, self.chunks.send(Ok(chunk)))) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(io::Error::new(ErrorKind::BrokenPipe, "its client has gone")),
            Err(_) => Err(io::Error::new(ErrorKind::TimedOut, "its client takes nothing more")),
        }
    }
}

/// A backup that is being written.
struct Take {
    disk: Arc<FsDisk>,
    store: PathBuf,
    /// The file of its database.
    database: Bytes,
    directory: Directory,
    snapshot: Snapshot,
    /// When it was begun, in ms since 1970.
    started: u64,
    damaged: u64,
    messages: u64,
}

impl Take {
    fn write(&mut self, out: impl Write) -> io::Result<Manifest> {
        let mut archive = Archive::new(out);
        let time = self.started / 1000;
        archive.file(registry::PATH, time, &self.database)?;
        for name in SINGLE.into_iter().filter(|name| *name != registry::PATH) {
            if let Some(content) = self.single(name)? {
                archive.file(name, time, &content)?;
            }
        }
        // Of messages with several names: the first one, and how many are to come.
        let mut linked = HashMap::new();
        let (mut users, mut nodes) = (0, 0);
        // Those that are being deleted, too: the new store goes on with that.
        for (id, user) in self.directory.users().chain(self.directory.leaving()) {
            users += u64::from(!user.deleted);
            nodes += user.nodes.len() as u64;
            // So it does with what is left of nodes that were dropped.
            let all: Vec<_> = self.directory.nodes(id).chain(self.directory.dropped(id)).collect();
            for node in all {
                let queue = spool::directory(&user.name, node);
                let (messages, damaged) = self.queue(&mut archive, &queue, &mut linked)?;
                self.messages += messages;
                self.damaged += damaged;
                self.damaged += self.posts(&mut archive, node, &user.name)?;
            }
        }
        let manifest = Manifest {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            taken: now::date(self.started),
            last_id: self.snapshot.up_to.to_string(),
            users,
            nodes,
            lists: self.directory.list_count() as u64,
            messages: self.messages,
            bytes: 0,
            damaged: self.damaged,
            sha256: String::new(),
        };
        archive.end(manifest, time)
    }

    /// A file of the store that need not be there.
    fn single(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let opened = plain::open(&self.store.join(name), OpenOptions::new().read(true));
        let mut file = match opened {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == ErrorKind::NotADirectory => return Ok(None),
            file => file?,
        };
        let mut content = Vec::new();
        file.read_to_end(&mut content)?;
        Ok(Some(content))
    }

    /// Adds what waits in a queue: how many messages, and how many are damaged.
    fn queue(
        &self,
        archive: &mut Archive<impl Write>,
        queue: &str,
        linked: &mut HashMap<MessageId, (String, u64)>,
    ) -> io::Result<(u64, u64)> {
        let (mut messages, mut damaged) = (0, 0);
        let wanted = |id| id <= self.snapshot.up_to;
        let names = match spool::names(&*self.disk, queue, MessageId::ZERO, usize::MAX, wanted) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok((0, 0)),
            names => names?.0,
        };
        for (id, to_one) in names {
            let path = spool::path(queue, id, to_one);
            let time = id.millis() / 1000;
            let links = match self.disk.stat(&path) {
                // Acked meanwhile.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                stat => stat?.links,
            };
            if let Some((first, left)) = linked.get_mut(&id) {
                archive.link(&path, time, first)?;
                messages += 1;
                *left = left.saturating_sub(1);
                if *left == 0 {
                    linked.remove(&id);
                }
                continue;
            }
            match spool::whole(&*self.disk, queue, id, to_one, None) {
                Ok(None) => {}
                Ok(Some(message)) => {
                    archive.file(&path, time, &spool::file(&message))?;
                    messages += 1;
                    if links > 1 {
                        linked.insert(id, (path, links - 1));
                    }
                }
                Err(error) => {
                    tracing::warn!("{path} is not in the backup: {error}");
                    damaged += 1;
                }
            }
        }
        Ok((messages, damaged))
    }

    /// Adds what a node has posted lately; how much of it is damaged.
    fn posts(
        &self,
        archive: &mut Archive<impl Write>,
        node: NodeId,
        user: &str,
    ) -> io::Result<u64> {
        let path = spool::posted_path(user, node);
        let file = match self.disk.read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            file => file?,
        };
        let recent = self.snapshot.posted.get(&node).map(Vec::as_slice).unwrap_or_default();
        if file.is_empty() && recent.is_empty() {
            return Ok(0);
        }
        let (content, damaged) = posted::with(&file, recent);
        archive.file(&path, self.started / 1000, &content)?;
        Ok(damaged as u64)
    }
}
