//! The memory of what was acked: a file with the ids of messages, a JSON string a line, the latest last.
//! Beside it is its `.lock`.

use super::lock::Lock;
use super::posts::replace;
use super::{at, sync_dir};
use crate::error::Error;
use mqlib::request::NodeName;
use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub(super) struct Acked {
    path: PathBuf,
    /// For appending.
    file: File,
    /// How many ids are worth keeping; the file is written anew when it has twice as many.
    most: usize,
    /// The latest of them.
    ids: VecDeque<String>,
    /// How many are in the file.
    lines: usize,
    /// Did the last line come out whole, as far as we know?
    whole: bool,
    _lock: Lock,
}

impl Acked {
    /// Opens the file, made if there is none, for a node; and the ids in it.
    pub(super) fn open(
        path: &Path,
        user: &str,
        node: &NodeName,
        most: usize,
    ) -> Result<(Self, Vec<String>), Error> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".lock");
        // The nodes of a user get the same messages: what one has acked, another has not. Of the node's
        // name, which is secret, so few bits tell a mistake and nothing else.
        let mark = crc32c::crc32c(node.reveal().as_bytes()) & 0xffff;
        let lock = Lock::take(&path.with_file_name(name), &format!("{user} {mark:04x}"))?;
        let text = match fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            read => at(path, read)?,
        };
        // A line that is none was torn by a crash: nobody was told that it is there.
        let lines: Vec<_> = text.split_inclusive(|&byte| byte == b'\n').collect();
        let ids: Vec<String> =
            lines.iter().filter_map(|line| serde_json::from_slice(line).ok()).collect();
        let ids = VecDeque::from(ids[ids.len().saturating_sub(most)..].to_vec());
        let options = || OpenOptions::new().append(true).create(true).open(path);
        let (file, whole) = (at(path, options())?, false);
        let lines = lines.len();
        let saved = ids.iter().cloned().collect();
        Ok((Self { path: path.to_owned(), file, most, ids, lines, whole, _lock: lock }, saved))
    }

    /// Makes ids durable.
    pub(super) fn remember(&mut self, ids: &[String]) -> Result<(), Error> {
        self.ids.extend(ids.iter().cloned());
        let surplus = self.ids.len().saturating_sub(self.most);
        self.ids.drain(..surplus);
        let written = match self.whole && self.lines + ids.len() <= 2 * self.most {
            true => self.append(ids),
            false => self.rewrite(),
        };
        // What follows a torn line would be lost with it.
        self.whole = written.is_ok();
        at(&self.path, written)
    }

    fn append(&mut self, ids: &[String]) -> io::Result<()> {
        let mut text = Vec::new();
        for id in ids {
            line(&mut text, id)?;
        }
        self.file.write_all(&text)?;
        self.lines += ids.len();
        self.file.sync_data()
    }

    fn rewrite(&mut self) -> io::Result<()> {
        let mut text = Vec::new();
        for id in &self.ids {
            line(&mut text, id)?;
        }
        replace(&self.path, &[&text])?;
        let dir = self.path.parent().filter(|dir| !dir.as_os_str().is_empty());
        sync_dir(dir.unwrap_or(Path::new(".")))?;
        self.file = OpenOptions::new().append(true).open(&self.path)?;
        self.lines = self.ids.len();
        Ok(())
    }
}

fn line(text: &mut Vec<u8>, id: &str) -> io::Result<()> {
    serde_json::to_writer(&mut *text, id)?;
    text.push(b'\n');
    Ok(())
}
