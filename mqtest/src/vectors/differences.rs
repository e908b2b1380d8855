//! Where we differ from the original on purpose: `vectors/differences.toml`, by vector.
//!
//! A difference is a promise like any other, so it says what we do instead and that is replayed
//! and checked. Only what cannot be run is skipped.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use serde::Deserialize;

use super::file::{Observed, Step, Vector};

const LIST: &str = include_str!("../../vectors/differences.toml");

/// The list, by the name of the vector.
pub(crate) type Differences = BTreeMap<String, Difference>;

/// How and why we differ in one vector. What is given replaces that part of the vector.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Difference {
    pub(crate) reason: String,
    /// It cannot be run against us at all.
    #[serde(default)]
    pub(crate) skip: bool,
    /// Our text in place of the JavaScript engine's.
    engine_text: Option<String>,
    /// The same messages in another order will do.
    #[serde(default)]
    any_order: bool,
    setup: Option<Vec<Step>>,
    send: Option<Step>,
    expect: Option<Vec<Observed>>,
    then: Option<Vec<Step>>,
}

/// The list this program was built with.
pub(crate) fn read() -> anyhow::Result<Differences> {
    toml::from_str(LIST).context("differences.toml")
}

impl Difference {
    /// The vector as we keep it.
    pub(crate) fn apply(&self, vector: &Vector) -> anyhow::Result<Vector> {
        let mut ours = vector.clone();
        if let Some(setup) = &self.setup {
            ours.setup.clone_from(setup);
        }
        if let Some(send) = &self.send {
            ours.send.clone_from(send);
        }
        if let Some(expect) = &self.expect {
            ours.expect.clone_from(expect);
        }
        if let Some(then) = &self.then {
            ours.then.clone_from(then);
        }
        if let Some(text) = &self.engine_text {
            let quit = ours.expect.iter_mut().find(|o| o.is_engine_text());
            let quit = quit.with_context(|| format!("{} has no engine text", vector.name))?;
            let info = serde_json::Value::from(text.as_str());
            quit.header_text = Some(format!(r#"{{"op":"quit","info":{info}}}"#));
            quit.header = None;
        }
        // What was a race there is settled here, or is said to be none of anybody's business.
        if self.expect.is_some() {
            ours.class.retain(|class| class != "race");
        }
        if self.any_order {
            ours.class.push("race".to_owned());
        }
        ensure!(!self.reason.is_empty(), "{} differs without a reason", vector.name);
        Ok(ours)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn all() -> Vec<Vector> {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors");
        super::super::file::read(&[dir]).unwrap()
    }

    #[test]
    fn every_difference_is_about_a_vector_and_can_be_applied() {
        let vectors = all();
        for (name, difference) in read().unwrap() {
            let Some(vector) = vectors.iter().find(|v| v.name == name) else {
                assert!(difference.skip, "there is no vector {name}");
                continue;
            };
            difference.apply(vector).unwrap().steps().unwrap();
        }
    }

    #[test]
    fn every_vector_that_killed_the_original_has_its_difference() {
        let differences = read().unwrap();
        for vector in all() {
            vector.steps().unwrap();
            let must = vector.is("crash") || vector.is("raw-head");
            assert!(!must || differences.contains_key(&vector.name), "{}", vector.name);
        }
    }
}
