//! What is wrong with a configuration: where, why, and what was perhaps meant.

use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// Names that are less alike than this are not suggested for each other.
const ALIKE: f64 = 0.7;

/// Where a setting was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Place {
    /// In the file, which cannot be read.
    File {
        /// The file.
        file: PathBuf,
    },
    /// At a line and a column of the file, both from 1 on.
    Line {
        /// The file.
        file: PathBuf,
        /// The line.
        line: usize,
        /// The column, in characters.
        column: usize,
    },
    /// In the environment.
    Variable {
        /// The variable's name.
        variable: String,
    },
    /// On the command line.
    Option {
        /// The option, with its dashes.
        option: &'static str,
    },
    /// Nowhere in particular: it is what all together say.
    Together {},
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file } => write!(f, "{}", file.display()),
            Self::Line { file, line, column } => write!(f, "{}:{line}:{column}", file.display()),
            Self::Variable { variable } => f.write_str(variable),
            Self::Option { option } => f.write_str(option),
            Self::Together {} => f.write_str("the configuration"),
        }
    }
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Where.
    #[serde(flatten)]
    pub place: Place,
    /// A sentence.
    pub error: String,
    /// What was perhaps meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
}

impl Problem {
    pub(super) fn new(place: Place, error: String) -> Self {
        Self { place, error, suggestion: None }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.error)?;
        match &self.suggestion {
            Some(name) => write!(f, "; did you mean `{name}`?"),
            None => Ok(()),
        }
    }
}

/// Why a configuration is no good: all that is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(pub Vec<Problem>);

impl ConfigError {
    /// The same, in one line.
    pub fn line(&self) -> String {
        self.joined("; ")
    }

    fn joined(&self, between: &str) -> String {
        let problems: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        problems.join(between)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.joined("\n"))
    }
}

impl std::error::Error for ConfigError {}

/// The name that is most like what was written, if one is.
pub(super) fn suggest(written: &str, names: impl Iterator<Item = String>) -> Option<String> {
    names
        .map(|name| (strsim::jaro(written, &name), name))
        .filter(|(alike, _)| *alike > ALIKE)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, name)| name)
}
