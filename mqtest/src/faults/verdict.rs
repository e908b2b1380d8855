//! What a trial has to say in the end.

use mqlib::testing::history::Counts;
use serde_json::{Map, Value, json};

/// How many breaches are told in words.
const EXAMPLES: usize = 20;

/// The outcome of a trial.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) counts: Counts,
    /// The trial's own figures.
    pub(crate) figures: Map<String, Value>,
    /// Broken promises in words.
    pub(crate) broken: Vec<String>,
}

impl Verdict {
    /// Was every promise kept?
    pub(crate) fn is_kept(&self) -> bool {
        self.counts.are_clean() && self.broken.is_empty()
    }

    /// Adds a figure.
    pub(crate) fn put(&mut self, name: &str, value: impl Into<Value>) {
        self.figures.insert(name.to_owned(), value.into());
    }

    /// Prints it; was every promise kept?
    pub(crate) fn tell(mut self, trial: &str, as_json: bool) -> anyhow::Result<bool> {
        let ok = self.is_kept();
        self.broken.truncate(EXAMPLES);
        if as_json {
            let mut all = Map::new();
            all.insert("trial".into(), json!(trial));
            all.insert("ok".into(), json!(ok));
            all.append(&mut self.figures);
            all.insert("counts".into(), serde_json::to_value(self.counts)?);
            all.insert("broken".into(), json!(self.broken));
            println!("{}", Value::Object(all));
            return Ok(ok);
        }
        for (name, value) in &self.figures {
            println!("{name:<24} {value}");
        }
        let Counts { posts, acked, refused, deliveries, duplicates, most_duplicates, .. } =
            self.counts;
        println!("posted {posts}, acked {acked}, refused {refused}");
        println!(
            "delivered {deliveries}, {duplicates} duplicates, at most {most_duplicates} at once"
        );
        for broken in &self.broken {
            println!("  {broken}");
        }
        let Counts { lost, astray, corrupted, out_of_order, deleted, .. } = self.counts;
        let Counts { stored_twice, .. } = self.counts;
        println!(
            "{}: {lost} lost, {astray} astray, {corrupted} corrupted, {out_of_order} out of order, \
             {deleted} after their delete, {stored_twice} stored twice, {} broken in all",
            if ok { "ok" } else { "FAILED" },
            self.counts.broken()
        );
        Ok(ok)
    }
}
