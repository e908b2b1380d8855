//! `mqserver check`: is a store as it should be, and what can be mended?

use crate::config::{Config, ConfigError};
use crate::lock::{Lock, LockError, Look};
use indicatif::ProgressBar;
use mqlib::check::{CheckError, Counts, Finding, Mend, Watch};
use mqlib::disk::FsDisk;
use mqlib::registry::Birth;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A check that takes longer shows how far it is.
const SILENT: Duration = Duration::from_secs(1);
/// How many things are looked at between two looks at the clock.
const LOOKS: u64 = 256;

/// How a store is checked.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// What can be mended is.
    pub repair: bool,
    /// A line of JSON for each finding, and one with the counts.
    pub json: bool,
}

/// Why a store could not be checked. Told to the operator.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A server runs on it, or the lock cannot be had.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// Its configuration, which says how large its journal is to be, is no good.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// There is no store there.
    #[error("{0}: {1}")]
    Store(PathBuf, io::Error),
    /// It cannot be read, or is of another version.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// The findings cannot be printed.
    #[error("cannot print: {0}")]
    Print(#[from] io::Error),
}

/// Checks a store, and prints what is found.
pub fn run(store: &Path, options: Options, out: &mut dyn Write) -> Result<Counts, Error> {
    let disk = FsDisk::open(store).map_err(|error| Error::Store(store.to_owned(), error))?;
    let mut printer = Printer { out, json: options.json, result: Ok(()), bar: Bar::new() };
    let counts = if options.repair {
        let config = Config::read(store)?;
        let _lock = Lock::take(store)?;
        let mut random = [0; 36];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let (salt, tag) = random.split_at(32);
        let birth = Birth {
            salt: salt.try_into().unwrap_or_default(),
            tag: u32::from_le_bytes(tag.try_into().unwrap_or_default()),
        };
        let mend = Mend { config: config.storage, birth };
        mqlib::check::check(&disk, Some(&mend), &mut printer)?
    } else {
        let look = Look::take(store)?;
        let counts = mqlib::check::check(&disk, None, &mut printer)?;
        look.end()?;
        counts
    };
    printer.end(&counts)?;
    Ok(counts)
}

struct Printer<'a> {
    out: &'a mut dyn Write,
    json: bool,
    result: io::Result<()>,
    bar: Bar,
}

impl Printer<'_> {
    fn line(&mut self, text: &str) {
        let out = &mut self.out;
        let print = || writeln!(out, "{text}");
        let printed = self.bar.suspend(print);
        if self.result.is_ok() {
            self.result = printed;
        }
    }

    fn end(mut self, counts: &Counts) -> io::Result<()> {
        self.bar.end();
        let text = match self.json {
            true => serde_json::to_string(counts)?,
            false => counts.to_string(),
        };
        self.line(&text);
        self.result
    }
}

impl Watch for Printer<'_> {
    fn found(&mut self, finding: Finding) {
        match self.json {
            // Strings only: this cannot fail.
            true => self.line(&serde_json::to_string(&finding).unwrap_or_default()),
            false => self.line(&finding.to_string()),
        }
    }

    fn looked_at(&mut self, things: u64) {
        self.bar.looked_at(things);
    }
}

/// How far it is, on a terminal.
struct Bar {
    start: Instant,
    bar: Option<ProgressBar>,
}

impl Bar {
    fn new() -> Self {
        Self { start: Instant::now(), bar: None }
    }

    fn looked_at(&mut self, things: u64) {
        if !things.is_multiple_of(LOOKS) || self.start.elapsed() < SILENT {
            return;
        }
        // It is drawn on a terminal only.
        let bar = self.bar.get_or_insert_with(ProgressBar::new_spinner);
        bar.set_message(format!("{things} files looked at"));
        bar.tick();
    }

    fn suspend<T>(&self, act: impl FnOnce() -> T) -> T {
        match &self.bar {
            Some(bar) => bar.suspend(act),
            None => act(),
        }
    }

    fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}
