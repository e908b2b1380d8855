//! What a store takes on its disk.

use anyhow::Context;
use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Files, and what they take.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Footprint {
    /// Names of files; a file may have several.
    pub(crate) names: u64,
    /// Files.
    pub(crate) files: u64,
    /// Directories, the outermost left out.
    pub(crate) directories: u64,
    /// Bytes that the file system gave them, directories included.
    pub(crate) bytes: u64,
}

impl Footprint {
    /// Looks below a directory. What vanishes meanwhile does not count.
    pub(crate) fn of(root: &Path) -> anyhow::Result<Self> {
        let mut found = Self::default();
        let mut seen = HashSet::new();
        let mut left = vec![root.to_owned()];
        while let Some(directory) = left.pop() {
            let entries = match fs::read_dir(&directory) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                entries => entries,
            };
            let entries =
                entries.with_context(|| format!("cannot look into {}", directory.display()))?;
            for entry in entries {
                let entry = entry?;
                let Ok(metadata) = entry.metadata() else { continue };
                if metadata.is_dir() {
                    found.directories += 1;
                    left.push(entry.path());
                } else {
                    found.names += 1;
                }
                if metadata.is_dir() || metadata.nlink() == 1 || seen.insert(metadata.ino()) {
                    found.files += u64::from(!metadata.is_dir());
                    found.bytes += metadata.blocks() * 512;
                }
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_with_two_names_counts_once() {
        let dir = tempfile::tempdir().unwrap();
        let sub = dir.path().join("sub");
        fs::create_dir(&sub).unwrap();
        fs::write(sub.join("a"), [7; 5000]).unwrap();
        fs::hard_link(sub.join("a"), dir.path().join("b")).unwrap();
        let found = Footprint::of(dir.path()).unwrap();
        assert_eq!((found.names, found.files, found.directories), (2, 1, 1));
        assert!(found.bytes >= 5000);
    }

    #[test]
    fn what_does_not_exist_takes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Footprint::of(&dir.path().join("no")).unwrap(), Footprint::default());
    }
}
