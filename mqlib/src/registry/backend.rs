//! The database's file as redb sees it, and a draft of it that is thrown away.
//!
//! redb writes to a file while it opens it, for it repairs what a crash left. A store that turns
//! out to be damaged, or of a later version, is to be left as it was. So the first look is at a
//! draft, whose writes stay in memory; if all is well, redb opens the file itself and repairs it in
//! the order that makes it safe. (To write the draft's pages instead was tried: the simulation cut
//! the power in between, and the database was gone.)

use bytes::Bytes;
use redb::StorageBackend;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

const PAGE: u64 = 4096;

/// The boxed file of a disk, as redb takes it.
#[derive(Debug)]
pub(crate) struct Backend(pub(crate) Box<dyn StorageBackend>);

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.0.close()
    }
}

/// A file's content in memory, to be read.
#[derive(Debug)]
pub(super) struct Content(pub(super) Bytes);

impl StorageBackend for Content {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let there = self.0.get(start..).and_then(|rest| rest.get(..out.len()));
        out.copy_from_slice(there.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, _: u64, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
}

/// A file that is read, and written to in memory only.
#[derive(Debug)]
pub(super) struct Draft {
    file: Box<dyn StorageBackend>,
    held: Mutex<Held>,
}

/// What was written to a draft.
#[derive(Debug)]
struct Held {
    len: u64,
    /// By number.
    pages: BTreeMap<u64, Vec<u8>>,
}

impl Draft {
    /// A draft of the file.
    pub(super) fn new(file: Box<dyn StorageBackend>) -> io::Result<Self> {
        let held = Mutex::new(Held { len: file.len()?, pages: BTreeMap::new() });
        Ok(Self { file, held })
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// A page, as it is on disk unless it was written.
    fn page(&mut self, file: &dyn StorageBackend, number: u64) -> io::Result<&mut Vec<u8>> {
        use std::collections::btree_map::Entry;
        match self.pages.entry(number) {
            Entry::Occupied(page) => Ok(page.into_mut()),
            Entry::Vacant(vacant) => {
                let mut page = vec![0; PAGE as usize];
                let there = file.len()?.saturating_sub(number * PAGE).min(PAGE) as usize;
                file.read(number * PAGE, &mut page[..there])?;
                Ok(vacant.insert(page))
            }
        }
    }
}

/// The parts of the pages that a range lies in: number, where in the page, where in the range.
fn parts(
    offset: u64,
    len: usize,
) -> impl Iterator<Item = (u64, std::ops::Range<usize>, std::ops::Range<usize>)> {
    let end = offset + len as u64;
    (offset / PAGE..end.div_ceil(PAGE)).map(move |number| {
        let start = number * PAGE;
        let (from, to) = (offset.max(start), end.min(start + PAGE));
        let page = (from - start) as usize..(to - start) as usize;
        (number, page, (from - offset) as usize..(to - offset) as usize)
    })
}

impl StorageBackend for Draft {
    fn len(&self) -> io::Result<u64> {
        Ok(self.lock().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let held = self.lock();
        if offset + out.len() as u64 > held.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let there = self.file.len()?.saturating_sub(offset).min(out.len() as u64) as usize;
        self.file.read(offset, &mut out[..there])?;
        out[there..].fill(0);
        for (number, page, part) in parts(offset, out.len()) {
            if let Some(written) = held.pages.get(&number) {
                out[part].copy_from_slice(&written[page]);
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut held = self.lock();
        held.pages.retain(|number, _| number * PAGE < len);
        held.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut held = self.lock();
        for (number, page, part) in parts(offset, data.len()) {
            held.page(&*self.file, number)?[page].copy_from_slice(&data[part]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{Disk, FsDisk};

    #[test]
    fn a_draft_reads_as_it_was_written_and_the_file_stays_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let disk = FsDisk::open(dir.path()).unwrap();
        let before: Vec<u8> = (0..10_000u32).map(|at| at as u8).collect();
        disk.create("db", 0, &[&before]).unwrap();
        let draft = Draft::new(disk.open_database("db").unwrap()).unwrap();
        let mut expected = before.clone();
        draft.set_len(20_000).unwrap();
        expected.resize(20_000, 0);
        for (offset, len) in [(5, 3), (4_000, 200), (9_990, 5_000), (19_999, 1)] {
            draft.write(offset as u64, &vec![0xee; len]).unwrap();
            expected[offset..offset + len].fill(0xee);
        }
        let mut seen = vec![0; 20_000];
        draft.read(0, &mut seen).unwrap();
        assert_eq!(seen, expected);
        assert!(draft.read(1, &mut seen).is_err());
        assert_eq!(disk.read("db").unwrap(), before);
    }
}
