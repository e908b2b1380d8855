//! A line that tells what the run is at, on a terminal only: elsewhere it would be in the way.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;

/// The line; gone when it is dropped.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
}

impl Progress {
    /// A line on standard error, if that is a terminal.
    pub(crate) fn new(what: &str) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{spinner} {wide_msg}");
            ProgressBar::new_spinner()
                .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
        });
        let progress = Self { bar };
        progress.show(|| what.to_owned());
        progress
    }

    /// Shows how far it is.
    pub(crate) fn show(&self, text: impl FnOnce() -> String) {
        if let Some(bar) = &self.bar {
            bar.set_message(text());
            bar.tick();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
