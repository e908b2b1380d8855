//! The admin page: who is there, and whether the server is well. Read only.

use crate::engine::Event;
use crate::metrics::{self, Metrics};
use crate::status::Overview;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use std::fmt::Write;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

/// Users on the page at most.
const USERS: usize = 1_000;

/// The pages.
pub(crate) fn router(events: UnboundedSender<Event>, metrics: Metrics) -> Router {
    Router::new().route("/", get(page)).with_state(events).merge(metrics::router(metrics))
}

/// Asks the broker's task. `None` if it does not answer: the server is about to end.
pub(crate) async fn overview(events: &UnboundedSender<Event>, most: usize) -> Option<Overview> {
    let (answer, overview) = oneshot::channel();
    events.send(Event::Overview(most, answer)).ok()?;
    overview.await.ok()
}

async fn page(State(events): State<UnboundedSender<Event>>) -> Response {
    match overview(&events, USERS).await {
        Some(overview) => Html(html(&overview)).into_response(),
        None => (StatusCode::SERVICE_UNAVAILABLE, "the server is stopping").into_response(),
    }
}

fn html(overview: &Overview) -> String {
    let mut rows = String::new();
    for (user, aliases) in &overview.users {
        let (user, aliases) = (escape(user), escape(&aliases.join(" ")));
        // Writing to a String cannot fail.
        let _ = writeln!(rows, "<tr><td>{user}</td><td>{aliases}</td></tr>");
    }
    let counts = &overview.counts;
    let more = match counts.users.saturating_sub(overview.users.len()) {
        0 => String::new(),
        more => format!("<p>… and {more} more</p>"),
    };
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>websocket.MQ</title>\n\
         <meta name=\"viewport\" content=\"width=device-width\"><style>:root{{color-scheme:light dark}}\
         body{{font-family:sans-serif;margin:2rem}}td,th{{text-align:left;padding:.2rem 1rem .2rem 0}}\
         </style></head>\n<body><h1>websocket.MQ</h1>\n<p>{} users, {} nodes, {} of them online</p>\n\
         <table>\n<tr><th>user</th><th>aliases</th></tr>\n{rows}</table>\n{more}</body></html>\n",
        counts.users, counts.nodes, counts.online
    )
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}
