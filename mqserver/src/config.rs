//! The configuration: `mqserver.toml` in the store, and what the command line puts above it.
//!
//! Every setting has a default; `mqstore.example/mqserver.toml` documents them all.

use mqlib::limits::Limits;
use mqlib::store::StoreConfig;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The configuration's name in the store.
pub const FILE: &str = "mqserver.toml";

/// What a server is told before it starts.
#[derive(Debug, Clone)]
pub struct Config {
    /// The store's directory.
    pub store: PathBuf,
    /// Where clients connect.
    pub listen: Vec<SocketAddr>,
    /// Where the admin page is; `None` for nowhere.
    pub admin: Option<SocketAddr>,
    /// Limits of the queue.
    pub limits: Limits,
    /// Sizes and times of the store.
    pub storage: StoreConfig,
}

/// Why the configuration is no good. Told to the operator.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{0}: {1}")]
    Io(PathBuf, std::io::Error),
    /// The file is not TOML, or has a key or value that is none of ours.
    #[error("{0}: {1}")]
    Toml(PathBuf, toml::de::Error),
    /// A value is out of bounds.
    #[error("{0}: {1}")]
    Bounds(PathBuf, String),
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    listen: Option<Vec<SocketAddr>>,
    admin: Option<Admin>,
    limits: FileLimits,
    journal: FileJournal,
    spool: FileSpool,
}

/// Where the admin page is: an address, or `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admin {
    /// Nowhere.
    Off,
    /// Here.
    At(SocketAddr),
}

impl std::str::FromStr for Admin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            address => match address.parse() {
                Ok(address) => Ok(Self::At(address)),
                Err(_) => {
                    Err(format!("{address:?} is neither an address like 127.0.0.1:8080 nor off"))
                }
            },
        }
    }
}

impl<'de> Deserialize<'de> for Admin {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct FileLimits {
    max_message_mib: Option<usize>,
    login_timeout_s: Option<u64>,
    redelivery_s: Option<u64>,
    recipients: Option<usize>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct FileJournal {
    segments: Option<usize>,
    segment_mib: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct FileSpool {
    linger_ms: Option<u64>,
    backlog: Option<usize>,
    min_free_mib: Option<u64>,
}

const MIB: usize = 1 << 20;

impl Config {
    /// The defaults, on this store.
    pub fn new(store: PathBuf) -> Self {
        Self {
            store,
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 8008))],
            admin: Some(SocketAddr::from(([127, 0, 0, 1], 8080))),
            limits: Limits::default(),
            storage: StoreConfig::default(),
        }
    }

    /// What the store's file says, if there is one.
    pub fn read(store: &Path) -> Result<Self, ConfigError> {
        let path = store.join(FILE);
        let text = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            text => text.map_err(|error| ConfigError::Io(path, error))?,
        };
        Self::parse(store, &text)
    }

    fn parse(store: &Path, text: &str) -> Result<Self, ConfigError> {
        let path = store.join(FILE);
        let file: File =
            toml::from_str(text).map_err(|error| ConfigError::Toml(path.clone(), error))?;
        let mut config = Self::new(store.to_owned());
        config.apply(file).map_err(|why| ConfigError::Bounds(path, why))?;
        Ok(config)
    }

    fn apply(&mut self, file: File) -> Result<(), String> {
        if let Some(listen) = file.listen {
            self.listen = listen;
        }
        match file.admin {
            Some(Admin::Off) => self.admin = None,
            Some(Admin::At(address)) => self.admin = Some(address),
            None => {}
        }
        if let Some(mib) = bounded("limits.max_message_mib", file.limits.max_message_mib, 1, 1024)?
        {
            self.limits.max_message = mib * MIB;
        }
        if let Some(s) = bounded("limits.login_timeout_s", file.limits.login_timeout_s, 1, 3600)? {
            self.limits.login_timeout = Duration::from_secs(s);
        }
        if let Some(s) = bounded("limits.redelivery_s", file.limits.redelivery_s, 1, 3600)? {
            self.limits.redelivery = Duration::from_secs(s);
        }
        if let Some(most) = bounded("limits.recipients", file.limits.recipients, 1, 50_000)? {
            self.limits.recipients = most;
        }
        if let Some(segments) = bounded("journal.segments", file.journal.segments, 3, 64)? {
            self.storage.segments = segments;
        }
        if let Some(mib) = bounded("journal.segment_mib", file.journal.segment_mib, 2, 1024)? {
            self.storage.segment_len = mib << 20;
        }
        if let Some(ms) = bounded("spool.linger_ms", file.spool.linger_ms, 0, 60_000)? {
            self.storage.linger = Duration::from_millis(ms);
        }
        if let Some(backlog) = bounded("spool.backlog", file.spool.backlog, 100, 1_000_000)? {
            self.storage.backlog = backlog;
        }
        if let Some(mib) = bounded("spool.min_free_mib", file.spool.min_free_mib, 1, 1 << 20)? {
            self.storage.min_free = mib << 20;
        }
        Ok(())
    }
}

fn bounded<T: PartialOrd + std::fmt::Display>(
    name: &str,
    value: Option<T>,
    least: T,
    most: T,
) -> Result<Option<T>, String> {
    match value {
        Some(value) if value < least || value > most => {
            Err(format!("{name} = {value} is not between {least} and {most}"))
        }
        value => Ok(value),
    }
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, String> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), text).unwrap();
        Config::read(dir.path()).map_err(|error| error.to_string())
    }

    #[test]
    fn settings_replace_defaults() {
        let config = read(
            "listen = [\"0.0.0.0:1\", \"[::1]:2\"]\nadmin = \"off\"\n\
             [limits]\nmax_message_mib = 2\n[spool]\nlinger_ms = 0\n[journal]\nsegments = 8",
        )
        .unwrap();
        assert_eq!(
            (config.listen.len(), config.admin, config.limits.max_message),
            (2, None, 2 * MIB)
        );
        assert_eq!((config.storage.linger, config.storage.segments), (Duration::ZERO, 8));
    }

    #[test]
    fn a_wrong_file_is_refused_with_its_place_and_reason() {
        for (text, reason) in [
            ("listne = []", "unknown field `listne`"),
            ("admin = \"here\"", "neither an address"),
            ("[journal]\nsegments = 1", "journal.segments = 1 is not between 3 and 64"),
            ("listen = ", "line 1"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(reason) && error.contains(FILE), "{error}");
        }
    }

    #[test]
    fn the_example_is_a_valid_configuration_with_the_defaults() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../mqstore.example");
        let example = Config::read(Path::new(path)).unwrap();
        let default = Config::new(PathBuf::from(path));
        assert_eq!(format!("{example:?}"), format!("{default:?}"));
    }
}
