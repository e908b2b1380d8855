//! The pages. Those of a monitor need no token: none of them holds a name, a message or a secret.

use super::ready::Health;
use super::{Metrics, text};
use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;

/// `/metrics`, `/health`, `/ready` and `/api/v1/series`.
pub fn router(metrics: Metrics) -> Router {
    Router::new()
        .route("/metrics", get(scrape))
        .route("/health", get(health))
        .route("/ready", get(ready))
        .route("/api/v1/series", get(series))
        .with_state(metrics)
}

async fn scrape(State(metrics): State<Metrics>) -> Response {
    let families = metrics.gather(true).await.families(&metrics.0.sources.ledger);
    match text::write(families) {
        Ok(text) => ([(header::CONTENT_TYPE, text::CONTENT_TYPE)], text).into_response(),
        // Writing to a String does not fail.
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// 200 as long as the process serves, for whoever restarts it if not.
async fn health(State(metrics): State<Metrics>) -> Response {
    let health = metrics.health().await;
    let status = match health {
        Health::Ok => StatusCode::OK,
        Health::Stopping | Health::Hung => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, of_json(&json!({"status": health.name()}))).into_response()
}

/// 200 as long as posts are taken, for whoever sends clients here or elsewhere.
async fn ready(State(metrics): State<Metrics>) -> Response {
    let why = metrics.obstacles().await;
    let status = match why.as_slice() {
        [] => StatusCode::OK,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, of_json(&json!({"ready": why.is_empty(), "why": why}))).into_response()
}

/// The points, or with `?after=` and the time of one those after it.
async fn series(State(metrics): State<Metrics>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    let after = query.split('&').find_map(|pair| pair.strip_prefix("after="));
    // A date has nothing that is to be encoded, but for the colons, which some do.
    let after = after.unwrap_or_default().replace("%3A", ":").replace("%3a", ":");
    match metrics.series().json(&after) {
        Ok(json) => ([(header::CONTENT_TYPE, JSON)], json).into_response(),
        Err(error) => {
            let error = json!({"error": error.to_string()});
            (StatusCode::INTERNAL_SERVER_ERROR, of_json(&error)).into_response()
        }
    }
}

const JSON: &str = "application/json";

fn of_json(value: &serde_json::Value) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, JSON)], value.to_string())
}
