//! What is done to the spool's files, each a job that a worker thread runs.

use super::fault::{exists, is_full, missing};
use super::glance::{Glance, Glanced, Others};
use super::older::Named;
use super::reading::{ReadOne, Wanted};
use super::recall::{Remember, Remembered};
use super::shop::Shop;
use super::{Amount, Content, Measured, ToMeasure};
use crate::disk::{Disk, Room};
use crate::id::MessageId;
use crate::journal::Epoch;
use crate::node::NodeId;
use crate::posted::Entry;
use bytes::Bytes;
use std::collections::HashSet;
use std::io;
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
        /// What was seen of messages that are not filed, but for whether they wait for the others.
        unfiled: Vec<Glance>,
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
    /// Messages; and what is to be tried again later, for the disk has refused it: why.
    Read(NodeId, Vec<ReadOne>, Option<(Box<Job>, io::Error)>),
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
                let (read, refused) = shop.read(&directory, wanted);
                let again = refused.map(|(wanted, error)| {
                    (Box::new(Self::Read { node, directory, wanted }), error)
                });
                JobDone::Read(node, read, again)
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
            Self::Glance { token, node, directory, wanted, headers, others, unfiled } => {
                match shop.glance(&directory, &wanted, headers, &others, &unfiled) {
                    Err(error) if is_full(&error) => JobDone::Again(
                        Self::Glance { token, node, directory, wanted, headers, others, unfiled },
                        error,
                    ),
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
