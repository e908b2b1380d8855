//! The journal: every head, length and record that is needed.

use super::{Check, CheckError, Weight};
use crate::disk::Kind;
use crate::id::MessageId;
use crate::journal::{self, Survey};
use crate::spool::{self, Staged};
use crate::store::{OpenError, Store};
use std::collections::{BTreeMap, HashSet};

const ROOT: &str = "journal";

/// What the journal holds for the spool.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// The large messages that it has the heads of.
    pub(super) staged: BTreeMap<u64, Staged>,
    /// All messages.
    pub(super) posts: HashSet<MessageId>,
}

impl Held {
    fn of(survey: Survey) -> Self {
        Self { staged: survey.staged, posts: survey.posts }
    }
}

impl Check<'_> {
    /// Looks at the journal; what it holds.
    pub(super) fn journal(&mut self) -> Result<Held, CheckError> {
        if !self.stands(ROOT, Kind::Directory)? {
            return Ok(Held::default());
        }
        let mut regular = true;
        self.for_each(ROOT, |check, name| {
            let path = format!("{ROOT}/{name}");
            if name.parse::<u32>().is_ok_and(|number| number.to_string() == name) {
                regular &= check.stands(&path, Kind::File)?;
            } else {
                check.wrong(&path, "it is none of ours; nobody touches it");
            }
            Ok(())
        })?;
        if !regular {
            return Ok(Held::default());
        }
        let survey =
            journal::survey(self.disk).map_err(|error| CheckError::Store(error.to_string()))?;
        self.counts.records += survey.records;
        if survey.wrong.is_empty() {
            return Ok(Held::of(survey));
        }
        // Whoever the messages are for has to be known.
        if self.mend.is_none() || !self.knows_users {
            for (path, text) in &survey.wrong {
                let refused = if survey.refused { ": no server starts on it" } else { "" };
                self.wrong(path, format!("{text}{refused}"));
            }
            return Ok(Held::of(survey));
        }
        self.take_up(&survey)?;
        Ok(Held::default())
    }

    /// Files what the journal holds, and makes its ring whole.
    fn take_up(&mut self, survey: &Survey) -> Result<(), CheckError> {
        let (disk, Some(mend)) = (self.disk, self.mend) else { return Ok(()) };
        for path in &survey.headless {
            if disk.exists(path).unwrap_or(false) {
                let why = "its head is lost, without which no record can be believed";
                spool::quarantine(disk, path, why)
                    .map_err(|error| CheckError::Io(path.clone(), error))?;
            }
        }
        let store = |error: OpenError| CheckError::Store(error.to_string());
        let (mut opened, found) =
            Store::salvage(disk, mend.config.clone(), mend.birth).map_err(store)?;
        let mut notes = Vec::new();
        let left = opened.leave_journal(disk, &mut |text| notes.push(text));
        left.map_err(|error| CheckError::Io(ROOT.into(), error))?;
        drop(opened);
        for (path, text) in &survey.wrong {
            let text = format!("{text}; all that can be read of the journal is in the spool");
            self.tell(Weight::Mended, path, text);
        }
        for text in found.damage.into_iter().chain(notes) {
            self.note(ROOT, text);
        }
        for path in &survey.worn {
            let at = |error| CheckError::Io(path.clone(), error);
            // Nothing that was written so far is needed, so this loses nothing.
            let len = mend.config.segment_len;
            disk.unlink(path).and_then(|()| disk.open_segment(path, len)).map_err(at)?;
        }
        Ok(())
    }
}
