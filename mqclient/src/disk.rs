//! What a client has on disk: the outbox, and the memory of what was acked. All of it blocks, so it
//! runs on a thread for that; a batch of jobs at a time, which share their syncs.

mod acked;
mod lock;
mod posts;

use crate::config::Config;
use crate::error::Error;
use crate::session::{Saved, most_remembered};
use acked::Acked;
use bytes::Bytes;
use posts::Posts;
use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Instant;

/// One thing to be done, in the order given.
#[derive(Debug)]
pub(crate) enum Job {
    /// Put a post in the outbox.
    Keep { id: u64, message: Bytes, deadline: Option<Instant> },
    /// Remove it from there.
    Discard(u64),
    /// Remember that a message was acked.
    Remember(String),
}

/// What became of a job.
#[derive(Debug)]
pub(crate) enum Done {
    Kept(u64, Result<(), Error>),
    Remembered(String, Result<(), Error>),
}

#[derive(Debug)]
pub(crate) struct Disk {
    posts: Option<Posts>,
    acked: Option<Acked>,
}

impl Disk {
    /// Opens what `config` names, and reads what an earlier client left. Damaged posts are put aside,
    /// each with an error. `anywhere` is where the ids of posts begin if nothing there says more.
    pub(crate) fn open(
        config: &Config,
        now: Instant,
        anywhere: u64,
    ) -> Result<(Self, Saved, Vec<Error>), Error> {
        let mut saved = Saved { last_id: anywhere, ..Saved::default() };
        let mut damaged = Vec::new();
        let posts = match &config.outbox {
            Some(dir) => Some(Posts::open(dir, &config.user, now, &mut saved, &mut damaged)?),
            None => None,
        };
        let acked = match &config.memory {
            Some(path) => {
                let most = most_remembered(config.window);
                let (acked, ids) = Acked::open(path, &config.user, &config.node, most)?;
                saved.acked = ids;
                Some(acked)
            }
            None => None,
        };
        Ok((Self { posts, acked }, saved, damaged))
    }

    /// Does them all; everything is durable when it returns, or said not to be.
    pub(crate) fn run(&mut self, jobs: Vec<Job>) -> Vec<Done> {
        let (mut keep, mut discard, mut remember) = (Vec::new(), Vec::new(), Vec::new());
        for job in jobs {
            match job {
                Job::Keep { id, message, deadline } => keep.push((id, message, deadline)),
                Job::Discard(id) => discard.push(id),
                Job::Remember(id) => remember.push(id),
            }
        }
        let mut done = Vec::new();
        if let Some(posts) = &mut self.posts {
            let kept = posts.keep(keep);
            done.extend(kept.into_iter().map(|(id, result)| Done::Kept(id, result)));
            posts.discard(&discard);
        }
        if let Some(acked) = &mut self.acked
            && !remember.is_empty()
        {
            let result = acked.remember(&remember);
            done.extend(remember.into_iter().map(|id| Done::Remembered(id, result.clone())));
        }
        done
    }
}

/// Makes what was created, renamed or removed in `dir` durable.
fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// The same for an error of ours, which names the path.
fn at<T>(path: &Path, result: io::Result<T>) -> Result<T, Error> {
    result.map_err(|error| Error::disk(path, error))
}
