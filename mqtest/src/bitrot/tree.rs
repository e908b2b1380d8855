//! A store as a value: its files with their names, taken off a disk and put on a new one.

use mqlib::disk::{Disk, Kind};
use mqlib::testing::disk::SimDisk;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;

const PAGE: usize = 4096;

/// A store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tree {
    directories: BTreeSet<String>,
    /// Which file each name leads to.
    names: BTreeMap<String, usize>,
    files: Vec<Vec<u8>>,
}

impl Tree {
    /// What is on a disk.
    pub(super) fn read(disk: &dyn Disk) -> io::Result<Self> {
        let mut tree = Self::default();
        let mut inodes = HashMap::new();
        let mut left = vec![".".to_owned()];
        while let Some(directory) = left.pop() {
            let mut names = disk.list(&directory)?;
            names.sort();
            for name in names {
                let path = match directory.as_str() {
                    "." => name,
                    directory => format!("{directory}/{name}"),
                };
                let stat = disk.stat(&path)?;
                if stat.kind == Kind::Directory {
                    tree.directories.insert(path.clone());
                    left.push(path);
                    continue;
                }
                let next = tree.files.len();
                let file = *inodes.entry(stat.inode).or_insert(next);
                if file == next {
                    tree.files.push(disk.read(&path)?);
                }
                tree.names.insert(path, file);
            }
        }
        Ok(tree)
    }

    /// A new disk with all of it.
    pub(super) fn to_disk(&self) -> io::Result<SimDisk> {
        let disk = SimDisk::new(0);
        for directory in &self.directories {
            disk.create_dir(directory)?;
        }
        let mut first: HashMap<usize, &str> = HashMap::new();
        for (path, file) in &self.names {
            match first.get(file) {
                Some(first) => disk.link(first, path)?,
                None => {
                    write(&disk, path, &self.files[*file])?;
                    first.insert(*file, path);
                }
            }
        }
        disk.sync_all()?;
        Ok(disk)
    }

    /// Each file once, with its first name.
    pub(super) fn files(&self) -> Vec<(String, usize)> {
        let mut seen = BTreeSet::new();
        let once = self.names.iter().filter(|(_, file)| seen.insert(**file));
        once.map(|(path, file)| (path.clone(), *file)).collect()
    }

    pub(super) fn content(&self, file: usize) -> &[u8] {
        &self.files[file]
    }

    pub(super) fn content_mut(&mut self, file: usize) -> &mut Vec<u8> {
        &mut self.files[file]
    }

    /// The content under a name.
    pub(super) fn get(&self, path: &str) -> Option<&[u8]> {
        self.names.get(path).map(|file| self.content(*file))
    }

    /// The names below a directory.
    pub(super) fn below<'a>(&'a self, directory: &'a str) -> impl Iterator<Item = &'a str> {
        let below = self.names.keys().map(String::as_str);
        below.filter(move |path| path.starts_with(directory))
    }

    /// The first path that is not the same in both.
    pub(super) fn difference(&self, other: &Self) -> Option<String> {
        let paths = self.names.keys().chain(other.names.keys());
        paths.chain(self.directories.symmetric_difference(&other.directories)).find_map(|path| {
            let same = self.get(path) == other.get(path)
                && self.directories.contains(path) == other.directories.contains(path);
            (!same).then(|| path.clone())
        })
    }
}

/// Writes a file whose empty pages cost nothing.
fn write(disk: &SimDisk, path: &str, content: &[u8]) -> io::Result<()> {
    disk.create(path, 0, &[])?;
    for (number, page) in content.chunks(PAGE).enumerate() {
        if page.iter().any(|&byte| byte != 0) {
            disk.patch(path, (number * PAGE) as u64, page)?;
        }
    }
    match content.last() {
        Some(last) => disk.patch(path, content.len() as u64 - 1, &[*last]),
        None => Ok(()),
    }
}
