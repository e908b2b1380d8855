//! What a configuration says, for the operator: `mqserver config check` and `mqserver config show`.

use super::{Config, Place, Problem, SETTINGS, Source, Value};
use serde::Serialize;
use std::fmt::Write;
use std::path::PathBuf;

/// What there is to say of a configuration.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Would a server start with it?
    pub ok: bool,
    /// The file that it is in, if there is one.
    pub file: PathBuf,
    /// All that is wrong.
    pub errors: Vec<Problem>,
    /// What the settings are; none if something is wrong.
    pub settings: Vec<Row>,
}

/// One setting.
#[derive(Debug, Serialize)]
pub struct Row {
    /// `limits.connections`
    pub name: String,
    /// What it is.
    pub value: Value,
    /// What it is if nobody says otherwise.
    pub default: Value,
    /// What it counts; empty if it is no number.
    pub unit: &'static str,
    /// Where it was made; `None` if it follows from others, or is the default.
    pub from: Option<Place>,
}

impl Report {
    /// Reads a configuration; of its settings, `all` or those that have not their defaults.
    pub fn of(source: &Source, all: bool) -> Self {
        let (errors, settings) = match source.read() {
            Ok(config) => (careless(&config), rows(&config, all)),
            Err(error) => (error.0, Vec::new()),
        };
        Self { ok: errors.is_empty(), file: source.file(), errors, settings }
    }

    /// The report as lines for a person.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        for problem in &self.errors {
            let _ = writeln!(text, "{problem}");
        }
        let width = self.settings.iter().map(|row| row.left().len()).max().unwrap_or_default();
        for row in &self.settings {
            let _ = write!(text, "{:width$}  ", row.left());
            let _ = match &row.from {
                Some(place) => writeln!(text, "{place} (default {})", row.default),
                None if row.value == row.default => writeln!(text, "default"),
                None => writeln!(text, "follows from the others (default {})", row.default),
            };
        }
        if self.ok {
            text.push_str("OK\n");
        }
        text
    }
}

impl Row {
    fn left(&self) -> String {
        let Self { name, value, unit, .. } = self;
        format!("{name} = {value} {unit}").trim_end().to_owned()
    }
}

fn rows(config: &Config, all: bool) -> Vec<Row> {
    let defaults = Config::new(config.store.clone());
    let row = |setting: &super::Setting| Row {
        name: setting.name(),
        value: setting.value(config),
        default: setting.value(&defaults),
        unit: setting.unit,
        from: config.place(setting).cloned(),
    };
    let rows = SETTINGS.iter().map(row);
    rows.filter(|row| all || row.value != row.default).collect()
}

/// What a server would refuse to start with.
fn careless(config: &Config) -> Vec<Problem> {
    if config.insecure {
        return Vec::new();
    }
    let problem = |why: String| {
        let error = format!("{why} (insecure = true allows it)");
        Problem::new(Place::Together {}, error)
    };
    config.careless().into_iter().map(problem).collect()
}
