//! The database's file as redb sees it: what redb writes is held back until the content is known to
//! be ours.
//!
//! redb writes to a file while it opens it, for it repairs what a crash left. A store that turns
//! out to be damaged, or of a later version, is to be left as it was. So writes go to pages in
//! memory first, and to the file when [`Backend::release`] says that all is well.

use redb::StorageBackend;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const PAGE: u64 = 4096;

/// The file; clones share it.
#[derive(Debug, Clone)]
pub(super) struct Backend(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    file: Box<dyn StorageBackend>,
    held: Mutex<Option<Held>>,
}

/// What was written since it was opened.
#[derive(Debug, Default)]
struct Held {
    len: u64,
    /// By number.
    pages: BTreeMap<u64, Vec<u8>>,
}

impl Backend {
    /// A file whose writes are held back.
    pub(super) fn held(file: Box<dyn StorageBackend>) -> io::Result<Self> {
        let held = Held { len: file.len()?, pages: BTreeMap::new() };
        Ok(Self(Arc::new(Shared { file, held: Mutex::new(Some(held)) })))
    }

    /// Writes what was held back, durably, and holds back nothing more.
    pub(super) fn release(&self) -> io::Result<()> {
        let mut held = self.lock();
        let Some(Held { len, pages }) = held.take() else { return Ok(()) };
        let file = &self.0.file;
        if file.len()? != len {
            file.set_len(len)?;
        }
        let touched = !pages.is_empty();
        for (number, page) in pages {
            let offset = number * PAGE;
            let end = page.len().min(len.saturating_sub(offset) as usize);
            file.write(offset, &page[..end])?;
        }
        if touched { file.sync_data() } else { Ok(()) }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Held>> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
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

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        match &*self.lock() {
            Some(held) => Ok(held.len),
            None => self.0.file.len(),
        }
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut held = self.lock();
        let Some(held) = &mut *held else { return self.0.file.read(offset, out) };
        if offset + out.len() as u64 > held.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let there = self.0.file.len()?.saturating_sub(offset).min(out.len() as u64) as usize;
        self.0.file.read(offset, &mut out[..there])?;
        out[there..].fill(0);
        for (number, page, part) in parts(offset, out.len()) {
            if let Some(written) = held.pages.get(&number) {
                out[part].copy_from_slice(&written[page]);
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        match &mut *self.lock() {
            Some(held) => {
                held.pages.retain(|number, _| number * PAGE < len);
                held.len = len;
                Ok(())
            }
            None => self.0.file.set_len(len),
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        match &*self.lock() {
            Some(_) => Ok(()),
            None => self.0.file.sync_data(),
        }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut held = self.lock();
        let Some(held) = &mut *held else { return self.0.file.write(offset, data) };
        for (number, page, part) in parts(offset, data.len()) {
            held.page(&*self.0.file, number)?[page].copy_from_slice(&data[part]);
        }
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.0.file.close()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{Disk, FsDisk};

    #[test]
    fn nothing_reaches_the_file_before_it_is_released_and_all_of_it_after() {
        let dir = tempfile::tempdir().unwrap();
        let disk = FsDisk::open(dir.path()).unwrap();
        let before: Vec<u8> = (0..10_000u32).map(|at| at as u8).collect();
        disk.create("db", 0, &[&before]).unwrap();
        let backend = Backend::held(disk.open_database("db").unwrap()).unwrap();
        let mut expected = before.clone();
        backend.set_len(20_000).unwrap();
        expected.resize(20_000, 0);
        for (offset, len) in [(5, 3), (4_000, 200), (9_990, 5_000), (19_999, 1)] {
            backend.write(offset as u64, &vec![0xee; len]).unwrap();
            expected[offset..offset + len].fill(0xee);
        }
        let mut seen = vec![0; 20_000];
        backend.read(0, &mut seen).unwrap();
        assert_eq!(seen, expected);
        assert_eq!(disk.read("db").unwrap(), before);
        backend.release().unwrap();
        assert_eq!(disk.read("db").unwrap(), expected);
        backend.write(0, b"x").unwrap();
        assert_eq!(disk.read("db").unwrap()[0], b'x');
    }
}
