//! A look at the journal that changes nothing, and goes on where an opening would refuse.

use super::head::{Head, Read};
use super::record::Record;
use super::{Heads, OpenError, count, look, path, read_head, replay, whole};
use crate::disk::{BLOCK, Disk};
use crate::id::MessageId;
use crate::spool::{Content, Staged};
use bytes::Bytes;
use std::collections::{BTreeMap, HashSet};

/// What the journal looks like.
#[derive(Debug, Default)]
pub struct Survey {
    /// How many segments there are.
    pub segments: usize,
    /// How many records are still needed and can be read.
    pub records: u64,
    /// The large messages among them, by the numbers of their bodies' files.
    pub staged: BTreeMap<u64, Staged>,
    /// All messages among them.
    pub posts: HashSet<MessageId>,
    /// What is wrong, each with the path it is about.
    pub wrong: Vec<(String, String)>,
    /// Segments that have no head to be believed: not even a repair can read them.
    pub headless: Vec<String>,
    /// Segments that have to be made anew for the ring to be whole.
    pub worn: Vec<String>,
    /// A server would not start on it.
    pub refused: bool,
}

/// Looks at the journal of `disk`, one segment at a time.
///
/// # Errors
/// It cannot be read, or is of another version.
pub fn survey(disk: &dyn Disk) -> Result<Survey, OpenError> {
    let mut survey = Survey::default();
    let mut heads = Heads { found: Vec::new(), short: Vec::new() };
    survey.segments = count(disk)?;
    for number in 0..survey.segments {
        let path = path(number);
        heads.found.push(match read_head(disk, &path) {
            Ok(Read::Unused) => None,
            Ok(Read::Head(head, damaged)) => {
                if damaged {
                    survey.wrong(&path, "one copy of the head is damaged");
                    survey.worn.push(path);
                }
                Some(head)
            }
            Err(OpenError::Damaged(_)) => {
                survey.wrong(&path, "both copies of the head are damaged: it cannot be read");
                survey.headless.push(path);
                survey.refused = true;
                None
            }
            Err(OpenError::Cut(_)) => {
                heads.short.push(number);
                None
            }
            Err(error) => return Err(error),
        });
    }
    if let Err(error) = whole(&heads) {
        survey.refused = true;
        match error {
            OpenError::Cut(path) => {
                survey.wrong(&path, "it is missing or cut short");
                for number in &heads.short {
                    survey.headless.push(super::path(*number));
                }
            }
            // Whose head is lost is told already.
            OpenError::Missing(_) if !survey.headless.is_empty() => {}
            error => survey.wrong("journal", &error.to_string()),
        }
    }
    survey.read(disk, &heads.found)?;
    Ok(survey)
}

/// All that the journal of `disk` holds, with the uses that say so; read, and left as it is. Damaged
/// records are left out.
///
/// # Errors
/// It cannot be read, a segment is missing, or it is of another version.
pub fn records(disk: &dyn Disk) -> Result<Vec<Record>, OpenError> {
    let (heads, _) = look(disk)?;
    whole(&heads)?;
    let newest = heads.found.iter().flatten().max_by_key(|head| head.epoch).copied();
    let Some(newest) = newest else { return Ok(Vec::new()) };
    let live = heads.found.iter().enumerate().filter_map(|(index, head)| Some((index, (*head)?)));
    let mut live: Vec<_> = live.filter(|(_, head)| head.epoch >= newest.oldest).collect();
    live.sort_by_key(|(_, head)| head.epoch);
    let mut records = Vec::new();
    for (number, (index, head)) in live.iter().enumerate() {
        let found = read(disk, &path(*index), head, live.get(number + 1).map(|(_, next)| next))?;
        records.extend(found.records);
        // What goes on there was torn by a crash.
        if let Some(Record::Post(post)) = records.last()
            && post.goes_on
        {
            let whole = |record: &Record| !matches!(record, Record::Post(post) if post.goes_on);
            records.truncate(records.iter().rposition(whole).map_or(0, |last| last + 1));
        }
    }
    Ok(records)
}

/// What a segment holds, up to where the next one begins.
fn read(
    disk: &dyn Disk,
    path: &str,
    head: &Head,
    next: Option<&Head>,
) -> Result<replay::Segment, OpenError> {
    let at = |error| OpenError::Io { path: path.to_owned(), error };
    let mut content = disk.read(path).map_err(at)?;
    content.truncate(content.len() / BLOCK * BLOCK);
    let next = next.map(|next| next.sequence);
    Ok(replay::replay(&Bytes::from(content), head.place(), head.sequence, next))
}

impl Survey {
    fn wrong(&mut self, path: &str, what: &str) {
        self.wrong.push((path.to_owned(), what.to_owned()));
    }

    /// Reads what is needed of the segments.
    fn read(&mut self, disk: &dyn Disk, heads: &[Option<Head>]) -> Result<(), OpenError> {
        let newest = heads.iter().flatten().max_by_key(|head| head.epoch).copied();
        let Some(newest) = newest else { return Ok(()) };
        let heads = heads.iter().enumerate().filter_map(|(index, head)| Some((index, (*head)?)));
        let (mut live, free): (Vec<_>, Vec<_>) =
            heads.partition(|(_, head)| head.epoch >= newest.oldest);
        live.sort_by_key(|(_, head)| head.epoch);
        for (index, head) in &free {
            self.is_long_enough(disk, &path(*index), head)?;
        }
        for (number, (index, head)) in live.iter().enumerate() {
            let path = path(*index);
            self.is_long_enough(disk, &path, head)?;
            let found = read(disk, &path, head, live.get(number + 1).map(|(_, next)| next))?;
            self.records += found.records.len() as u64;
            self.posts.extend(found.records.iter().filter_map(|record| match record {
                Record::Post(post) => Some(post.id),
                _ => None,
            }));
            self.staged.extend(found.records.iter().filter_map(|record| match record {
                Record::Post(post) => match &post.content {
                    Content::Staged(staged) => Some((staged.number, staged.clone())),
                    Content::Whole(_) => None,
                },
                _ => None,
            }));
            for damage in found.damage {
                self.wrong(&path, &damage.to_string());
            }
        }
        Ok(())
    }

    fn is_long_enough(
        &mut self,
        disk: &dyn Disk,
        path: &str,
        head: &Head,
    ) -> Result<(), OpenError> {
        let at = |error| OpenError::Io { path: path.to_owned(), error };
        let len = disk.stat(path).map_err(at)?.len;
        if len < head.len {
            self.wrong(path, &format!("it was cut from {} to {len} bytes", head.len));
            self.worn.push(path.to_owned());
        }
        Ok(())
    }
}
