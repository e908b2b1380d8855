//! What is done to the spool's files, each a job that a worker thread runs.

use super::{Content, STAGED, Staged};
use crate::disk::Disk;
use crate::id::MessageId;
use crate::journal::Epoch;
use crate::node::NodeId;
use bytes::Bytes;
use std::io::{self, ErrorKind};
use std::sync::Arc;

/// A message to be filed.
#[derive(Debug)]
pub struct FileJob {
    /// The message.
    pub id: MessageId,
    /// Is it for one node of its user only?
    pub to_one: bool,
    /// The message itself.
    pub content: Content,
    /// The directories it goes to.
    pub directories: Vec<Arc<str>>,
    /// A crash may have left a file of this name, whole or not.
    pub recovered: bool,
}

/// Work on files, for a worker thread: [`run`](Job::run) it and hand the result back.
#[derive(Debug)]
pub enum Job {
    /// Write messages and link them to all their recipients.
    File(Vec<FileJob>),
    /// Remove a node's names of messages.
    Unlink {
        /// The node, to be handed back.
        node: NodeId,
        /// Its directory.
        directory: Arc<str>,
        /// The messages, each with the use of the journal that says so.
        ids: Vec<(MessageId, Epoch)>,
    },
    /// List a node's messages after an id, the oldest first.
    List {
        /// To be handed back.
        token: u64,
        /// Its directory.
        directory: Arc<str>,
        /// Only later ones.
        after: MessageId,
        /// At most this many.
        max: usize,
    },
    /// Read a message.
    Read {
        /// The node it is for, to be handed back.
        node: NodeId,
        /// The message.
        id: MessageId,
        /// Its path.
        path: String,
        /// A large one that may not be filed yet: then its body is read from where it is staged.
        staged: Option<Staged>,
    },
    /// Write a large body, before it has an id.
    Stage {
        /// To be handed back.
        token: u64,
        /// The file of each copy.
        numbers: Vec<u64>,
        /// The length of the header that will go before it.
        header_len: usize,
        /// The body.
        body: Bytes,
    },
    /// Remove large bodies that nobody needs.
    Unstage(Vec<u64>),
    /// Give a node what waits for another, durably.
    Copy {
        /// To be handed back.
        token: u64,
        /// The directory of the node that has it.
        from: Arc<str>,
        /// The directory of the node that gets it.
        to: Arc<str>,
        /// What the first node has acked already.
        except: Vec<MessageId>,
    },
    /// Make all files durable, so that a use of the journal can be freed.
    Checkpoint {
        /// The use.
        epoch: Epoch,
        /// Large bodies that have all their links.
        staged: Vec<u64>,
    },
    /// Remove a node's directory if it is empty.
    Tidy(Arc<str>),
}

/// What became of a [`Job`].
#[derive(Debug)]
pub enum JobDone {
    /// For each message whether it is filed.
    Filed(Vec<(MessageId, io::Result<()>)>),
    /// The names are gone.
    Unlinked(NodeId, Vec<(MessageId, Epoch)>, io::Result<()>),
    /// A node's messages, and are there more?
    Listed(u64, io::Result<(Vec<(MessageId, bool)>, bool)>),
    /// A message; `None` if there is no such file.
    Read(NodeId, MessageId, io::Result<Option<Bytes>>),
    /// A large body: its files, its length and its checksum.
    Staged(u64, Vec<u64>, io::Result<(u64, u32)>),
    /// A node has what another has.
    Copied(u64, io::Result<()>),
    /// The files are durable.
    Checkpointed(Epoch, io::Result<()>),
    /// There was no room for now: the job is to be run again later.
    Again(Job, io::Error),
    /// Done, or not worth a word.
    Nothing,
}

impl Job {
    /// Does it, and says what became of it.
    pub fn run(self, disk: &dyn Disk) -> JobDone {
        match self {
            Self::File(jobs) => {
                let filed = jobs.into_iter().map(|job| (job.id, job.run(disk)));
                JobDone::Filed(filed.collect())
            }
            Self::Unlink { node, directory, ids } => match unlink(disk, &directory, &ids) {
                Err(error) if is_full(&error) => {
                    JobDone::Again(Self::Unlink { node, directory, ids }, error)
                }
                result => JobDone::Unlinked(node, ids, result),
            },
            Self::List { token, directory, after, max } => {
                match list(disk, &directory, after, max) {
                    Err(error) if is_full(&error) => {
                        JobDone::Again(Self::List { token, directory, after, max }, error)
                    }
                    result => JobDone::Listed(token, result),
                }
            }
            Self::Read { node, id, path, staged } => match read(disk, &path, staged.as_ref()) {
                Err(error) if is_full(&error) => {
                    JobDone::Again(Self::Read { node, id, path, staged }, error)
                }
                result => JobDone::Read(node, id, result),
            },
            Self::Stage { token, numbers, header_len, body } => {
                let result = stage(disk, &numbers, header_len, &body);
                JobDone::Staged(token, numbers, result)
            }
            Self::Unstage(numbers) => {
                unstage(disk, &numbers);
                JobDone::Nothing
            }
            Self::Copy { token, from, to, except } => match copy(disk, &from, &to, &except) {
                Err(error) if is_full(&error) => {
                    JobDone::Again(Self::Copy { token, from, to, except }, error)
                }
                result => JobDone::Copied(token, result),
            },
            Self::Checkpoint { epoch, staged } => {
                let result = disk.sync_all();
                if result.is_ok() {
                    unstage(disk, &staged);
                }
                JobDone::Checkpointed(epoch, result)
            }
            Self::Tidy(directory) => {
                // Not empty, or not there: both are fine.
                let _ = disk.remove_dir(&directory);
                JobDone::Nothing
            }
        }
    }
}

impl FileJob {
    fn run(&self, disk: &dyn Disk) -> io::Result<()> {
        let mut paths = self.directories.iter().map(|dir| super::path(dir, self.id, self.to_one));
        let first = match &self.content {
            Content::Whole(message) => {
                let Some(first) = paths.next() else { return Ok(()) };
                let line = super::line_of(message);
                let create = || disk.create(&first, 0, &[line.as_bytes(), message]);
                match in_directory(disk, &first, create) {
                    Err(error) if exists(&error) => {
                        // What a crash left may be cut short; then it is no message, and goes.
                        if self.recovered && !is_whole(disk, &first, message) {
                            remove(disk, &first)?;
                            in_directory(disk, &first, create)?;
                        }
                    }
                    result => result?,
                }
                first
            }
            Content::Staged(staged) => {
                let path = super::staged_path(staged.number);
                match disk.patch(&path, 0, &super::staged_head(staged)) {
                    // It goes only when all its links are durable.
                    Err(error) if missing(&error) && self.recovered => return Ok(()),
                    result => result?,
                }
                path
            }
        };
        for path in paths {
            match in_directory(disk, &path, || disk.link(&first, &path)) {
                Err(error) if exists(&error) => {
                    let message = match &self.content {
                        Content::Whole(message) => message,
                        // Of a staged body there is one file only.
                        Content::Staged(_) => continue,
                    };
                    if self.recovered && !is_whole(disk, &path, message) {
                        remove(disk, &path)?;
                        in_directory(disk, &path, || disk.link(&first, &path))?;
                    }
                }
                result => result?,
            }
        }
        Ok(())
    }
}

/// Errors that go away when someone makes room, on the disk or among open files.
pub(crate) fn is_full(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let kind = error.kind();
    let files = [Errno::MFILE, Errno::NFILE].map(Errno::raw_os_error);
    matches!(kind, ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::OutOfMemory)
        || error.raw_os_error().is_some_and(|code| files.contains(&code))
}

fn exists(error: &io::Error) -> bool {
    error.kind() == ErrorKind::AlreadyExists
}

fn missing(error: &io::Error) -> bool {
    error.kind() == ErrorKind::NotFound
}

fn remove(disk: &dyn Disk, path: &str) -> io::Result<()> {
    match disk.unlink(path) {
        Err(error) if missing(&error) => Ok(()),
        result => result,
    }
}

fn is_whole(disk: &dyn Disk, path: &str, message: &[u8]) -> bool {
    let read = disk.read(path).ok().and_then(|content| super::parse(content).ok());
    read.is_some_and(|read| read == message)
}

/// Makes the directory of `path` when it turns out to be missing, also when another worker tidies
/// it away in between.
fn in_directory(
    disk: &dyn Disk,
    path: &str,
    mut act: impl FnMut() -> io::Result<()>,
) -> io::Result<()> {
    const TRIES: usize = 8;
    let mut result = act();
    for _ in 0..TRIES {
        match (&result, path.rsplit_once('/')) {
            (Err(error), Some((directory, _))) if missing(error) => {
                if let Err(error) = disk.create_dir(directory)
                    && !exists(&error)
                {
                    return Err(error);
                }
                result = act();
            }
            _ => break,
        }
    }
    result
}

/// More names than this are looked for in one listing instead of one by one.
const UNLINKS_WITHOUT_LISTING: usize = 16;

fn unlink(disk: &dyn Disk, directory: &str, ids: &[(MessageId, Epoch)]) -> io::Result<()> {
    if ids.len() <= UNLINKS_WITHOUT_LISTING {
        for (id, _) in ids {
            remove(disk, &super::path(directory, *id, false))?;
            remove(disk, &super::path(directory, *id, true))?;
        }
        return Ok(());
    }
    let names = match disk.list(directory) {
        Err(error) if missing(&error) => return Ok(()),
        names => names?,
    };
    let ids: std::collections::HashSet<MessageId> = ids.iter().map(|(id, _)| *id).collect();
    for name in names {
        if super::parse_name(&name).is_some_and(|(id, _)| ids.contains(&id)) {
            remove(disk, &format!("{directory}/{name}"))?;
        }
    }
    Ok(())
}

fn list(
    disk: &dyn Disk,
    directory: &str,
    after: MessageId,
    max: usize,
) -> io::Result<(Vec<(MessageId, bool)>, bool)> {
    let names = match disk.list(directory) {
        Err(error) if missing(&error) => return Ok((Vec::new(), false)),
        names => names?,
    };
    let found = names.iter().filter_map(|name| super::parse_name(name));
    let mut found: Vec<_> = found.filter(|(id, _)| *id > after).collect();
    found.sort_unstable();
    let more = found.len() > max;
    found.truncate(max);
    Ok((found, more))
}

fn read(disk: &dyn Disk, path: &str, staged: Option<&Staged>) -> io::Result<Option<Bytes>> {
    if let Some(staged) = staged {
        match disk.read(&super::staged_path(staged.number)) {
            // Filed for certain, in this life or an earlier one.
            Err(error) if missing(&error) => {}
            content => {
                let (mut content, head) = (content?, super::staged_head(staged));
                let place = content.get_mut(..head.len());
                place.ok_or_else(|| damaged("cut short"))?.copy_from_slice(&head);
                return super::parse(content).map(Some).map_err(damaged);
            }
        }
    }
    match disk.read(path) {
        Err(error) if missing(&error) => Ok(None),
        content => match super::parse(content?) {
            Ok(message) => Ok(Some(message)),
            Err(error) => {
                quarantine(disk, path)?;
                Err(damaged(error))
            }
        },
    }
}

/// Takes a damaged file out of its queue, so that it is in nobody's way, and keeps it.
fn quarantine(disk: &dyn Disk, path: &str) -> io::Result<()> {
    let name = path.strip_prefix(super::ROOT).unwrap_or(path).trim_start_matches('/');
    let target = format!("{}/{}", super::QUARANTINE, name.replace('/', "."));
    match in_directory(disk, &target, || disk.link(path, &target)) {
        Err(error) if !exists(&error) => Err(error),
        _ => remove(disk, path),
    }
}

fn damaged(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, why)
}

fn stage(
    disk: &dyn Disk,
    numbers: &[u64],
    header_len: usize,
    body: &[u8],
) -> io::Result<(u64, u32)> {
    let offset = (super::LINE + header_len) as u64;
    for number in numbers {
        let path = super::staged_path(*number);
        in_directory(disk, &path, || disk.create(&path, offset, &[body]))?;
        disk.sync_path(&path)?;
    }
    disk.sync_path(STAGED)?;
    Ok((body.len() as u64, crc32c::crc32c(body)))
}

fn unstage(disk: &dyn Disk, numbers: &[u64]) {
    for number in numbers {
        // What stays is removed at the next start.
        let _ = disk.unlink(&super::staged_path(*number));
    }
}

fn copy(disk: &dyn Disk, from: &str, to: &str, except: &[MessageId]) -> io::Result<()> {
    let names = match disk.list(from) {
        Err(error) if missing(&error) => Vec::new(),
        names => names?,
    };
    for name in names {
        let Some((id, _)) = super::parse_name(&name) else { continue };
        if except.contains(&id) {
            continue;
        }
        let (source, target) = (format!("{from}/{name}"), format!("{to}/{name}"));
        match in_directory(disk, &target, || disk.link(&source, &target)) {
            // Acked meanwhile.
            Err(error) if missing(&error) => {}
            // Copied before, perhaps by a server that a crash ended before it was durable.
            Err(error) if exists(&error) => {
                if disk.read(&target).ok().is_none_or(|content| super::parse(content).is_err()) {
                    remove(disk, &target)?;
                    in_directory(disk, &target, || disk.link(&source, &target))?;
                }
            }
            result => result?,
        }
    }
    disk.sync_all()
}
