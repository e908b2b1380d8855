//! A fuzz target: a configuration, as an operator writes it.
//!
//! `cargo test` runs it on its corpus and some random inputs; `mqtest/fuzz/run` for long.

use super::{Config, FILE};
use std::path::Path;

#[test]
fn configuration() {
    bolero::check!().with_iterations(500).for_each(|input: &[u8]| {
        let text = String::from_utf8_lossy(input);
        match Config::parse(Path::new("store"), &text) {
            // What it does not say has its default, whatever else it says.
            Ok(config) => {
                let again = Config::parse(Path::new("store"), &format!("\n{text}\n")).unwrap();
                assert_eq!(format!("{again:?}"), format!("{config:?}"));
            }
            Err(error) => assert!(error.to_string().contains(FILE)),
        }
    });
}
