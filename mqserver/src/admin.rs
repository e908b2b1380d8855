//! The admin address: the page, what it asks (`/api/v1`), and what monitors read.
//!
//! Three kinds of paths: what monitors read is open; the page itself is, too, and holds nothing; all
//! else needs the operator's [token] or a session (`sessions`) that was opened with it. What is not
//! named open needs it (`guard`): a route that somebody adds is closed until it is opened.

mod guard;
mod host;
mod origin;
mod page;
mod session_api;
mod sessions;
pub mod token;

use crate::api;
use crate::metrics::{self, Metrics};
use crate::operator::Operator;
use crate::recent::{self, Recent};
use axum::Router;
use guard::Gate;
use std::sync::Arc;

/// Everything on the admin address. `names` are the hosts' names by which it may be reached, besides
/// addresses and `localhost`.
pub(crate) fn router(
    operator: Operator,
    metrics: Metrics,
    names: Vec<String>,
    recent: Recent,
) -> Router {
    let gate = Arc::new(Gate::new(operator.store().to_owned(), names));
    Router::new()
        .merge(metrics::router(metrics))
        .merge(api::router(operator))
        .merge(recent::router(recent))
        .merge(session_api::router(gate.clone()))
        .merge(page::router())
        .fallback(api::nowhere)
        .layer(axum::middleware::from_fn_with_state(gate, guard::admit))
        .layer(axum::middleware::map_response(page::harden))
}
