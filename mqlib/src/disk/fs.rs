//! A real file system, by system calls that follow no symbolic link.

use super::{AlignedBuf, BLOCK, Disk, Kind, O_DSYNC, Room, Segment, Stat};
use bytes::Bytes;
use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags, ResolveFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// What is opened to be read may be something planted there, which must not block.
const READ: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK);

/// A directory of a real file system.
#[derive(Debug)]
pub struct FsDisk {
    root: OwnedFd,
}

impl FsDisk {
    /// The disk below `root`, which exists.
    pub fn open(root: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { root: rustix::fs::open(root, flags, Mode::empty())? })
    }

    /// Opens a file. No symbolic link is followed, wherever it stands in the path (Linux 5.6).
    fn open_at(&self, path: &str, flags: OFlags) -> io::Result<File> {
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        // The call insists on a mode only where a file may be made.
        let mode = match flags.contains(OFlags::CREATE) {
            true => Mode::RUSR | Mode::WUSR,
            false => Mode::empty(),
        };
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        Ok(File::from(rustix::fs::openat2(&self.root, path, flags, mode, resolve)?))
    }

    /// Opens a file without a note that it was read, where its owner does; only that one may.
    fn open_quietly(&self, path: &str, flags: OFlags) -> io::Result<File> {
        match self.open_at(path, flags | OFlags::NOATIME) {
            Err(error) if error.raw_os_error() == Some(Errno::PERM.raw_os_error()) => {
                self.open_at(path, flags)
            }
            file => file,
        }
    }

    /// The directory that a path's last name is in, and that name.
    fn parent<'a>(&self, path: &'a str) -> io::Result<(File, &'a str)> {
        let (parent, name) = path.rsplit_once('/').unwrap_or((".", path));
        Ok((self.open_directory(parent)?, name))
    }

    fn open_directory(&self, path: &str) -> io::Result<File> {
        self.open_at(path, OFlags::PATH | OFlags::DIRECTORY)
    }

    /// Does something with names in one directory, which is looked up once.
    fn each<T>(
        &self,
        directory: &str,
        names: &[String],
        act: impl Fn(&File, &str) -> io::Result<T>,
    ) -> Vec<io::Result<T>> {
        match self.open_directory(directory) {
            Ok(directory) => names.iter().map(|name| act(&directory, name)).collect(),
            Err(error) => {
                let code = error.raw_os_error().unwrap_or(Errno::IO.raw_os_error());
                names.iter().map(|_| Err(io::Error::from_raw_os_error(code))).collect()
            }
        }
    }
}

/// The content of a regular file, up to `most` bytes.
fn read_up_to(mut file: File, most: u64) -> io::Result<Vec<u8>> {
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not a regular file"));
    }
    let mut content = vec![0; metadata.len().min(most) as usize];
    io::Read::read_exact(&mut file, &mut content)?;
    Ok(content)
}

fn read_whole(file: File) -> io::Result<Vec<u8>> {
    read_up_to(file, u64::MAX)
}

impl Disk for FsDisk {
    fn create_dir(&self, path: &str) -> io::Result<()> {
        let (parent, name) = self.parent(path)?;
        Ok(rustix::fs::mkdirat(parent, name, Mode::RWXU)?)
    }

    fn remove_dir(&self, path: &str) -> io::Result<()> {
        let (parent, name) = self.parent(path)?;
        Ok(rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR)?)
    }

    fn stat(&self, path: &str) -> io::Result<Stat> {
        use rustix::fs::FileType;
        let (parent, name) = self.parent(path)?;
        let stat = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Directory,
            _ => Kind::Other,
        };
        let (inode, len) = (stat.st_ino, stat.st_size as u64);
        let mode = stat.st_mode & 0o7777;
        #[allow(clippy::useless_conversion, reason = "32 bits on some machines")]
        let links = u64::from(stat.st_nlink);
        Ok(Stat { kind, mode, owner: stat.st_uid, inode, links, len })
    }

    fn protect(&self, path: &str) -> io::Result<()> {
        let kind = self.stat(path)?.kind;
        if kind == Kind::Other {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let (parent, name) = self.parent(path)?;
        let mode = Mode::from_raw_mode(kind.mode());
        Ok(rustix::fs::chmodat(parent, name, mode, AtFlags::empty())?)
    }

    fn exists(&self, path: &str) -> io::Result<bool> {
        let (parent, name) = self.parent(path)?;
        match rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn for_each_name(&self, path: &str, tell: &mut dyn FnMut(&str)) -> io::Result<()> {
        let directory = self.open_quietly(path, OFlags::RDONLY | OFlags::DIRECTORY)?;
        for entry in rustix::fs::Dir::new(OwnedFd::from(directory))? {
            match entry?.file_name().to_str() {
                Ok("." | "..") => {}
                Ok(name) => tell(name),
                // No name of ours; whoever put it there knows why.
                Err(_) => {}
            }
        }
        Ok(())
    }

    fn create(&self, path: &str, offset: u64, parts: &[&[u8]]) -> io::Result<()> {
        let file = self.open_at(path, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL)?;
        // Mostly all is written by the first call, which is why it is made for all parts.
        let slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
        let written = rustix::io::pwritev(&file, &slices, offset).map_err(io::Error::from);
        let rest = |written: usize| {
            let mut position = offset;
            let mut skip = written;
            for part in parts {
                let skipped = skip.min(part.len());
                skip -= skipped;
                file.write_all_at(&part[skipped..], position + skipped as u64)?;
                position += part.len() as u64;
            }
            Ok(())
        };
        written.and_then(rest).inspect_err(|_: &io::Error| {
            // A file cut short must not look like a message.
            let _ = self.unlink(path);
        })
    }

    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        read_whole(self.open_quietly(path, READ)?)
    }

    fn read_head(&self, path: &str) -> io::Result<Vec<u8>> {
        read_up_to(self.open_quietly(path, READ)?, BLOCK as u64)
    }

    fn read_each(&self, directory: &str, names: &[String]) -> Vec<io::Result<Vec<u8>>> {
        let flags = READ | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        self.each(directory, names, |directory, name| {
            let open = |flags| rustix::fs::openat(directory, name, flags, Mode::empty());
            // To note when a message was read would cost more than to read it. Only a file's owner
            // may leave it out.
            let file = match open(flags | OFlags::NOATIME) {
                Err(Errno::PERM) => open(flags),
                file => file,
            };
            read_whole(File::from(file?))
        })
    }

    fn lengths(&self, directory: &str, names: &[String]) -> Vec<io::Result<u64>> {
        self.each(directory, names, |directory, name| {
            let stat = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
            Ok(stat.st_size as u64)
        })
    }

    fn unlink_each(&self, directory: &str, names: &[String]) -> Vec<io::Result<()>> {
        self.each(directory, names, |directory, name| {
            Ok(rustix::fs::unlinkat(directory, name, AtFlags::empty())?)
        })
    }

    fn patch(&self, path: &str, offset: u64, data: &[u8]) -> io::Result<()> {
        self.open_at(path, OFlags::WRONLY)?.write_all_at(data, offset)
    }

    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        let ((source, from), (target, to)) = (self.parent(from)?, self.parent(to)?);
        Ok(rustix::fs::linkat(source, from, target, to, AtFlags::empty())?)
    }

    fn rename_directory(&self, from: &str, to: &str) -> io::Result<()> {
        let ((source, from), (target, to)) = (self.parent(from)?, self.parent(to)?);
        Ok(rustix::fs::renameat_with(source, from, target, to, RenameFlags::NOREPLACE)?)
    }

    fn unlink(&self, path: &str) -> io::Result<()> {
        let (parent, name) = self.parent(path)?;
        Ok(rustix::fs::unlinkat(parent, name, AtFlags::empty())?)
    }

    fn room(&self) -> io::Result<Room> {
        let found = rustix::fs::fstatvfs(&self.root)?;
        let files = if found.f_files == 0 { u64::MAX } else { found.f_favail };
        Ok(Room { bytes: found.f_bavail.saturating_mul(found.f_frsize), files })
    }

    fn sync_path(&self, path: &str) -> io::Result<()> {
        self.open_at(path, OFlags::RDONLY)?.sync_all()
    }

    fn sync_all(&self) -> io::Result<()> {
        Ok(rustix::fs::syncfs(&self.root)?)
    }

    fn open_segment(&self, path: &str, len: u64) -> io::Result<Box<dyn Segment>> {
        let exists = match self.open_at(path, OFlags::RDONLY) {
            // A shorter one was made with another setting, and is kept; or its creation was cut
            // short by a crash, and then nothing was ever written to it.
            Ok(file) => {
                let mut head = [0; BLOCK];
                let whole = file.metadata()?.len() >= len;
                whole || file.read_exact_at(&mut head, 0).is_ok() && head != [0; BLOCK]
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(error),
        };
        if !exists {
            let file = self.open_at(path, OFlags::WRONLY | OFlags::CREATE)?;
            let zeros = vec![0; 1 << 20];
            let mut position = 0;
            while position < len {
                let part = (len - position).min(zeros.len() as u64);
                file.write_all_at(&zeros[..part as usize], position)?;
                position += part;
            }
        }
        // Also of one that exists: whoever made it may have been killed before it did this.
        self.sync_path(path)?;
        self.sync_path(path.rsplit_once('/').map_or(".", |(parent, _)| parent))?;
        let flags = OFlags::RDWR | O_DSYNC;
        match self.open_at(path, flags | OFlags::DIRECT) {
            Ok(file) => Ok(Box::new(FsSegment { file })),
            // tmpfs and some network file systems know no direct I/O; O_DSYNC is as durable.
            Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => {
                Ok(Box::new(FsSegment { file: self.open_at(path, flags)? }))
            }
            Err(error) => Err(error),
        }
    }

    fn open_database(&self, path: &str) -> io::Result<Box<dyn redb::StorageBackend>> {
        let file = self.open_quietly(path, OFlags::RDWR | OFlags::CREATE)?;
        Ok(Box::new(FsDatabase { file }))
    }
}

#[derive(Debug)]
struct FsSegment {
    file: File,
}

impl Segment for FsSegment {
    fn len(&self) -> u64 {
        self.file.metadata().map_or(0, |metadata| metadata.len())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write_all_at(data, offset)
    }

    fn read(&self) -> io::Result<Bytes> {
        let mut content = AlignedBuf::zeroed(self.len() as usize / BLOCK * BLOCK);
        self.file.read_exact_at(content.as_mut_slice(), 0)?;
        Ok(Bytes::from_owner(content))
    }
}

#[derive(Debug)]
struct FsDatabase {
    file: File,
}

impl redb::StorageBackend for FsDatabase {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write_all_at(data, offset)
    }
}
