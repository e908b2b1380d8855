//! A file system of a trial's own: an image on a loop device, mounted where nobody else sees it.

use super::tools::{run, text};
use anyhow::{Context, bail};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Set in a process that has a mount namespace of its own.
const PRIVATE: &str = "MQTEST_PRIVATE_MOUNTS";

/// Which file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Fs {
    /// ext4, with a journal of its metadata
    Ext4,
    /// XFS
    Xfs,
}

/// Goes on in a mount namespace of its own, so that nothing stays mounted however this ends: this
/// program is started again there, once.
pub(crate) fn keep_mounts_private() -> anyhow::Result<()> {
    if std::env::var_os(PRIVATE).is_some() {
        return Ok(());
    }
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private"]);
    command.arg(std::env::current_exe()?).args(std::env::args_os().skip(1)).env(PRIVATE, "1");
    bail!("cannot run unshare: {}", command.exec())
}

/// A mounted image.
#[derive(Debug)]
pub(crate) struct Volume {
    image: PathBuf,
    place: PathBuf,
    mounted: bool,
    _dir: TempDir,
}

impl Volume {
    /// Makes a file system of so many MiB, and mounts it.
    pub(crate) fn new(fs: Fs, mib: u64) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("mqtest-").tempdir()?;
        let (image, place) = (dir.path().join("image"), dir.path().join("mount"));
        std::fs::create_dir(&place)?;
        let file = std::fs::File::create(&image).context("cannot make an image")?;
        file.set_len(mib << 20)?;
        match fs {
            Fs::Ext4 => run("mkfs.ext4", &["-q", "-F", "-m", "0", text(&image)?])?,
            Fs::Xfs => run("mkfs.xfs", &["-q", "-f", text(&image)?])?,
        }
        let mut volume = Self { image, place, mounted: false, _dir: dir };
        volume.mount()?;
        Ok(volume)
    }

    /// Where it is mounted.
    pub(crate) fn place(&self) -> &Path {
        &self.place
    }

    /// The power goes: nothing reaches the device any more, and what was not synced is gone
    /// (`FS_IOC_SHUTDOWN`, without flushing the log).
    pub(crate) fn cut_power(&self) -> anyhow::Result<()> {
        run("xfs_io", &["-x", "-c", "shutdown", text(&self.place)?])
    }

    /// Unmounts it and mounts it again: its own journal is replayed.
    pub(crate) fn remount(&mut self) -> anyhow::Result<()> {
        self.unmount()?;
        self.mount()
    }

    fn mount(&mut self) -> anyhow::Result<()> {
        run("mount", &["-o", "loop", text(&self.image)?, text(&self.place)?])?;
        self.mounted = true;
        Ok(())
    }

    fn unmount(&mut self) -> anyhow::Result<()> {
        run("umount", &[text(&self.place)?])?;
        self.mounted = false;
        Ok(())
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        if self.mounted {
            // The namespace takes it along in any case.
            let _ = self.unmount();
        }
    }
}
