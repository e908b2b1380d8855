//! The last lines of the log, for the admin page: `GET /api/v1/events`.

use axum::Router;
use axum::extract::State;
use axum::http::Uri;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;
use std::collections::VecDeque;
use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Lines that are kept.
const LINES: usize = 500;
/// The longest of them in bytes; the rest of a longer one is left out.
const LONGEST: usize = 1000;

/// A line of the log.
#[derive(Debug, Clone, Serialize)]
struct Line {
    /// Counted from 1.
    number: u64,
    /// When, in ISO 8601.
    time: String,
    /// How bad: `info`, `warn` or `error`.
    level: &'static str,
    text: String,
}

#[derive(Debug, Default)]
struct Lines {
    kept: VecDeque<Line>,
    told: u64,
}

/// The last lines of the log, from level info on; a handle that may be cloned. Added to a subscriber as
/// a layer, it takes what is told.
#[derive(Debug, Clone, Default)]
pub struct Recent(Arc<Mutex<Lines>>);

impl Recent {
    fn add(&self, level: &'static str, mut text: String) {
        if text.len() > LONGEST {
            text.truncate(text.floor_char_boundary(LONGEST));
            text.push('…');
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let time = mqlib::now::date(now.as_millis() as u64);
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.told += 1;
        let number = lines.told;
        if lines.kept.len() == LINES {
            lines.kept.pop_front();
        }
        lines.kept.push_back(Line { number, time, level, text });
    }

    /// Those after the one with this number.
    fn after(&self, number: u64) -> Vec<Line> {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.kept.iter().filter(|line| line.number > number).cloned().collect()
    }
}

impl<S: Subscriber> Layer<S> for Recent {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let level = match *event.metadata().level() {
            Level::ERROR => "error",
            Level::WARN => "warn",
            Level::INFO => "info",
            _ => return,
        };
        let mut text = Text::default();
        event.record(&mut text);
        self.add(level, text.whole());
    }
}

/// An event as text: the message, then the fields.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Text {
    fn whole(self) -> String {
        match self.message.is_empty() {
            true => self.fields.trim_start().to_owned(),
            false => self.message + &self.fields,
        }
    }
}

impl Visit for Text {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Writing to a String cannot fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

/// `/api/v1/events?after=`
pub(crate) fn router(recent: Recent) -> Router {
    Router::new().route("/api/v1/events", get(tell)).with_state(recent)
}

async fn tell(State(recent): State<Recent>, uri: Uri) -> Response {
    let query = uri.query().unwrap_or_default();
    let after = query.split('&').find_map(|pair| pair.strip_prefix("after=")?.parse().ok());
    let events = recent.after(after.unwrap_or_default());
    let json = serde_json::json!({ "events": events }).to_string();
    ([(CONTENT_TYPE, "application/json")], json).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::layer::SubscriberExt;

    #[test]
    fn what_the_log_says_from_info_on_is_kept_with_its_fields() {
        let recent = Recent::default();
        let subscriber = tracing_subscriber::registry().with(recent.clone());
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(users = 2, place = "here", "ready in {}", "time");
            tracing::debug!("not this");
            tracing::warn!("{}", "ü".repeat(LONGEST));
        });
        let lines = recent.after(0);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert_eq!((lines[0].level, &*lines[0].text), ("info", "ready in time users=2 place=here"));
        assert_eq!(lines[1].text.len(), LONGEST + '…'.len_utf8());
        assert_eq!(recent.after(1).len(), 1);
    }

    #[test]
    fn a_long_log_leaves_its_last_lines() {
        let recent = Recent::default();
        (0..LINES + 7).for_each(|number| recent.add("info", number.to_string()));
        let lines = recent.after(0);
        assert_eq!(lines.len(), LINES);
        assert_eq!((lines[0].number, &*lines[0].text), (8, "7"));
        assert!(recent.after(LINES as u64 + 7).is_empty());
    }
}
