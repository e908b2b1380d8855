//! Tables, sizes and times for people.

use std::time::{Duration, SystemTime};

/// Columns, all but the last padded to one width, with a title each. Numbers stand to the right.
pub(super) fn table<const N: usize>(titles: [&str; N], rows: &[[String; N]]) -> String {
    let width = |text: &str| text.chars().count();
    let mut widths = titles.map(width);
    // A column of numbers only, and of what stands for none.
    let mut numbers = [true; N];
    for row in rows {
        for (at, cell) in row.iter().enumerate() {
            widths[at] = widths[at].max(width(cell));
            numbers[at] &= cell.starts_with(|c: char| c.is_ascii_digit()) && !cell.contains(' ');
        }
    }
    let mut text = String::new();
    let mut line = |cells: [&str; N]| {
        let mut line = String::new();
        for (at, cell) in cells.into_iter().enumerate() {
            let padding = " ".repeat(widths[at] - width(cell));
            match numbers[at] {
                true => line.extend([&padding, cell]),
                false => line.extend([cell, &padding]),
            }
            line.push_str("  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    };
    line(titles);
    for row in rows {
        line(std::array::from_fn(|at| row[at].as_str()));
    }
    text
}

/// Lines of a name and a value each.
pub(super) fn lines(lines: &[(&str, String)]) -> String {
    let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    lines.iter().map(|(name, value)| format!("{name:width$}  {value}\n")).collect()
}

/// Bytes, in the unit that suits them.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    match value < 10.0 {
        true => format!("{value:.1} {}", UNITS[unit]),
        false => format!("{value:.0} {}", UNITS[unit]),
    }
}

/// How long something takes or took, in the largest unit that it has.
pub(super) fn duration(seconds: u64) -> String {
    for (unit, name) in [(86_400, "d"), (3600, "h"), (60, "min")] {
        if seconds >= unit {
            return format!("{} {name}", seconds / unit);
        }
    }
    format!("{seconds} s")
}

/// How long a moment in ISO 8601 is ago; as it stands there, if that is not known.
pub(super) fn ago(date: &str) -> String {
    let Ok(then) = humantime::parse_rfc3339(date) else { return date.to_owned() };
    let age = SystemTime::now().duration_since(then).unwrap_or(Duration::ZERO);
    format!("{} ago", duration(age.as_secs()))
}

/// When a node was seen last.
pub(super) fn seen(online: bool, last: Option<&String>) -> String {
    match last {
        _ if online => "online".to_owned(),
        Some(date) => ago(date),
        None => "unknown".to_owned(),
    }
}

/// One thing, or so many of them.
pub(super) fn count(number: u64, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        number => format!("{number} {what}s"),
    }
}

/// Text as it can be shown on a terminal: what would move the cursor, or worse, is told as what it is.
pub(super) fn shown(text: &str) -> String {
    let is_plain = |c: char| c == '\n' || c == '\t' || !c.is_control();
    text.chars()
        .map(|c| if is_plain(c) { c.to_string() } else { c.escape_unicode().to_string() })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_numbers_stand_to_the_right() {
        let rows = [["é".to_owned(), "7".to_owned()], ["alice".to_owned(), "12".to_owned()]];
        assert_eq!(table(["name", "nodes"], &rows), "name   nodes\né          7\nalice     12\n");
    }

    #[test]
    fn sizes_and_ages_are_told_in_the_unit_that_suits_them() {
        let sizes = [0, 1023, 1024, 10 << 10, 3 << 20, 5 << 40, 9999 << 40].map(size);
        let wanted = ["0 B", "1023 B", "1.0 KiB", "10 KiB", "3.0 MiB", "5.0 TiB", "9999 TiB"];
        assert_eq!(sizes, wanted);
        assert_eq!([5, 60, 7200, 86_400 * 31].map(duration), ["5 s", "1 min", "2 h", "31 d"]);
        assert_eq!(ago("never"), "never");
    }

    #[test]
    fn what_a_terminal_would_obey_is_shown_as_what_it_is() {
        assert_eq!(shown("a\tb\n\u{1b}[2J"), "a\tb\n\\u{1b}[2J");
    }
}
