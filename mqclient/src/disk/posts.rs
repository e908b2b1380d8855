//! The outbox's directory: a file for each post that is not settled.
//!
//! ```text
//! .lock               the client that uses it; whose posts they are
//! .ids                the ids of posts up to here are taken
//! 4503599628369921    a post, by its id: its first line, then the message as it is sent
//! ….damaged           what could not be read as one, put aside
//! ```
//!
//! The first line is `mqpost 1 <crc32c> <id> <bytes> <deadline>`, the deadline in ms since 1970 or `-`.
//! The checksum is of all that follows it. A post is written under another name, synced, and renamed;
//! then the directory is synced.

use super::lock::Lock;
use super::{at, sync_dir};
use crate::error::Error;
use crate::session::{IDS, Saved, SavedPost};
use bytes::Bytes;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const LOCK: &str = ".lock";
const TAKEN: &str = ".ids";
const UNFINISHED: &str = ".unfinished";
const DAMAGED: &str = ".damaged";
const MAGIC: &str = "mqpost 1 ";
/// So that their names sort by their ids.
const DIGITS: usize = 16;
/// Ids are below: exact in a float, as some read numbers.
const LAST: u64 = 1 << 53;

#[derive(Debug)]
pub(super) struct Posts {
    dir: PathBuf,
    /// Ids up to here are taken, and the file says so.
    taken: u64,
    _lock: Lock,
}

impl Posts {
    /// Opens the directory, made if there is none, and reads the posts in it.
    pub(super) fn open(
        dir: &Path,
        user: &str,
        now: Instant,
        saved: &mut Saved,
        damaged: &mut Vec<Error>,
    ) -> Result<Self, Error> {
        at(dir, fs::create_dir_all(dir))?;
        let lock = Lock::take(&dir.join(LOCK), user)?;
        for entry in at(dir, fs::read_dir(dir))? {
            let path = at(dir, entry)?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.ends_with(UNFINISHED) {
                // Never accepted.
                at(&path, fs::remove_file(&path))?;
                continue;
            }
            let Some(id) = id_of(name) else { continue };
            match parse(id, at(&path, fs::read(&path))?, now) {
                Some(post) => saved.posts.push(post),
                None => {
                    let aside = dir.join(format!("{name}{DAMAGED}"));
                    at(&path, fs::rename(&path, &aside))?;
                    damaged.push(Error::disk(&aside, "a damaged post, which is not sent"));
                }
            }
        }
        saved.posts.sort_by_key(|post| post.id);
        let ids = dir.join(TAKEN);
        let taken = match fs::read_to_string(&ids) {
            // Unreadable, it is as if there were none yet.
            Ok(text) => {
                let number = text.trim_end().parse().ok().filter(|&number| number < LAST);
                number.unwrap_or(saved.last_id)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => saved.last_id,
            Err(error) => return Err(Error::disk(&ids, error)),
        };
        let last = saved.posts.last().map_or(0, |post| post.id);
        saved.last_id = taken.max(last.next_multiple_of(IDS));
        Ok(Self { dir: dir.to_owned(), taken: saved.last_id, _lock: lock })
    }

    /// Makes posts durable.
    pub(super) fn keep(
        &mut self,
        posts: Vec<(u64, Bytes, Option<Instant>)>,
    ) -> Vec<(u64, Result<(), Error>)> {
        let mut done: Vec<_> = posts
            .into_iter()
            .map(|(id, message, deadline)| {
                let path = self.path(id);
                let written = self.take(id).and_then(|()| write(&path, id, &message, deadline));
                (id, at(&path, written))
            })
            .collect();
        if done.iter().any(|(_, result)| result.is_ok())
            && let Err(error) = at(&self.dir, sync_dir(&self.dir))
        {
            for (id, result) in done.iter_mut().filter(|(_, result)| result.is_ok()) {
                // It is refused, so it is not to be found later.
                let _ = fs::remove_file(self.path(*id));
                *result = Err(error.clone());
            }
        }
        done
    }

    /// Removes posts. That is not synced: one that is there again after a crash is posted again, and
    /// the server knows it.
    pub(super) fn discard(&mut self, ids: &[u64]) {
        for &id in ids {
            let path = self.path(id);
            if let Err(error) = fs::remove_file(&path)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(path = %path.display(), %error, "a settled post stays in the outbox");
            }
        }
    }

    fn path(&self, id: u64) -> PathBuf {
        self.dir.join(format!("{id:0DIGITS$}"))
    }

    /// Sees to it that no later client has the id.
    fn take(&mut self, id: u64) -> io::Result<()> {
        if id <= self.taken {
            return Ok(());
        }
        let taken = id.next_multiple_of(IDS);
        replace(&self.dir.join(TAKEN), &[format!("{taken}\n").as_bytes()])?;
        sync_dir(&self.dir)?;
        self.taken = taken;
        Ok(())
    }
}

fn id_of(name: &str) -> Option<u64> {
    let digits = name.len() == DIGITS && name.bytes().all(|byte| byte.is_ascii_digit());
    name.parse().ok().filter(|&id| digits && id < LAST)
}

fn write(path: &Path, id: u64, message: &[u8], deadline: Option<Instant>) -> io::Result<()> {
    let deadline = match deadline {
        None => "-".to_owned(),
        Some(deadline) => {
            let left = deadline.saturating_duration_since(Instant::now());
            let since = (SystemTime::now() + left).duration_since(UNIX_EPOCH).unwrap_or_default();
            since.as_millis().to_string()
        }
    };
    let rest = format!("{id} {} {deadline}\n", message.len());
    let sum = crc32c::crc32c_append(crc32c::crc32c(rest.as_bytes()), message);
    replace(path, &[format!("{MAGIC}{sum:08x} {rest}").as_bytes(), message])
}

/// A post as it was written; `None` if it is not.
fn parse(id: u64, file: Vec<u8>, now: Instant) -> Option<SavedPost> {
    let file = Bytes::from(file);
    let (sum, rest) = file.strip_prefix(MAGIC.as_bytes())?.split_at_checked(8)?;
    let sum = u32::from_str_radix(std::str::from_utf8(sum).ok()?, 16).ok()?;
    let rest = rest.strip_prefix(b" ")?;
    if crc32c::crc32c(rest) != sum {
        return None;
    }
    let line = rest.split(|&byte| byte == b'\n').next()?;
    let message = file.slice(file.len() - rest.len() + line.len() + 1..);
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    let (own, size, deadline) = (words.next()?, words.next()?, words.next()?);
    if own.parse() != Ok(id) || size.parse() != Ok(message.len()) {
        return None;
    }
    let deadline = match deadline {
        "-" => None,
        millis => {
            let at = UNIX_EPOCH + Duration::from_millis(millis.parse().ok()?);
            Some(now + at.duration_since(SystemTime::now()).unwrap_or_default())
        }
    };
    Some(SavedPost { id, message, deadline })
}

/// Writes a file under another name, syncs it, and gives it its own. The directory is the caller's to
/// sync.
pub(super) fn replace(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(UNFINISHED);
    let unfinished = path.with_file_name(name);
    let written = File::create(&unfinished).and_then(|mut file| {
        parts.iter().try_for_each(|part| file.write_all(part))?;
        file.sync_all()?;
        fs::rename(&unfinished, path)
    });
    if written.is_err() {
        let _ = fs::remove_file(&unfinished);
    }
    written
}
