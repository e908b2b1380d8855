//! The same figures at several sizes: a table that shows whether they stay as they are.

use super::report::number;
use super::table;
use serde_json::{Map, Value};
use std::fmt;

/// A column: its key in JSON, its title, and what it means.
pub(crate) type Column = (&'static str, &'static str, &'static str);

/// A table of figures.
#[derive(Debug)]
pub(crate) struct Rows {
    /// Its key in JSON.
    pub(crate) key: &'static str,
    columns: &'static [Column],
    rows: Vec<Vec<f64>>,
}

impl Rows {
    /// A table without rows.
    pub(crate) fn new(key: &'static str, columns: &'static [Column]) -> Self {
        Self { key, columns, rows: Vec::new() }
    }

    /// Adds a row, with a figure for each column.
    pub(crate) fn push(&mut self, row: Vec<f64>) {
        debug_assert_eq!(row.len(), self.columns.len(), "a figure for each column");
        self.rows.push(row);
    }

    /// The table as JSON.
    pub(crate) fn json(&self) -> Value {
        let object = |row: &Vec<f64>| {
            let figures = self.columns.iter().zip(row);
            Map::from_iter(figures.map(|((key, ..), value)| ((*key).to_owned(), (*value).into())))
        };
        self.rows.iter().map(object).collect()
    }

    /// The table in Markdown, and what its columns mean.
    pub(crate) fn markdown(&self) -> String {
        let mut lines = self.cells().map(table::row);
        let titles = lines.next().unwrap_or_default();
        let rule = table::row(self.columns.iter().map(|_| "---:"));
        let meanings = self.columns.iter().map(|(_, title, means)| table::meaning_of(title, means));
        titles + &rule + &String::from_iter(lines) + "\n" + &String::from_iter(meanings)
    }

    /// The titles, and the rows as they are shown.
    fn cells(&self) -> impl Iterator<Item = Vec<String>> {
        let titles = self.columns.iter().map(|(_, title, _)| (*title).to_owned()).collect();
        let shown = |row: &Vec<f64>| row.iter().map(|value| number(*value)).collect();
        std::iter::once(titles).chain(self.rows.iter().map(shown))
    }
}

impl fmt::Display for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cells = Vec::from_iter(self.cells());
        let width = |column: usize| {
            cells.iter().map(|row| row[column].chars().count()).max().unwrap_or_default()
        };
        for row in &cells {
            for (column, cell) in row.iter().enumerate() {
                write!(f, "  {cell:>width$}", width = width(column))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Rows {
        const COLUMNS: &[Column] =
            &[("depth", "deep", "how deep"), ("posts_per_s", "posts/s", "how fast")];
        let mut rows = Rows::new("depths", COLUMNS);
        rows.push(vec![1000.0, 20_000.0]);
        rows.push(vec![1_000_000.0, 19_000.0]);
        rows
    }

    #[test]
    fn columns_are_aligned() {
        let text = rows().to_string();
        let lines = Vec::from_iter(text.lines());
        assert_eq!(lines[0], "       deep  posts/s");
        assert_eq!(lines[1], "      1,000   20,000");
        assert_eq!(lines[2], "  1,000,000   19,000");
    }

    #[test]
    fn markdown_has_a_rule_below_the_titles() {
        let lines = "| deep | posts/s |\n| ---: | ---: |\n| 1,000 | 20,000 |\n";
        let markdown = rows().markdown();
        assert!(markdown.starts_with(lines), "{markdown}");
        assert!(markdown.ends_with("\n\n- *deep*: how deep\n- *posts/s*: how fast\n"));
    }

    #[test]
    fn json_has_an_object_for_each_row() {
        let json = serde_json::json!([
            { "depth": 1000.0, "posts_per_s": 20_000.0 },
            { "depth": 1_000_000.0, "posts_per_s": 19_000.0 },
        ]);
        assert_eq!(rows().json(), json);
    }
}
