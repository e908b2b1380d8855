//! The figures of a run: aligned lines for people, or JSON.

use super::rows::Rows;
use hdrhistogram::Histogram;
use std::fmt;

/// One figure.
#[derive(Debug)]
struct Figure {
    key: String,
    label: String,
    value: f64,
    unit: &'static str,
}

/// What a run has found.
#[derive(Debug)]
pub(crate) struct Report {
    workload: &'static str,
    /// The command that makes this run.
    pub(crate) command: String,
    figures: Vec<Figure>,
    rows: Vec<Rows>,
    notes: Vec<String>,
    broken: Vec<String>,
}

impl Report {
    /// A report without figures.
    pub(crate) fn new(workload: &'static str, command: String) -> Self {
        let (figures, rows) = (Vec::new(), Vec::new());
        Self { workload, command, figures, rows, notes: Vec::new(), broken: Vec::new() }
    }

    /// Which workload it is about.
    pub(crate) fn workload(&self) -> &'static str {
        self.workload
    }

    /// Adds a figure.
    pub(crate) fn put(&mut self, key: &str, label: &str, value: f64, unit: &'static str) {
        self.figures.push(Figure { key: key.into(), label: label.into(), value, unit });
    }

    /// Adds median, 99th percentile and maximum of latencies in µs.
    pub(crate) fn put_latency(&mut self, key: &str, label: &str, micros: &Histogram<u64>) {
        for (part, name, value) in [
            ("p50", "p50", micros.value_at_quantile(0.5)),
            ("p99", "p99", micros.value_at_quantile(0.99)),
            ("max", "max", micros.max()),
        ] {
            let (key, label) = (format!("{key}_{part}_ms"), format!("{label}, {name}"));
            self.put(&key, &label, value as f64 / 1000.0, "ms");
        }
    }

    /// Adds a table.
    pub(crate) fn put_rows(&mut self, rows: Rows) {
        self.rows.push(rows);
    }

    /// The tables.
    pub(crate) fn rows(&self) -> &[Rows] {
        &self.rows
    }

    /// Adds what another report says, but for its figures; `when` says in which part of the run.
    pub(crate) fn take_in(&mut self, part: &Self, when: &str) {
        let news = part.notes.iter().filter(|note| !self.notes.contains(note));
        let news = Vec::from_iter(news.map(|note| format!("{when}: {note}")));
        self.notes.extend(news);
        self.broken.extend(part.broken.iter().map(|broken| format!("{when}: {broken}")));
    }

    /// Says something that is no figure, once.
    pub(crate) fn note(&mut self, text: &str) {
        if !self.notes.iter().any(|note| note == text) {
            self.notes.push(text.to_owned());
        }
    }

    /// What was said that is no figure.
    pub(crate) fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Says that a promise was broken.
    pub(crate) fn broken(&mut self, text: String) {
        self.broken.push(text);
    }

    /// A figure must not exceed a bound, if there is one.
    pub(crate) fn bound(&mut self, key: &str, most: Option<f64>) {
        if let (Some(most), Some(value)) = (most, self.get(key))
            && value > most
        {
            self.broken(format!("{key} is {value:.2}, more than {most}"));
        }
    }

    /// Says so, if `count` is not 0.
    pub(crate) fn broken_if(&mut self, count: u64, what: &str) {
        if count != 0 {
            self.broken.push(format!("{count} {what}"));
        }
    }

    /// Whether no promise was broken.
    pub(crate) fn is_sound(&self) -> bool {
        self.broken.is_empty()
    }

    /// The promises broken.
    pub(crate) fn faults(&self) -> &[String] {
        &self.broken
    }

    /// A figure.
    pub(crate) fn get(&self, key: &str) -> Option<f64> {
        self.figures.iter().find(|figure| figure.key == key).map(|figure| figure.value)
    }

    /// The report as a JSON object.
    pub(crate) fn json(&self) -> serde_json::Value {
        let mut object = serde_json::Map::new();
        object.insert("workload".into(), self.workload.into());
        object.insert("command".into(), self.command.clone().into());
        for figure in &self.figures {
            // JSON has no numbers that are none.
            let value = serde_json::Number::from_f64(figure.value);
            object.insert(figure.key.clone(), value.map_or(serde_json::Value::Null, Into::into));
        }
        for rows in &self.rows {
            object.insert(rows.key.into(), rows.json());
        }
        object.insert("notes".into(), self.notes.clone().into());
        object.insert("broken".into(), self.broken.clone().into());
        object.into()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.command)?;
        let width = self.figures.iter().map(|figure| figure.label.len()).max().unwrap_or(0);
        for Figure { label, value, unit, .. } in &self.figures {
            writeln!(f, "  {label:width$}  {:>12} {unit}", number(*value))?;
        }
        for rows in &self.rows {
            write!(f, "\n{rows}")?;
        }
        for note in &self.notes {
            writeln!(f, "  note: {note}")?;
        }
        for broken in &self.broken {
            writeln!(f, "  BROKEN: {broken}")?;
        }
        Ok(())
    }
}

/// A number with three digits that mean something, and its thousands apart.
pub(crate) fn number(value: f64) -> String {
    if !value.is_finite() {
        return "–".into();
    }
    let decimals = match value.abs() {
        0.0 => 0,
        ..1.0 => 3,
        ..10.0 => 2,
        ..100.0 => 1,
        _ => 0,
    };
    let text = format!("{value:.decimals$}");
    let (whole, part) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut out = String::new();
    for (at, digit) in whole.char_indices() {
        let left = whole.len() - at;
        if at > 0 && left.is_multiple_of(3) && !out.ends_with('-') {
            out.push(',');
        }
        out.push(digit);
    }
    out + part
}

/// `part` of `whole`, in per cent.
pub(crate) fn percent(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { 100.0 * part / whole } else { 0.0 }
}

/// The command line that these arguments make.
pub(crate) fn command(args: impl IntoIterator<Item = String>) -> String {
    let mut line = String::from("mqtest");
    for arg in args {
        line.push(' ');
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c);
        if !arg.is_empty() && arg.chars().all(plain) {
            line.push_str(&arg);
        } else {
            line.push_str(&format!("'{}'", arg.replace('\'', r"'\''")));
        }
    }
    line
}

/// A number of seconds on the command line.
pub(crate) fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.1..=86_400.0).contains(&seconds) => Ok(seconds),
        _ => Err("a number of seconds is wanted, at least 0.1".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_show_three_digits_and_thousands() {
        for (value, text) in [
            (0.0, "0"),
            (0.30449, "0.304"),
            (5.678, "5.68"),
            (56.78, "56.8"),
            (567.8, "568"),
            (1234.0, "1,234"),
            (1_234_567.8, "1,234,568"),
            (-123_456.0, "-123,456"),
            (f64::NAN, "–"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn a_share_of_nothing_is_nothing() {
        assert_eq!(percent(1.0, 4.0), 25.0);
        assert_eq!(percent(1.0, 0.0), 0.0);
    }

    #[test]
    fn latencies_are_told_in_milliseconds() {
        let mut micros = Histogram::<u64>::new_with_bounds(1, 1_000_000, 3).unwrap();
        for value in 1..=1000 {
            micros.record(value).unwrap();
        }
        let mut report = Report::new("test", "mqtest bench test".into());
        report.put_latency("ack", "post to ack", &micros);
        assert_eq!(report.get("ack_p50_ms"), Some(0.5));
        assert_eq!(report.get("ack_p99_ms"), Some(0.99));
        assert_eq!(report.get("ack_max_ms"), Some(1.0));
        assert_eq!(report.get("other"), None);
        assert!(report.to_string().contains("post to ack, p50         0.500 ms\n"), "{report}");
    }

    #[test]
    fn json_has_the_figures_and_what_broke() {
        let mut report = Report::new("test", "c".into());
        report.put("a", "A", 1.5, "s");
        report.put("b", "B", f64::NAN, "s");
        report.note("n");
        report.broken_if(0, "lost");
        assert!(report.is_sound());
        report.broken_if(3, "lost");
        assert!(!report.is_sound());
        let json = r#"{"a":1.5,"b":null,"broken":["3 lost"],"command":"c","notes":["n"],"workload":"test"}"#;
        assert_eq!(report.json(), serde_json::from_str::<serde_json::Value>(json).unwrap());
    }

    #[test]
    fn a_part_adds_what_it_says_and_what_broke_in_it() {
        let mut part = Report::new("part", String::new());
        part.put("figure", "", 1.0, "");
        part.note("n");
        part.broken_if(3, "lost");
        let mut report = Report::new("test", "c".into());
        part.note("known");
        report.note("known");
        report.take_in(&part, "later");
        assert_eq!(report.notes(), ["known", "later: n"]);
        assert_eq!(report.faults(), ["later: 3 lost"]);
        assert_eq!(report.get("figure"), None);
    }

    #[test]
    fn a_command_can_be_pasted_into_a_shell() {
        let args = ["bench", "limit", "--store", "/a b/it's", ""];
        let line = command(args.map(str::to_owned));
        assert_eq!(line, r"mqtest bench limit --store '/a b/it'\''s' ''");
    }

    #[test]
    fn seconds_are_positive() {
        assert_eq!(seconds("0.5"), Ok(0.5));
        for text in ["", "0", "-1", "NaN", "x"] {
            assert!(seconds(text).is_err(), "{text:?}");
        }
    }
}
