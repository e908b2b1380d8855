//! The configuration: `mqserver.toml` in the store, and what the command line puts above it.
//!
//! Every setting has a default; `mqstore.example/mqserver.toml` documents them all.

use crate::door::limits::DoorLimits;
use crate::exposure::is_private;
use crate::logging::{LogConfig, LogFormat, LogLevel};
use crate::plain;
use crate::tls::{ClientAuth, TlsConfig};
use mqlib::directory::Registration;
use mqlib::limits::Limits;
use mqlib::node::MAX_NODES;
use mqlib::store::StoreConfig;
use serde::Deserialize;
use std::fs::OpenOptions;
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
    /// Where clients connect that speak TLS.
    pub listen_tls: Vec<SocketAddr>,
    /// The certificate they are shown; read only if they have somewhere to connect to.
    pub tls: TlsConfig,
    /// Where the admin page is; `None` for nowhere.
    pub admin: Option<SocketAddr>,
    /// The hosts' names by which it may be asked for, besides addresses and `localhost`.
    pub admin_names: Vec<String>,
    /// Who may register; `None` for whatever is prudent there: [`registration`](Self::registration).
    pub registration: Option<Registration>,
    /// Serve even where that is careless.
    pub insecure: bool,
    /// Limits of the queue.
    pub limits: Limits,
    /// Limits of connections.
    pub door: DoorLimits,
    /// Sizes and times of the store.
    pub storage: StoreConfig,
    /// How the log is written.
    pub log: LogConfig,
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
    listen_tls: Option<Vec<SocketAddr>>,
    admin: Option<Admin>,
    admin_names: Vec<String>,
    insecure: bool,
    accounts: FileAccounts,
    tls: FileTls,
    limits: FileLimits,
    journal: FileJournal,
    spool: FileSpool,
    log: FileLog,
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
struct FileAccounts {
    registration: Option<Registration>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct FileTls {
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    client_ca: Option<PathBuf>,
    client_auth: Option<ClientAuth>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct FileLimits {
    connections: Option<usize>,
    connections_per_address: Option<usize>,
    handshake_timeout_s: Option<u64>,
    login_timeout_s: Option<u64>,
    ping_s: Option<u64>,
    dead_peer_s: Option<u64>,
    max_message_mib: Option<usize>,
    redelivery_s: Option<u64>,
    recipients: Option<usize>,
    nodes_per_user: Option<usize>,
    aliases_per_user: Option<usize>,
    lists_per_user: Option<usize>,
    members_per_list: Option<usize>,
    to: Option<usize>,
    to_one: Option<usize>,
    posts_per_second: Option<u32>,
    posts_burst: Option<u32>,
    queue_messages: Option<u32>,
    queue_mib: Option<u64>,
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

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct FileLog {
    format: Option<LogFormat>,
    level: Option<LogLevel>,
}

const MIB: usize = 1 << 20;

impl Config {
    /// The defaults, on this store.
    pub fn new(store: PathBuf) -> Self {
        Self {
            store,
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 8008))],
            listen_tls: Vec::new(),
            tls: TlsConfig::default(),
            admin: Some(SocketAddr::from(([127, 0, 0, 1], 8080))),
            admin_names: Vec::new(),
            registration: None,
            insecure: false,
            limits: Limits::default(),
            door: DoorLimits::default(),
            storage: StoreConfig::default(),
            log: LogConfig::default(),
        }
    }

    /// Who may register: everyone, by default, where only this machine can connect; else nobody.
    pub fn registration(&self) -> Registration {
        let private = self.listen.iter().chain(&self.listen_tls).all(is_private);
        let prudent = if private { Registration::Open } else { Registration::Closed };
        self.registration.unwrap_or(prudent)
    }

    /// What the store's file says, if there is one.
    pub fn read(store: &Path) -> Result<Self, ConfigError> {
        let path = store.join(FILE);
        let opened = plain::open(&path, OpenOptions::new().read(true));
        let text = match opened.and_then(std::io::read_to_string) {
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
        if let Some(listen) = file.listen_tls {
            self.listen_tls = listen;
        }
        self.apply_tls(file.tls);
        self.apply_door(&file.limits)?;
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
        self.admin_names = file.admin_names;
        self.registration = file.accounts.registration;
        self.insecure = file.insecure;
        let accounts = &mut self.limits.accounts;
        for (name, value, most, limit) in [
            (
                "limits.nodes_per_user",
                file.limits.nodes_per_user,
                MAX_NODES,
                &mut accounts.nodes_per_user,
            ),
            (
                "limits.aliases_per_user",
                file.limits.aliases_per_user,
                10_000,
                &mut accounts.aliases_per_user,
            ),
            (
                "limits.lists_per_user",
                file.limits.lists_per_user,
                1_000_000,
                &mut accounts.lists_per_user,
            ),
            (
                "limits.members_per_list",
                file.limits.members_per_list,
                1_000_000,
                &mut accounts.members_per_list,
            ),
        ] {
            if let Some(value) = bounded(name, value, 1, most)? {
                *limit = value;
            }
        }
        if let Some(most) = bounded("limits.to", file.limits.to, 1, 50_000)? {
            self.limits.to = most;
        }
        if let Some(most) = bounded("limits.to_one", file.limits.to_one, 1, 1_000)? {
            self.limits.to_one = most;
        }
        let per_second = file.limits.posts_per_second;
        if let Some(most) = bounded("limits.posts_per_second", per_second, 0, 1_000_000)? {
            self.limits.posts_per_second = most;
        }
        if let Some(most) = bounded("limits.posts_burst", file.limits.posts_burst, 1, 1_000_000)? {
            self.limits.posts_burst = most;
        }
        let messages = file.limits.queue_messages;
        if let Some(most) = bounded("limits.queue_messages", messages, 1, 1_000_000_000)? {
            self.limits.queue_messages = most;
        }
        if let Some(mib) = bounded("limits.queue_mib", file.limits.queue_mib, 1, 1 << 30)? {
            self.limits.queue_bytes = mib << 20;
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
        if let Some(format) = file.log.format {
            self.log.format = format;
        }
        if let Some(level) = file.log.level {
            self.log.level = level;
        }
        Ok(())
    }

    fn apply_tls(&mut self, file: FileTls) {
        if let Some(certificate) = file.certificate {
            self.tls.certificate = certificate;
        }
        if let Some(key) = file.key {
            self.tls.key = key;
        }
        // Empty stands for none.
        self.tls.client_ca = file.client_ca.filter(|path| !path.as_os_str().is_empty());
        if let Some(auth) = file.client_auth {
            self.tls.client_auth = auth;
        }
    }

    fn apply_door(&mut self, file: &FileLimits) -> Result<(), String> {
        if let Some(most) = bounded("limits.connections", file.connections, 1, 1_000_000)? {
            self.door.connections = most;
        }
        let most = file.connections_per_address;
        if let Some(most) = bounded("limits.connections_per_address", most, 1, 1_000_000)? {
            self.door.connections_per_address = most;
        }
        let s = file.handshake_timeout_s;
        if let Some(s) = bounded("limits.handshake_timeout_s", s, 1, 3600)? {
            self.door.handshake_timeout = Duration::from_secs(s);
        }
        if let Some(s) = bounded("limits.ping_s", file.ping_s, 1, 86_400)? {
            self.door.ping = Duration::from_secs(s);
        }
        if let Some(s) = bounded("limits.dead_peer_s", file.dead_peer_s, 2, 86_400)? {
            self.door.dead_peer = Duration::from_secs(s);
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
    fn registration_is_open_by_default_on_the_loopback_only() {
        for (text, registration) in [
            ("", Registration::Open),
            ("listen = [\"127.0.0.1:1\", \"[::1]:2\"]", Registration::Open),
            ("listen = [\"127.0.0.1:1\", \"0.0.0.0:2\"]", Registration::Closed),
            ("listen = [\"0.0.0.0:2\"]\n[accounts]\nregistration = \"open\"", Registration::Open),
            ("[accounts]\nregistration = \"invite\"", Registration::Invite),
        ] {
            assert_eq!(read(text).unwrap().registration(), registration, "{text}");
        }
    }

    #[test]
    fn a_wrong_file_is_refused_with_its_place_and_reason() {
        for (text, reason) in [
            ("[accounts]\nregistration = \"all\"", "expected one of"),
            (
                "[limits]\nnodes_per_user = 101",
                "limits.nodes_per_user = 101 is not between 1 and 100",
            ),
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
