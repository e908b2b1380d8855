//! A fuzz target: a configuration, as an operator writes it.
//!
//! `cargo test` runs it on its corpus and some random inputs; `mqtest/fuzz/run` for long.

use super::{Config, FILE, Problem, SETTINGS, file};
use std::path::{Path, PathBuf};

fn read(text: &str) -> (Config, Vec<Problem>) {
    let mut config = Config::new(PathBuf::from("store"));
    let problems = file::apply(Path::new(FILE), text, &mut config);
    (config, problems)
}

#[test]
fn configuration() {
    bolero::check!().with_iterations(500).for_each(|input: &[u8]| {
        let text = String::from_utf8_lossy(input);
        let (config, problems) = read(&text);
        // However wrong it is, what is set is within its bounds.
        for setting in SETTINGS {
            if let (super::Value::Number(number), Some((least, most))) =
                (setting.value(&config), setting.bounds())
            {
                assert!((least..=most).contains(&number), "{}", setting.name());
            }
        }
        let (again, same) = read(&text);
        assert_eq!(problems, same);
        assert_eq!(format!("{again:?}"), format!("{config:?}"));
        assert!(problems.iter().all(|problem| problem.to_string().starts_with(FILE)));
    });
}
