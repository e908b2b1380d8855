//! The live line: redrawn on a terminal, else a line every few seconds; always on standard error,
//! which leaves the output to the summary.

use indicatif::{ProgressBar, ProgressStyle};
use std::fmt::Display;
use std::io::IsTerminal;
use std::time::Duration;
use tokio::time::Instant;

/// How often a line is written where it cannot be redrawn.
const PLAIN: Duration = Duration::from_secs(5);

pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    told: Instant,
}

impl Progress {
    pub(crate) fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{spinner} {wide_msg}");
            ProgressBar::new_spinner()
                .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
        });
        Self { bar, told: Instant::now() }
    }

    /// Shows how far it is.
    pub(crate) fn show(&mut self, state: &impl Display) {
        if let Some(bar) = &self.bar {
            bar.set_message(state.to_string());
            bar.tick();
        } else if self.told.elapsed() >= PLAIN {
            self.told = Instant::now();
            eprintln!("{state}");
        }
    }

    /// Says something that stays.
    pub(crate) fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => eprintln!("{text}"),
        }
    }

    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
