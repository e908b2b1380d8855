//! The configuration: `mqserver.toml` in the store, the environment above it, and the command line
//! above both.
//!
//! A setting is a row of a table ([`SETTINGS`]) with its name, unit and bounds: the file and the
//! environment are read by it, and what a reload changed is told by it. Every setting has a default;
//! `mqstore.example/mqserver.toml` documents them all.

mod command_line;
mod environment;
mod file;
pub(crate) mod live;
mod problem;
pub mod report;
mod setting;
mod settings;
mod source;

pub use command_line::CommandLine;
pub use environment::STORE;
pub use problem::{ConfigError, Place, Problem};
pub use setting::{Effect, Setting, Value};
pub use settings::SETTINGS;
pub use source::Source;

use crate::door::limits::DoorLimits;
use crate::exposure::{self, is_private};
use crate::logging::LogConfig;
use crate::tls::TlsConfig;
use mqlib::directory::Registration;
use mqlib::limits::Limits;
use mqlib::store::StoreConfig;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

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
    /// What it was read from; `None` if by nothing that could change.
    source: Option<Source>,
    /// Where each setting was made, by its name, that has not its default.
    made: BTreeMap<String, Place>,
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

impl Admin {
    /// The address, if there is to be one.
    pub fn address(self) -> Option<SocketAddr> {
        match self {
            Self::Off => None,
            Self::At(address) => Some(address),
        }
    }
}

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
            source: None,
            made: BTreeMap::new(),
        }
    }

    /// What the store's file and the environment say.
    ///
    /// # Errors
    /// As those of [`Source::read`].
    pub fn read(store: &Path) -> Result<Self, ConfigError> {
        Source::new(store.to_owned(), CommandLine::default()).read()
    }

    /// Who may register: everyone, by default, where only this machine can connect; else nobody.
    pub fn registration(&self) -> Registration {
        let private = self.listen.iter().chain(&self.listen_tls).all(is_private);
        let prudent = if private { Registration::Open } else { Registration::Closed };
        self.registration.unwrap_or(prudent)
    }

    /// What strangers could do to a server that is configured like this, in sentences.
    pub fn careless(&self) -> Vec<String> {
        let clear = self.listen.iter().chain(&self.admin).map(|address| (*address, false));
        let tls = self.listen_tls.iter().map(|address| (*address, true));
        exposure::careless(&clear.chain(tls).collect::<Vec<_>>(), self.registration())
    }

    /// The configuration as a server works by it: with what follows from other settings, and no more
    /// connections than files may be open.
    pub(crate) fn ready(mut self) -> Self {
        self.limits.registration = self.registration();
        self.door = self.door.within_open_files();
        self
    }

    /// The TLS files, with paths as they are seen from the working directory.
    pub(crate) fn tls_below_store(&self) -> TlsConfig {
        self.tls.below(&self.store)
    }

    /// What it was read from, if it can be read again.
    pub fn source(&self) -> Option<&Source> {
        self.source.as_ref()
    }

    /// Where a setting was made; `None` if it has its default.
    pub fn place(&self, setting: &Setting) -> Option<&Place> {
        self.made.get(&setting.name())
    }

    fn made(&mut self, setting: &Setting, place: Place) {
        self.made.insert(setting.name(), place);
    }
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
