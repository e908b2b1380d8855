//! One setting: its name, what it may be, and where it is in a [`Config`].

use super::Config;
use serde::Serialize;
use std::fmt;

/// A setting that the operator may make. [`SETTINGS`](super::SETTINGS) has them all.
pub struct Setting {
    /// The section of the file that it is in; empty above all sections.
    pub section: &'static str,
    /// Its key there.
    pub key: &'static str,
    /// What it counts; empty if it is no number.
    pub unit: &'static str,
    /// When a change takes effect.
    pub effect: Effect,
    pub(super) kind: Kind,
}

/// When a change of a setting takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// While the server runs.
    Live,
    /// At the next start.
    Start,
}

/// What a setting is, and how it is read and written.
pub(super) enum Kind {
    Number { least: u64, most: u64, get: fn(&Config) -> u64, set: fn(&mut Config, u64) },
    Flag { get: fn(&Config) -> bool, set: fn(&mut Config, bool) },
    Text { expected: &'static str, get: fn(&Config) -> String, set: TextSetter },
    List { expected: &'static str, get: fn(&Config) -> Vec<String>, set: ListSetter },
}

/// `None`: it is no value of the setting.
type TextSetter = fn(&mut Config, &str) -> Option<()>;
/// The same.
type ListSetter = fn(&mut Config, &[String]) -> Option<()>;

/// The value of a setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// A number, in the setting's unit.
    Number(u64),
    /// Yes or no.
    Flag(bool),
    /// A word, a path or an address.
    Text(String),
    /// Several of them.
    List(Vec<String>),
}

impl fmt::Display for Value {
    /// As it stands in the file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Flag(flag) => flag.fmt(f),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::List(texts) => write!(f, "{texts:?}"),
        }
    }
}

/// What somebody wrote for a setting.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Given {
    Number(i128),
    Flag(bool),
    Text(String),
    List(Vec<String>),
    /// None of what settings are: what it is called.
    Other(&'static str),
}

impl fmt::Display for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Flag(flag) => flag.fmt(f),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::List(texts) => write!(f, "{texts:?}"),
            Self::Other(name) => f.write_str(name),
        }
    }
}

impl Setting {
    /// `limits.connections`, or `listen` above all sections.
    pub fn name(&self) -> String {
        match self.section {
            "" => self.key.to_owned(),
            section => format!("{section}.{}", self.key),
        }
    }

    /// The environment's variable: `MQSERVER_LIMITS_CONNECTIONS`.
    pub fn variable(&self) -> String {
        let name = self.name().replace('.', "_").to_uppercase();
        format!("{}{name}", super::environment::PREFIX)
    }

    /// The least and the most that it may be, if it is a number.
    pub fn bounds(&self) -> Option<(u64, u64)> {
        match self.kind {
            Kind::Number { least, most, .. } => Some((least, most)),
            _ => None,
        }
    }

    /// What may be written, for the operator.
    pub fn expected(&self) -> String {
        match self.kind {
            Kind::Number { least, most, .. } => format!("{least} to {most} {}", self.unit),
            Kind::Flag { .. } => "true or false".to_owned(),
            Kind::Text { expected, .. } | Kind::List { expected, .. } => expected.to_owned(),
        }
    }

    /// What it is in a configuration.
    pub fn value(&self, config: &Config) -> Value {
        match self.kind {
            Kind::Number { get, .. } => Value::Number(get(config)),
            Kind::Flag { get, .. } => Value::Flag(get(config)),
            Kind::Text { get, .. } => Value::Text(get(config)),
            Kind::List { get, .. } => Value::List(get(config)),
        }
    }

    /// Sets it.
    ///
    /// # Errors
    /// That is no value of it, or out of bounds: a sentence for the operator.
    pub(super) fn set(&self, config: &mut Config, given: Given) -> Result<(), String> {
        let done = match (&self.kind, &given) {
            (Kind::Number { least, most, set, .. }, Given::Number(number)) => {
                let number = u64::try_from(*number).ok();
                let within = number.filter(|number| (*least..=*most).contains(number));
                let Some(within) = within else {
                    let (name, expected) = (self.name(), self.expected());
                    return Err(format!("{name} = {given} is out of bounds: {expected}"));
                };
                set(config, within);
                Some(())
            }
            (Kind::Flag { set, .. }, Given::Flag(flag)) => {
                set(config, *flag);
                Some(())
            }
            (Kind::Text { set, .. }, Given::Text(text)) => set(config, text),
            (Kind::List { set, .. }, Given::List(texts)) => set(config, texts),
            _ => None,
        };
        let wrong = || format!("{} = {given} is not {}", self.name(), self.expected());
        done.ok_or_else(wrong)
    }

    /// Gives one configuration what the setting is in another.
    pub(crate) fn copy(&self, from: &Config, to: &mut Config) {
        match self.kind {
            Kind::Number { get, set, .. } => set(to, get(from)),
            Kind::Flag { get, set, .. } => set(to, get(from)),
            Kind::Text { get, set, .. } => drop(set(to, &get(from))),
            Kind::List { get, set, .. } => drop(set(to, &get(from))),
        }
    }
}
