//! What a file or a directory holds, and how to get back to what of it is durable.
//!
//! The live state is the state; what is not durable yet is a list of changes that remember what
//! they replaced. Only a crash looks at that list: it takes the changes back, newest first, and
//! does some of them again. Content is sparse pages, so a database that reserves a megabyte to use
//! ten pages of it costs ten pages, and taking a write back is a swap of pages.

use rand::{Rng, RngExt};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// What a disk writes whole or not at all.
pub(super) const SECTOR: usize = 512;
const PAGE: usize = 4096;

/// The index of an inode.
pub(super) type Id = usize;
/// A page of content; `None` is zeros.
type Page = Option<Box<[u8; PAGE]>>;

/// A file or a directory.
pub(super) enum Inode {
    File(Content),
    Directory(Directory),
}

impl Inode {
    /// All of it is durable from now on.
    pub(super) fn sync(&mut self) {
        match self {
            Self::File(content) => content.pending.clear(),
            Self::Directory(directory) => directory.pending.clear(),
        }
    }

    /// The power goes: what was not synced stays with probability `keep`, each change by itself.
    pub(super) fn settle(&mut self, rng: &mut impl Rng, keep: f64) {
        match self {
            Self::File(content) => content.settle(rng, keep),
            Self::Directory(directory) => directory.settle(rng, keep),
        }
    }
}

/// The names in a directory.
#[derive(Default)]
pub(super) struct Directory {
    entries: BTreeMap<String, Id>,
    pending: Vec<Renaming>,
}

/// A name that was added or removed: what it stood for before and after.
struct Renaming {
    name: String,
    before: Option<Id>,
    after: Option<Id>,
}

impl Directory {
    pub(super) fn entries(&self) -> &BTreeMap<String, Id> {
        &self.entries
    }

    /// Adds, replaces or removes a name.
    pub(super) fn set(&mut self, name: &str, after: Option<Id>) {
        let before = Self::apply(&mut self.entries, name, after);
        self.pending.push(Renaming { name: name.to_owned(), before, after });
    }

    fn apply(entries: &mut BTreeMap<String, Id>, name: &str, id: Option<Id>) -> Option<Id> {
        match id {
            Some(id) => entries.insert(name.to_owned(), id),
            None => entries.remove(name),
        }
    }

    fn settle(&mut self, rng: &mut impl Rng, keep: f64) {
        let pending = std::mem::take(&mut self.pending);
        for change in pending.iter().rev() {
            Self::apply(&mut self.entries, &change.name, change.before);
        }
        // What happened to one name happened in order: nothing follows a change that was lost.
        let mut lost = BTreeSet::new();
        for change in &pending {
            if lost.contains(change.name.as_str()) {
                continue;
            }
            if rng.random_bool(keep) {
                Self::apply(&mut self.entries, &change.name, change.after);
            } else {
                lost.insert(change.name.as_str());
            }
        }
    }
}

/// The bytes of a file. Those of the last page behind the end are zero.
#[derive(Default)]
pub(super) struct Content {
    len: usize,
    pages: Vec<Page>,
    pending: Vec<Change>,
}

/// A change of content that is not durable, or stands behind one that is not.
struct Change {
    what: What,
    /// The other state's pages from `first` on and its length: the old one while the change is
    /// done, the new one once it is taken back.
    first: usize,
    pages: Vec<Page>,
    len: usize,
    /// It is durable, and only listed because an earlier one is not.
    durable: bool,
}

#[derive(Clone, Copy)]
enum What {
    Write { start: usize, end: usize },
    SetLen { from: usize, to: usize },
}

impl Content {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Copies from `offset` on; what lies behind the end reads as zeros.
    pub(super) fn read(&self, offset: usize, out: &mut [u8]) {
        for (page, within, part) in pieces(offset, out.len(), PAGE) {
            match self.pages.get(page) {
                Some(Some(bytes)) => out[part].copy_from_slice(&bytes[within]),
                _ => out[part].fill(0),
            }
        }
    }

    /// Like [`read`](Self::read), into zeros: pages that nothing was written to cost nothing.
    pub(super) fn read_vec(&self, len: usize) -> Vec<u8> {
        let mut out = vec![0; len];
        for (page, within, part) in pieces(0, len, PAGE) {
            if let Some(Some(bytes)) = self.pages.get(page) {
                out[part].copy_from_slice(&bytes[within]);
            }
        }
        out
    }

    /// Overwrites or appends. `durable`: what was written no power cut takes back.
    pub(super) fn write(&mut self, offset: usize, data: &[u8], durable: bool) {
        if data.is_empty() {
            return;
        }
        // With nothing to take back before it, a durable write is never taken back.
        if durable && self.pending.is_empty() {
            return self.put(offset, data, None);
        }
        let (first, end) = (offset / PAGE, offset + data.len());
        let mut saved = Vec::with_capacity(end.div_ceil(PAGE) - first);
        let len = self.len;
        self.put(offset, data, Some(&mut saved));
        let what = What::Write { start: offset, end };
        self.pending.push(Change { what, first, pages: saved, len, durable });
    }

    /// Cuts the file off, or appends zeros.
    pub(super) fn set_len(&mut self, len: usize) {
        let first = self.len.min(len) / PAGE;
        let mut saved = Vec::new();
        if len < self.len {
            saved = self.pages.split_off(first);
            if !len.is_multiple_of(PAGE) {
                self.pages.push(saved[0].clone());
            }
        }
        let what = What::SetLen { from: self.len, to: len };
        self.pending.push(Change { what, first, pages: saved, len: self.len, durable: false });
        self.put_len(len);
    }

    fn put_len(&mut self, len: usize) {
        let shorter = len < self.len;
        self.len = len;
        self.pages.resize_with(len.div_ceil(PAGE), || None);
        if shorter && let Some(Some(tail)) = self.pages.get_mut(len / PAGE) {
            tail[len % PAGE..].fill(0);
        }
    }

    fn put(&mut self, offset: usize, data: &[u8], mut saved: Option<&mut Vec<Page>>) {
        let end = offset + data.len();
        if end > self.len {
            self.put_len(end);
        }
        for (page, within, part) in pieces(offset, data.len(), PAGE) {
            let page = &mut self.pages[page];
            if let Some(saved) = &mut saved {
                // A page that is overwritten whole need not be copied.
                saved.push(if within.len() == PAGE { page.take() } else { page.clone() });
            }
            let bytes = page.get_or_insert_with(|| Box::new([0; PAGE]));
            bytes[within].copy_from_slice(&data[part]);
        }
    }

    fn settle(&mut self, rng: &mut impl Rng, keep: f64) {
        let mut pending = std::mem::take(&mut self.pending);
        for change in pending.iter_mut().rev() {
            let end = change.first + change.pages.len();
            if self.pages.len() < end {
                self.pages.resize_with(end, || None);
            }
            self.pages[change.first..end].swap_with_slice(&mut change.pages);
            (self.len, change.len) = (change.len, self.len);
            self.pages.resize_with(self.len.div_ceil(PAGE), || None);
        }
        for change in &pending {
            let kept = change.durable || rng.random_bool(keep);
            match change.what {
                What::Write { start, end } if kept => self.redo(change, start..end),
                What::Write { start, end } => {
                    if keep > 0.0 && rng.random_bool(0.5) {
                        self.tear(change, start..end, rng);
                    }
                }
                What::SetLen { from, to } if kept => {
                    // Lengths are metadata, which stay in order: zeros that were appended behind a
                    // cut never show what was cut off.
                    self.put_len(self.len.min(from.min(to)));
                    self.put_len(to);
                }
                What::SetLen { .. } => {}
            }
        }
    }

    /// Writes some sectors of a write; those between and behind them may become zeros or old bytes.
    fn tear(&mut self, change: &Change, range: Range<usize>, rng: &mut impl Rng) {
        for sectors in torn(range.clone(), rng) {
            self.redo(change, sectors);
        }
        // The new length may be there before the bytes are.
        if range.end > self.len && rng.random_bool(0.5) {
            self.put_len(range.end);
        }
    }

    /// Writes a part of what a change that was taken back had written.
    fn redo(&mut self, change: &Change, range: Range<usize>) {
        for (page, within, _) in pieces(range.start, range.len(), PAGE) {
            if let Some(bytes) = &change.pages[page - change.first] {
                self.put(page * PAGE + within.start, &bytes[within], None);
            }
        }
    }
}

/// The parts of a write that a power cut leaves: any of its sectors, neighbours in one range.
pub(super) fn torn(range: Range<usize>, rng: &mut impl Rng) -> Vec<Range<usize>> {
    let some = [0.0, 0.1, 0.5, 0.9, 1.0][rng.random_range(0..5)];
    // Half of the time the sectors went to the disk in order.
    let ordered = rng.random_bool(0.5);
    let reach = rng.random_range(range.start..=range.end);
    let mut parts: Vec<Range<usize>> = Vec::new();
    for (sector, within, _) in pieces(range.start, range.len(), SECTOR) {
        let part = sector * SECTOR + within.start..sector * SECTOR + within.end;
        let kept = if ordered { part.end <= reach } else { rng.random_bool(some) };
        match parts.last_mut() {
            Some(last) if kept && last.end == part.start => last.end = part.end,
            _ if kept => parts.push(part),
            _ => {}
        }
    }
    parts
}

/// A range of a file unit by unit: the unit's index, the range within it, that within the data.
fn pieces(
    offset: usize,
    len: usize,
    unit: usize,
) -> impl Iterator<Item = (usize, Range<usize>, Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let (index, start) = ((offset + done) / unit, (offset + done) % unit);
        let part = (unit - start).min(len - done);
        done += part;
        (part > 0).then(|| (index, start..start + part, done - part..done))
    })
}
