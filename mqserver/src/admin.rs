//! The admin address: the page, what it asks (`/api/v1`), and what monitors read.
//!
//! Three kinds of paths: what monitors read is open; the page itself is, too, and holds nothing; all
//! else needs the operator's [token] or a session ([`sessions`]) that was opened with it. What is not
//! named open needs it ([`guard`]): a route that somebody adds is closed until it is opened.

mod guard;
mod host;
mod origin;
mod page;
mod session_api;
mod sessions;
pub mod token;

use crate::engine::Event;
use crate::recent::Recent;
use crate::status::Overview;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use guard::Gate;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

/// Everything on the admin address. `names` are the hosts' names by which it may be reached, besides
/// addresses and `localhost`.
pub(crate) fn router(
    store: PathBuf,
    names: Vec<String>,
    recent: Recent,
    events: UnboundedSender<Event>,
) -> Router {
    let gate = Arc::new(Gate::new(store, names));
    Router::new()
        .route("/health", get(health))
        .with_state(events)
        .merge(crate::recent::router(recent))
        .merge(session_api::router(gate.clone()))
        .merge(page::router())
        .layer(axum::middleware::from_fn_with_state(gate, guard::admit))
        .layer(axum::middleware::map_response(page::harden))
}

/// Asks the broker's task. `None` if it does not answer: the server is about to end.
pub(crate) async fn overview(events: &UnboundedSender<Event>, most: usize) -> Option<Overview> {
    let (answer, overview) = oneshot::channel();
    events.send(Event::Overview(most, answer)).ok()?;
    overview.await.ok()
}

async fn health(State(events): State<UnboundedSender<Event>>) -> Response {
    let json = [(header::CONTENT_TYPE, "application/json")];
    match overview(&events, 0).await {
        Some(_) => (json, r#"{"status":"ok"}"#).into_response(),
        None => {
            let text = r#"{"status":"stopping"}"#;
            (StatusCode::SERVICE_UNAVAILABLE, json, text).into_response()
        }
    }
}
