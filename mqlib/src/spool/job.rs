//! What is done to the spool's files, each a job that a worker thread runs.

use super::glance::{Glance, Glanced, Others};
use super::older::Named;
use super::recall::{Remember, Remembered};
use super::{Amount, Content, Measured, STAGED, Staged, ToMeasure};
use crate::disk::{Disk, Room};
use crate::id::MessageId;
use crate::journal::Epoch;
use crate::node::NodeId;
use crate::posted::Entry;
use bytes::Bytes;
use std::collections::HashSet;
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

/// A message to be read.
#[derive(Debug)]
pub struct Wanted {
    /// The message.
    pub id: MessageId,
    /// Is it for one node of its user only?
    pub to_one: bool,
    /// A large one that may not be filed yet: then its body is read from where it is staged.
    pub staged: Option<Staged>,
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
    /// Read messages of a node's.
    Read {
        /// The node, to be handed back.
        node: NodeId,
        /// Its directory.
        directory: Arc<str>,
        /// The messages.
        wanted: Vec<Wanted>,
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
        /// What one of them has acked already.
        except: Vec<MessageId>,
        /// What it has got so far, but for what is for one node only.
        copied: Amount,
    },
    /// Remove all that is left of a node, durably.
    Empty {
        /// To be handed back.
        token: u64,
        /// Its directory.
        directory: Arc<str>,
        /// The directory of the node that gets what only one node of the user is to have.
        heir: Option<Arc<str>>,
        /// What that one is not to get: it is acked.
        except: Vec<MessageId>,
        /// The file of what the node has posted.
        posted: Arc<str>,
    },
    /// Count what waits for nodes. Thousands of files may be looked at, so it is no job for the
    /// thread that reads for everyone.
    Measure {
        /// To be handed back.
        token: u64,
        /// Only up to this one.
        up_to: MessageId,
        /// The nodes.
        directories: Vec<ToMeasure>,
        /// Messages for one node of a user that are not to be counted.
        to_one: HashSet<MessageId>,
    },
    /// Look at messages of a node's: how long they are, and their headers if these are wanted.
    Glance {
        /// To be handed back.
        token: u64,
        /// The node, too.
        node: NodeId,
        /// Its directory.
        directory: Arc<str>,
        /// The messages, each with whether it is for one node only.
        wanted: Vec<(MessageId, bool)>,
        /// Are the headers wanted?
        headers: bool,
        /// Other nodes that may have the messages.
        others: Others,
        /// What was seen of messages that are not filed.
        seen: Vec<Glance>,
    },
    /// Find queues with messages before an id. Like to measure, this is not for the thread that reads
    /// for everyone.
    FindOlder(MessageId),
    /// Make all files durable, so that a use of the journal can be freed.
    Checkpoint {
        /// The use.
        epoch: Epoch,
        /// Large bodies that have all their links.
        staged: Vec<u64>,
    },
    /// Remove a node's directory if it is empty.
    Tidy(Arc<str>),
    /// See how much room is left.
    Room,
    /// Put what nodes have posted into their files, before a use of the journal can be freed.
    Remember {
        /// The use.
        epoch: Epoch,
        /// The nodes.
        nodes: Vec<Remember>,
    },
    /// Read what a node has posted.
    Recall {
        /// To be handed back.
        token: u64,
        /// The node, too.
        node: NodeId,
        /// Its file.
        path: Arc<str>,
        /// What does not stand there yet.
        recent: Vec<Entry>,
    },
}

/// What became of a [`Job`].
#[derive(Debug)]
pub enum JobDone {
    /// For each message whether it is filed.
    Filed(Vec<(MessageId, io::Result<()>)>),
    /// The names are gone.
    Unlinked(NodeId, Vec<(MessageId, Epoch)>, io::Result<()>),
    /// A node's messages, and how many more there are.
    Listed(u64, io::Result<(Vec<(MessageId, bool)>, usize)>),
    /// Messages.
    Read(NodeId, Vec<ReadOne>),
    /// A large body: its files, its length and its checksum.
    Staged(u64, Vec<u64>, io::Result<(u64, u32)>),
    /// A node has what another has; how much of it is new to it, but for what is for one node only.
    Copied(u64, io::Result<Amount>),
    /// Nothing is left of a node.
    Emptied(u64, io::Result<()>),
    /// What waits for nodes.
    Measured(u64, io::Result<Measured>),
    /// What was seen of messages.
    Glanced(u64, NodeId, io::Result<Glanced>),
    /// Queues with messages before the id.
    FoundOlder(io::Result<Vec<Named>>),
    /// The files are durable.
    Checkpointed(Epoch, io::Result<()>),
    /// The room that is left.
    Room(io::Result<Room>),
    /// What nodes have posted is in their files.
    Remembered(Epoch, io::Result<Remembered>),
    /// What a node has posted lately, the oldest first.
    Recalled(u64, NodeId, io::Result<Vec<Entry>>),
    /// There was no room for now: the job is to be run again later.
    Again(Job, io::Error),
    /// Done, or not worth a word.
    Nothing,
}

/// What a job waits for, so that none waits behind another kind: a client for what is read, the
/// journal for what is filed, nobody for long for a sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// It changes files.
    Change,
    /// It reads files.
    Read,
    /// It syncs the file system, or gets ready for that.
    Sync,
}

impl Job {
    /// The lane it belongs to.
    pub fn lane(&self) -> Lane {
        match self {
            Self::Read { .. } | Self::List { .. } | Self::Recall { .. } | Self::Room => Lane::Read,
            Self::Checkpoint { .. } | Self::Remember { .. } => Lane::Sync,
            _ => Lane::Change,
        }
    }

    /// Does it, and says what became of it. What the operator should know is noted.
    pub fn run(self, disk: &dyn Disk, note: &mut dyn FnMut(String)) -> JobDone {
        let mut shop = Shop { disk, note };
        match self {
            Self::File(jobs) => {
                let filed = jobs.into_iter().map(|job| (job.id, job.run(&mut shop)));
                JobDone::Filed(filed.collect())
            }
            Self::Unlink { node, directory, ids } => match shop.unlink(&directory, &ids) {
                Err(error) if is_full(&error) => {
                    JobDone::Again(Self::Unlink { node, directory, ids }, error)
                }
                result => JobDone::Unlinked(node, ids, result),
            },
            Self::List { token, directory, after, max } => {
                match shop.list(&directory, after, max) {
                    Err(error) if is_full(&error) => {
                        JobDone::Again(Self::List { token, directory, after, max }, error)
                    }
                    result => JobDone::Listed(token, result),
                }
            }
            Self::Read { node, directory, wanted } => {
                let (read, full) = shop.read(&directory, &wanted);
                match full {
                    Some(error) => JobDone::Again(Self::Read { node, directory, wanted }, error),
                    None => JobDone::Read(node, read),
                }
            }
            Self::Stage { token, numbers, header_len, body } => {
                let result = shop.stage(&numbers, header_len, &body);
                JobDone::Staged(token, numbers, result)
            }
            Self::Unstage(numbers) => {
                shop.unstage(&numbers);
                JobDone::Nothing
            }
            Self::Copy { token, from, to, except, mut copied } => {
                match shop.copy(&from, &to, &except, &mut copied) {
                    Err(error) if is_full(&error) => {
                        JobDone::Again(Self::Copy { token, from, to, except, copied }, error)
                    }
                    result => JobDone::Copied(token, result.map(|()| copied)),
                }
            }
            Self::Empty { token, directory, heir, except, posted } => {
                match shop.empty(&directory, heir.as_deref(), &except, &posted) {
                    Err(error) if is_full(&error) => JobDone::Again(
                        Self::Empty { token, directory, heir, except, posted },
                        error,
                    ),
                    result => JobDone::Emptied(token, result),
                }
            }
            Self::Measure { token, up_to, directories, to_one } => {
                match shop.measure(up_to, &directories, to_one.clone()) {
                    Err(error) if is_full(&error) => {
                        JobDone::Again(Self::Measure { token, up_to, directories, to_one }, error)
                    }
                    result => JobDone::Measured(token, result),
                }
            }
            Self::Glance { token, node, directory, wanted, headers, others, mut seen } => {
                match shop.glance(&directory, &wanted, headers, &others) {
                    Err(error) if is_full(&error) => JobDone::Again(
                        Self::Glance { token, node, directory, wanted, headers, others, seen },
                        error,
                    ),
                    Ok(mut glanced) => {
                        glanced.seen.append(&mut seen);
                        JobDone::Glanced(token, node, Ok(glanced))
                    }
                    result => JobDone::Glanced(token, node, result),
                }
            }
            Self::FindOlder(before) => JobDone::FoundOlder(shop.older(before)),
            Self::Checkpoint { epoch, staged } => {
                let result = disk.sync_all();
                if result.is_ok() {
                    shop.unstage(&staged);
                }
                JobDone::Checkpointed(epoch, result)
            }
            Self::Tidy(directory) => {
                // Not empty, or not there: both are fine.
                let _ = disk.remove_dir(&directory);
                JobDone::Nothing
            }
            Self::Room => JobDone::Room(disk.room()),
            Self::Remember { epoch, nodes } => match shop.remember(&nodes) {
                Err(error) if is_full(&error) => {
                    JobDone::Again(Self::Remember { epoch, nodes }, error)
                }
                result => JobDone::Remembered(epoch, result),
            },
            Self::Recall { token, node, path, recent } => match shop.recall(&path, &recent) {
                Err(error) if is_full(&error) => {
                    JobDone::Again(Self::Recall { token, node, path, recent }, error)
                }
                result => JobDone::Recalled(token, node, result),
            },
        }
    }
}

impl FileJob {
    fn run(&self, shop: &mut Shop<'_>) -> io::Result<()> {
        let disk = shop.disk;
        let mut paths = self.directories.iter().map(|dir| super::path(dir, self.id, self.to_one));
        let first = match &self.content {
            Content::Whole(message) => {
                let Some(first) = paths.next() else { return Ok(()) };
                let line = super::line_of(message);
                let create = || disk.create(&first, 0, &[line.as_bytes(), message]);
                match shop.in_directory(&first, create) {
                    Err(error) if exists(&error) => {
                        if self.recovered && shop.make_room(&first, message)? {
                            shop.in_directory(&first, create)?;
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
            match shop.in_directory(&path, || disk.link(&first, &path)) {
                Err(error) if exists(&error) => {
                    let message = match &self.content {
                        Content::Whole(message) => message,
                        // Of a staged body there is one file only.
                        Content::Staged(_) => continue,
                    };
                    if self.recovered && shop.make_room(&path, message)? {
                        shop.in_directory(&path, || disk.link(&first, &path))?;
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

pub(super) fn exists(error: &io::Error) -> bool {
    error.kind() == ErrorKind::AlreadyExists
}

pub(super) fn missing(error: &io::Error) -> bool {
    error.kind() == ErrorKind::NotFound
}

fn damaged(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, why)
}

/// Something else stands where a directory should.
pub(super) fn is_planted(error: &io::Error) -> bool {
    let loops = error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error());
    loops || error.kind() == ErrorKind::NotADirectory
}

/// Something else stands where a file should: a link, a directory, or what cannot be read as a file.
pub(super) fn is_no_file(error: &io::Error) -> bool {
    is_planted(error)
        || matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::IsADirectory)
        || error.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error())
}

/// How often a directory that goes away is made again.
const TRIES: usize = 8;

/// What became of a message that was to be read.
pub type ReadOne = (MessageId, io::Result<ReadMessage>);

/// A message that was read, or why there is none.
#[derive(Debug)]
pub enum ReadMessage {
    /// It is whole.
    Whole(Bytes),
    /// There is no file of it.
    Missing,
    /// It was damaged, and its file is in quarantine now.
    Damaged {
        /// What is wrong with it.
        why: String,
        /// Bytes of it.
        len: usize,
        /// It was for one node of its user.
        to_one: bool,
    },
}

/// A worker at its disk.
pub(super) struct Shop<'a> {
    pub(super) disk: &'a dyn Disk,
    pub(super) note: &'a mut dyn FnMut(String),
}

impl Shop<'_> {
    pub(super) fn remove(&mut self, path: &str) -> io::Result<()> {
        match self.disk.unlink(path) {
            Err(error) if missing(&error) => Ok(()),
            result => result,
        }
    }

    /// Makes room for a message whose file a crash may have left there. `false` if it is whole.
    fn make_room(&mut self, path: &str, message: &[u8]) -> io::Result<bool> {
        match self.disk.read(path).map(super::parse) {
            Ok(Ok(read)) if read == message => return Ok(false),
            Err(error) if is_no_file(&error) => {
                (self.note)(format!("{path} is no file; it is moved to {}", super::QUARANTINE));
                self.quarantine(path, "something else stood in the place of a file of ours")?;
            }
            // Cut short, so it is no message.
            _ => self.remove(path)?,
        }
        Ok(true)
    }

    /// Makes the directory of `path` when it turns out to be missing, also when another worker tidies
    /// it away in between.
    pub(super) fn in_directory(
        &mut self,
        path: &str,
        mut act: impl FnMut() -> io::Result<()>,
    ) -> io::Result<()> {
        let Some((directory, _)) = path.rsplit_once('/') else { return act() };
        for _ in 0..TRIES {
            match act() {
                Err(error) if missing(&error) => {
                    if let Err(error) = self.disk.create_dir(directory)
                        && !exists(&error)
                    {
                        return Err(error);
                    }
                }
                Err(error) if is_planted(&error) => self.set_aside(directory)?,
                result => return result,
            }
        }
        act()
    }

    /// Takes what is no directory out of the way, and keeps it.
    pub(super) fn set_aside(&mut self, path: &str) -> io::Result<()> {
        if path == super::QUARANTINE {
            return Err(ErrorKind::NotADirectory.into());
        }
        (self.note)(format!("{path} is no directory; it is moved to {}", super::QUARANTINE));
        self.quarantine(path, "something else stood in the place of a directory of ours")
    }

    fn unlink(&mut self, directory: &str, ids: &[(MessageId, Epoch)]) -> io::Result<()> {
        let mut names: Vec<String> =
            ids.iter().map(|(id, _)| super::file_name(*id, false)).collect();
        for to_one in [false, true] {
            let results = self.disk.unlink_each(directory, &names);
            let mut left = Vec::new();
            for ((id, _), result) in ids.iter().zip(results) {
                match result {
                    // Whether it was for one node is not known here.
                    Err(error) if missing(&error) => left.push(super::file_name(*id, true)),
                    Err(error) if is_planted(&error) => return self.set_aside(directory),
                    result => result?,
                }
            }
            names = left;
            if to_one || names.is_empty() {
                break;
            }
        }
        Ok(())
    }

    /// What is in a queue's directory; nothing if there is none.
    pub(super) fn names(&mut self, directory: &str) -> io::Result<Vec<String>> {
        match self.disk.list(directory) {
            Err(error) if missing(&error) => Ok(Vec::new()),
            Err(error) if is_planted(&error) => {
                self.set_aside(directory)?;
                Ok(Vec::new())
            }
            names => names,
        }
    }

    fn list(
        &mut self,
        directory: &str,
        after: MessageId,
        max: usize,
    ) -> io::Result<(Vec<(MessageId, bool)>, usize)> {
        match super::look::names(self.disk, directory, after, max, |_| true) {
            Err(error) if missing(&error) => Ok((Vec::new(), 0)),
            Err(error) if is_planted(&error) => {
                self.set_aside(directory)?;
                Ok((Vec::new(), 0))
            }
            listed => listed,
        }
    }

    /// What was read; and an error if a file could not be opened for now.
    pub(super) fn read(
        &mut self,
        directory: &str,
        wanted: &[Wanted],
    ) -> (Vec<ReadOne>, Option<io::Error>) {
        let mut read = Vec::with_capacity(wanted.len());
        let mut filed = Vec::new();
        for wanted in wanted {
            match wanted.staged.as_ref().map(|staged| self.read_staged(staged)) {
                None | Some(Ok(ReadMessage::Missing)) => filed.push((wanted.id, wanted.to_one)),
                Some(result) => read.push((wanted.id, result)),
            }
        }
        let names: Vec<_> = filed.iter().map(|(id, one)| super::file_name(*id, *one)).collect();
        let contents = self.disk.read_each(directory, &names);
        for (((id, to_one), name), content) in filed.into_iter().zip(&names).zip(contents) {
            let result = match content.map(|content| (content.len(), super::parse(content))) {
                Err(error) if missing(&error) => Ok(ReadMessage::Missing),
                Err(error) => Err(error),
                Ok((_, Ok(message))) => Ok(ReadMessage::Whole(message)),
                Ok((len, Err(error))) => {
                    let (why, len) = (error.to_string(), len.saturating_sub(super::LINE));
                    let kept = self.quarantine(&format!("{directory}/{name}"), &why);
                    kept.map(|()| ReadMessage::Damaged { why, len, to_one })
                }
            };
            read.push((id, result));
        }
        let full = |(_, result): &ReadOne| result.as_ref().is_err_and(is_full);
        match read.iter().position(full).map(|position| read.swap_remove(position).1) {
            Some(Err(error)) => (read, Some(error)),
            _ => (read, None),
        }
    }

    /// A large message from where its body is staged; missing if it is filed for certain, in this
    /// life or an earlier one.
    fn read_staged(&mut self, staged: &Staged) -> io::Result<ReadMessage> {
        match self.disk.read(&super::staged_path(staged.number)) {
            Err(error) if missing(&error) => Ok(ReadMessage::Missing),
            content => {
                super::staged_message(content?, staged).map(ReadMessage::Whole).map_err(damaged)
            }
        }
    }

    /// Takes a damaged file out of its queue, so that it is in nobody's way, and keeps it.
    pub(super) fn quarantine(&mut self, path: &str, why: &str) -> io::Result<()> {
        super::quarantine(self.disk, path, why).map(drop)
    }

    fn stage(&mut self, numbers: &[u64], header_len: usize, body: &[u8]) -> io::Result<(u64, u32)> {
        let disk = self.disk;
        let offset = (super::LINE + header_len) as u64;
        for number in numbers {
            let path = super::staged_path(*number);
            self.in_directory(&path, || disk.create(&path, offset, &[body]))?;
            self.disk.sync_path(&path)?;
        }
        self.disk.sync_path(STAGED)?;
        Ok((body.len() as u64, crc32c::crc32c(body)))
    }

    fn unstage(&mut self, numbers: &[u64]) {
        for number in numbers {
            // What stays is removed at the next start.
            let _ = self.disk.unlink(&super::staged_path(*number));
        }
    }

    /// Links what is in one directory into another; what is new there is added to `copied`.
    fn copy(
        &mut self,
        from: &str,
        to: &str,
        except: &[MessageId],
        copied: &mut Amount,
    ) -> io::Result<()> {
        let names = self.names(from)?;
        self.link_each(from, to, names, except, copied)?;
        self.disk.sync_all()
    }

    /// Links what has these names in one directory into another. Not synced.
    pub(super) fn link_each(
        &mut self,
        from: &str,
        to: &str,
        names: Vec<String>,
        except: &[MessageId],
        copied: &mut Amount,
    ) -> io::Result<()> {
        let disk = self.disk;
        for name in names {
            let Some((id, to_one)) = super::parse_name(&name) else { continue };
            if except.contains(&id) {
                continue;
            }
            let (source, target) = (format!("{from}/{name}"), format!("{to}/{name}"));
            match self.in_directory(&target, || disk.link(&source, &target)) {
                // Acked meanwhile.
                Err(error) if missing(&error) => {}
                // Copied before, perhaps by a server that a crash ended before it was durable.
                Err(error) if exists(&error) => {
                    if self
                        .disk
                        .read(&target)
                        .ok()
                        .is_none_or(|content| super::parse(content).is_err())
                    {
                        self.remove(&target)?;
                        self.in_directory(&target, || disk.link(&source, &target))?;
                    }
                }
                result => {
                    result?;
                    if !to_one {
                        let len = disk.lengths(to, &[name]).pop().and_then(Result::ok);
                        copied.add_file(len.unwrap_or(0));
                    }
                }
            }
        }
        Ok(())
    }
}
