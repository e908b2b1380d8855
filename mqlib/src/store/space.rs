//! The room that is left on the disk: with little of it, nothing new is begun.
//!
//! The journal has its room from the start, so acks and deliveries go on with a full disk. Files can
//! be written again later. The directory's database cannot: it fails for good when it cannot grow.
//! So there is a look at the disk every moment while there is work, and posts and changes of the
//! directory are refused while less than `StoreConfig::min_free` is free. A disk may fill up between
//! two looks: so the database is written to behind a look of its own, and what was not refused
//! before it waits until there is room.

use super::{SpoolDone, Store};
use crate::disk::Room;
use crate::spool::Job;
use std::io;
use std::time::Duration;

/// How old a look at the disk may be while there is work, or trouble.
const EVERY: Duration = Duration::from_millis(250);
/// How old one may be when the directory is changed.
const FRESH: Duration = Duration::from_millis(1);
/// Files that there has to be room for.
const MIN_FILES: u64 = 64;

/// What was seen last.
#[derive(Debug, Default)]
pub(super) struct Space {
    short: bool,
    /// When the last look was.
    seen: Option<Duration>,
    /// When the next one is due.
    next: Duration,
    looking: bool,
}

impl Space {
    /// Is there too little?
    pub(super) fn is_short(&self) -> bool {
        self.short
    }

    /// Takes the last look for one of now: nobody waits for another.
    pub(super) fn trust(&mut self, now: Duration) {
        self.seen = Some(now);
    }

    /// When to look again without being asked.
    pub(super) fn next_look(&self) -> Option<Duration> {
        (self.short && !self.looking).then_some(self.next)
    }
}

impl Store {
    /// Has a look at the disk if there is `work`, or was too little room, and the last look is old.
    pub(super) fn look_for_space(&mut self, now: Duration, work: bool) {
        let space = &mut self.space;
        if (work || space.short) && !space.looking && now >= space.next {
            space.looking = true;
            self.jobs.push_back(Job::Room);
        }
    }

    /// May the directory be changed now? If not, a look at the disk, or room on it, will tell.
    pub(super) fn may_edit(&mut self, now: Duration) -> bool {
        let space = &mut self.space;
        if space.seen.is_some_and(|seen| now.saturating_sub(seen) <= FRESH) {
            return !space.short;
        }
        if !space.looking {
            space.looking = true;
            self.jobs.push_back(Job::Room);
        }
        false
    }

    /// A file could not be written: the disk is full, whatever it says.
    pub(super) fn found_full(&mut self) {
        if !std::mem::replace(&mut self.space.short, true) {
            self.done.push_back(SpoolDone::Full(true));
        }
    }

    pub(super) fn found_space(&mut self, now: Duration, room: io::Result<Room>) {
        self.space.looking = false;
        self.space.seen = Some(now);
        self.space.next = now + EVERY;
        // A disk that does not even tell this will tell its trouble elsewhere.
        let Ok(room) = room else { return };
        let needed = match self.space.short {
            // A little more, so that it does not come and go.
            true => self.config.min_free + self.config.min_free / 4,
            false => self.config.min_free,
        };
        let refused = !self.refile.is_empty();
        let short = room.bytes < needed || room.files < MIN_FILES || refused;
        if short != self.space.short {
            self.space.short = short;
            let mib = room.bytes >> 20;
            let text = match short {
                true => format!(
                    "the disk is full ({mib} MiB and {} files are left): posts and registrations \
                     are refused, deliveries go on",
                    room.files
                ),
                false => format!("the disk has room again ({mib} MiB): posts are taken"),
            };
            self.done.extend([SpoolDone::Trouble(text), SpoolDone::Full(short)]);
        }
    }
}
