//! Where a configuration comes from: the store's file, the environment, the command line.

use super::command_line::CommandLine;
use super::{Config, ConfigError, FILE, environment, file};
use std::path::PathBuf;

/// What a configuration is read from, and can be read from again.
#[derive(Debug, Clone)]
pub struct Source {
    store: PathBuf,
    command_line: CommandLine,
}

impl Source {
    /// A store's file, with the environment above it, and the command line above both.
    pub fn new(store: PathBuf, command_line: CommandLine) -> Self {
        Self { store, command_line }
    }

    /// The file. It need not exist.
    pub fn file(&self) -> PathBuf {
        self.store.join(FILE)
    }

    /// Reads all of it.
    ///
    /// # Errors
    /// The file cannot be read, or something in it or in the environment is wrong: all that is.
    pub fn read(&self) -> Result<Config, ConfigError> {
        let mut config = Config::new(self.store.clone());
        let mut problems = file::read(&self.file(), &mut config);
        problems.extend(environment::apply(std::env::vars_os(), &mut config));
        self.command_line.apply(&mut config);
        config.source = Some(self.clone());
        if problems.is_empty() { Ok(config) } else { Err(ConfigError(problems)) }
    }
}
