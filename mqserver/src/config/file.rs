//! `mqserver.toml`: what it sets, and at which line and column it is wrong.

use super::problem::{Place, Problem, suggest};
use super::setting::{Given, Setting};
use super::{Config, SETTINGS};
use crate::plain;
use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::ops::Range;
use std::path::Path;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Reads the file, makes its settings, and says what is wrong with others. One that does not exist
/// sets nothing.
pub(super) fn read(path: &Path, config: &mut Config) -> Vec<Problem> {
    let opened = plain::open(path, OpenOptions::new().read(true));
    match opened.and_then(std::io::read_to_string) {
        Ok(text) => apply(path, &text, config),
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            let place = Place::File { file: path.to_owned() };
            vec![Problem::new(place, error.to_string())]
        }
    }
}

/// Makes the settings of a file's text, and says what is wrong with others.
pub(super) fn apply(path: &Path, text: &str, config: &mut Config) -> Vec<Problem> {
    let mut reader = Reader { path, text, config, problems: Vec::new() };
    match DeTable::parse(text) {
        Ok(table) => reader.table(table.get_ref()),
        Err(error) => {
            let why = error.message().trim().replace('\n', ", ");
            reader.wrong(&error.span().unwrap_or_default(), why, None);
        }
    }
    // The table's order is that of names.
    reader.problems.sort_by_key(|problem| match problem.place {
        Place::Line { line, column, .. } => (line, column),
        _ => (0, 0),
    });
    reader.problems
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    config: &'a mut Config,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    /// What is above all sections, and the sections.
    fn table(&mut self, table: &DeTable<'_>) {
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            if !is_section(name) {
                self.setting("", key.span(), name, value);
            } else if let DeValue::Table(section) = value.get_ref() {
                for (key, value) in section {
                    self.setting(name, key.span(), key.get_ref(), value);
                }
            } else {
                let why = format!("{name} is a section: [{name}]");
                self.wrong(&key.span(), why, None);
            }
        }
    }

    fn setting(
        &mut self,
        section: &str,
        place: Range<usize>,
        key: &str,
        value: &Spanned<DeValue<'_>>,
    ) {
        let found = SETTINGS.iter().find(|known| (known.section, known.key) == (section, key));
        let Some(setting) = found else {
            let (what, suggestion) = unknown(section, key, value.get_ref());
            return self.wrong(&place, what, suggestion);
        };
        match setting.set(self.config, given(value.get_ref())) {
            Ok(()) => {
                let place = self.place(&place);
                self.config.made(setting, place);
            }
            Err(why) => self.wrong(&value.span(), why, None),
        }
    }

    fn wrong(&mut self, place: &Range<usize>, error: String, suggestion: Option<String>) {
        let place = self.place(place);
        self.problems.push(Problem { suggestion, ..Problem::new(place, error) });
    }

    fn place(&self, at: &Range<usize>) -> Place {
        let before = self.text.get(..at.start).unwrap_or(self.text);
        let begin = before.rfind('\n').map_or(0, |end| end + 1);
        Place::Line {
            file: self.path.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[begin..].chars().count() + 1,
        }
    }
}

fn is_section(name: &str) -> bool {
    !name.is_empty() && SETTINGS.iter().any(|setting| setting.section == name)
}

/// What an unknown name is, and what was perhaps meant.
fn unknown(section: &str, key: &str, value: &DeValue<'_>) -> (String, Option<String>) {
    if section.is_empty() && value.is_table() {
        let sections = SETTINGS.iter().map(|setting| setting.section.to_owned());
        return (format!("there is no section [{key}]"), suggest(key, sections));
    }
    let place = match section {
        "" => "above all sections".to_owned(),
        section => format!("in [{section}]"),
    };
    // In its place, or the same in another one.
    let here = SETTINGS.iter().filter(|setting| setting.section == section);
    let elsewhere = || SETTINGS.iter().find(|setting| setting.key == key).map(Setting::name);
    let suggestion = elsewhere().or_else(|| suggest(key, here.map(|here| here.key.to_owned())));
    (format!("there is no setting `{key}` {place}"), suggestion)
}

fn given(value: &DeValue<'_>) -> Given {
    match value {
        DeValue::String(text) => Given::Text(text.to_string()),
        DeValue::Boolean(flag) => Given::Flag(*flag),
        DeValue::Integer(number) => {
            i128::from_str_radix(number.as_str(), number.radix()).map_or(
                // More digits than any number of ours has.
                Given::Other("a number of many digits"),
                Given::Number,
            )
        }
        DeValue::Float(_) => Given::Other("a number with a fraction"),
        DeValue::Datetime(_) => Given::Other("a date"),
        DeValue::Table(_) => Given::Other("a table"),
        DeValue::Array(values) => {
            let texts = values.iter().map(|value| value.get_ref().as_str().map(str::to_owned));
            texts.collect::<Option<_>>().map_or(Given::Other("a list"), Given::List)
        }
    }
}
