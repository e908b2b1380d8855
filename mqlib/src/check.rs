//! Is a store as it should be? Every file is looked at, while no server runs on it.
//!
//! A look changes nothing. What is wrong is told in sentences as it is found, so that memory follows
//! the directory, which is in a server's memory too, and not the messages. With [`Mend`], what can be
//! mended is, in this order: the directory, which says who there is; the journal, all of which goes
//! to the spool; then the files. Nothing is deleted: what is damaged goes to the quarantine, and what
//! is none of ours stays where it is.

mod directory;
mod finding;
mod journal;
mod links;
mod messages;
mod posted;
mod strangers;

pub use finding::{Counts, Finding, Weight};

use crate::disk::{Disk, Kind};
use crate::registry::Birth;
use crate::store::StoreConfig;
use std::collections::HashSet;
use std::io::{self, ErrorKind};

/// Who is told what is found.
pub trait Watch {
    /// Something was found.
    fn found(&mut self, finding: Finding);
    /// So many things were looked at so far.
    fn looked_at(&mut self, _things: u64) {}
}

/// What is needed to mend a store.
#[derive(Debug, Clone)]
pub struct Mend {
    /// Its sizes.
    pub config: StoreConfig,
    /// Random, for what cannot be found.
    pub birth: Birth,
}

/// Why a store could not be checked to the end. Told to the operator.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The disk refuses to be read or, for a repair, written.
    #[error("{0}: {1}")]
    Io(String, io::Error),
    /// It is of another version, or its directory or journal refuses to be read.
    #[error("{0}")]
    Store(String),
}

/// Looks at all of the store on `disk`, and mends what can be if it is told how.
///
/// # Errors
/// It could not; what was found so far was told.
pub fn check(
    disk: &dyn Disk,
    mend: Option<&Mend>,
    watch: &mut dyn Watch,
) -> Result<Counts, CheckError> {
    let owner = disk.stat(".").map_err(|error| CheckError::Io("the store".into(), error))?.owner;
    let mut check = Check {
        disk,
        mend,
        watch,
        owner,
        counts: Counts::default(),
        queues: HashSet::new(),
        knows_users: false,
    };
    check.top()?;
    check.directory()?;
    let held = check.journal()?;
    check.messages(&held)?;
    check.links()?;
    check.posted()?;
    check.quarantine()?;
    Ok(check.counts)
}

/// A check under way.
struct Check<'a> {
    disk: &'a dyn Disk,
    mend: Option<&'a Mend>,
    watch: &'a mut dyn Watch,
    /// Whose all of it should be.
    owner: u32,
    counts: Counts,
    /// `<user>,<node>` of all nodes.
    queues: HashSet<String>,
    /// The directory could be read, so that who is not in it does not exist.
    knows_users: bool,
}

impl Check<'_> {
    fn tell(&mut self, weight: Weight, path: &str, text: String) {
        match weight {
            Weight::Wrong => self.counts.wrong += 1,
            Weight::Mended => self.counts.mended += 1,
            Weight::Note => self.counts.notes += 1,
        }
        self.watch.found(Finding { weight, path: path.to_owned(), text });
    }

    fn wrong(&mut self, path: &str, text: impl Into<String>) {
        self.tell(Weight::Wrong, path, text.into());
    }

    fn note(&mut self, path: &str, text: impl Into<String>) {
        self.tell(Weight::Note, path, text.into());
    }

    fn looked(&mut self) {
        self.counts.things += 1;
        self.watch.looked_at(self.counts.things);
    }

    /// Tells what is wrong, and moves the file to the quarantine if that is wanted.
    fn damaged(&mut self, path: &str, why: &str) -> Result<(), CheckError> {
        if self.mend.is_none() {
            self.wrong(path, why);
            return Ok(());
        }
        let kept = crate::spool::quarantine(self.disk, path, why);
        let kept = kept.map_err(|error| CheckError::Io(path.to_owned(), error))?;
        let place = kept.unwrap_or_default();
        self.tell(Weight::Mended, path, format!("{why}; it is in {place} now"));
        Ok(())
    }

    /// Looks at what stands under a name of ours: the right kind of thing, its owner's only. `false`
    /// if it is not to be looked into.
    fn stands(&mut self, path: &str, kind: Kind) -> Result<bool, CheckError> {
        self.looked();
        let at = |error| CheckError::Io(path.to_owned(), error);
        let stat = match self.disk.stat(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            stat => stat.map_err(at)?,
        };
        if stat.kind != kind {
            let what = match kind {
                Kind::Directory => "a directory",
                _ => "a regular file",
            };
            self.wrong(path, format!("it is not {what}; nobody touches it"));
            return Ok(false);
        }
        if stat.owner != self.owner {
            let (owner, other) = (self.owner, stat.owner);
            self.wrong(path, format!("it belongs to user {other}, and the store to user {owner}"));
        }
        if stat.mode != kind.mode() {
            let text = format!("its mode is {:o} and should be {:o}", stat.mode, kind.mode());
            match self.mend {
                None => self.wrong(path, text),
                Some(_) => {
                    self.disk.protect(path).map_err(at)?;
                    self.tell(Weight::Mended, path, format!("{text}; it is now"));
                }
            }
        }
        Ok(true)
    }

    /// The names in a directory, one by one; none if there is no such directory.
    fn for_each(
        &mut self,
        directory: &str,
        mut act: impl FnMut(&mut Self, &str) -> Result<(), CheckError>,
    ) -> Result<(), CheckError> {
        let mut result = Ok(());
        let disk = self.disk;
        let listed = disk.for_each_name(directory, &mut |name| {
            if result.is_ok() {
                result = act(self, name);
            }
        });
        match listed {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            listed => listed.map_err(|error| CheckError::Io(directory.to_owned(), error))?,
        }
        result
    }
}
