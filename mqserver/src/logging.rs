//! The log: one line a fact, on standard error, as text or as JSON.
//!
//! A line is a sentence, and fields with what it is about: numbers, addresses, paths, errors. No
//! password, no token and no part of a message is in either.
//! systemd's journal is told how serious a line is, and brings the time itself.

use crate::config::live::Live;
use std::fmt;
use std::io::IsTerminal;
use std::os::unix::fs::MetadataExt;
use std::str::FromStr;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{EnvFilter, LevelFilter};
use tracing_subscriber::fmt::format::{Format, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, reload};

/// What `[log]` in the configuration says. `RUST_LOG` goes above its level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogConfig {
    /// How a line is written.
    pub format: LogFormat,
    /// What is less serious is not written.
    pub level: LogLevel,
}

/// How a line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs: an object with `timestamp`, `level`, `target`, `message`, and the fields.
    Json,
}

/// How serious a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// The server ends, or cannot do its work.
    Error,
    /// The operator should have a look.
    Warn,
    /// What happens now and then.
    Info,
    /// What happens to single connections.
    Debug,
    /// More than anybody likes to read.
    Trace,
}

impl LogFormat {
    /// All there are.
    pub const ALL: [Self; 2] = [Self::Text, Self::Json];

    /// As it stands in the configuration.
    pub fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

impl LogLevel {
    /// All there are, the most serious first.
    pub const ALL: [Self; 5] = [Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Trace];

    /// As it stands in the configuration.
    pub fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

impl From<LogLevel> for LevelFilter {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Error => Self::ERROR,
            LogLevel::Warn => Self::WARN,
            LogLevel::Info => Self::INFO,
            LogLevel::Debug => Self::DEBUG,
            LogLevel::Trace => Self::TRACE,
        }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: LogLevel::Info }
    }
}

/// The log of this process; its level can be changed while it runs.
#[derive(Debug, Clone)]
pub struct Log(reload::Handle<EnvFilter, Registry>);

impl Log {
    /// Has the level that the configuration says, unless `RUST_LOG` says otherwise, until it is dropped.
    pub(crate) async fn follow(self, mut live: Live) {
        loop {
            live.changed().await;
            // It fails only when the log is gone.
            let _ = self.0.reload(filter(live.current().log.level));
        }
    }
}

/// Begins the log of this process. `more` is told of each event, too, whatever the level: it brings a
/// filter of its own.
///
/// Once only: a process has one log.
pub fn start(config: LogConfig, more: Option<Box<dyn Layer<Registry> + Send + Sync>>) -> Log {
    let (filter, handle) = reload::Layer::new(filter(config.level));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match config.format {
        LogFormat::Json => {
            std::panic::set_hook(Box::new(|panic| tracing::error!(%panic, "panicked")));
            Box::new(
                lines.json().flatten_event(true).with_current_span(false).with_span_list(false),
            )
        }
        LogFormat::Text if is_journal() => {
            let format = Format::default().without_time();
            Box::new(lines.with_ansi(false).event_format(Line { journal: true, format }))
        }
        // In colours.
        LogFormat::Text if std::io::stderr().is_terminal() => Box::new(lines),
        LogFormat::Text => {
            let format = Line { journal: false, format: Format::default() };
            Box::new(lines.with_ansi(false).event_format(format))
        }
    };
    let layers: Vec<_> = more.into_iter().chain([lines.with_filter(filter).boxed()]).collect();
    tracing_subscriber::registry().with(layers).init();
    Log(handle)
}

fn filter(level: LogLevel) -> EnvFilter {
    let level = LevelFilter::from(level);
    EnvFilter::builder().with_default_directive(level.into()).from_env_lossy()
}

/// Is standard error the journal's socket? It says so by its numbers (systemd.exec(5)).
fn is_journal() -> bool {
    let Ok(told) = std::env::var("JOURNAL_STREAM") else { return false };
    let Some((device, inode)) = told.split_once(':') else { return false };
    let Ok(stderr) = std::fs::metadata("/proc/self/fd/2") else { return false };
    u64::from_str(device) == Ok(stderr.dev()) && u64::from_str(inode) == Ok(stderr.ino())
}

/// Writes an event as one line, whatever is in it.
struct Line<F> {
    /// How serious it is stands before it, as in syslog (sd-daemon(3)).
    journal: bool,
    format: F,
}

impl<S, N, F> FormatEvent<S, N> for Line<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut text = String::new();
        self.format.format_event(context, Writer::new(&mut text), event)?;
        if self.journal {
            write!(writer, "<{}>", priority(*event.metadata().level()))?;
        }
        let line = text.strip_suffix('\n').unwrap_or(&text);
        writer.write_str(&line.replace('\n', "\\n").replace('\r', "\\r"))?;
        writer.write_char('\n')
    }
}

/// The priority of syslog(3).
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_fact_is_one_line_with_its_priority_for_the_journal_whatever_is_in_it() {
        let written = Written::default();
        let writer = written.clone();
        let format = Line { journal: true, format: Format::default().without_time() };
        let lines = tracing_subscriber::fmt::layer().with_ansi(false).event_format(format);
        let lines = lines.with_writer(move || writer.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), || {
            tracing::warn!(file = "a\nb", "one\nfact\r");
            tracing::info!("another");
        });
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(lines[0].starts_with("<4>") && lines[0].contains("one\\nfact\\r"), "{text}");
        assert!(lines[1].starts_with("<6>") && lines[1].ends_with("another"), "{text}");
    }
}
