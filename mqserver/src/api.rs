//! `/api/v1`: what an operator may see and do, as HTTP with JSON. `doc/api.md` documents it.
//!
//! Its routes are served on the control socket, where only the store's owner connects, and on the
//! admin address behind a token. The commands of `mqserver` are clients of it, so its types serve
//! both ends. One noun a file.

pub(crate) mod backups;
mod error;
mod given;
pub mod invitations;
pub mod lists;
pub mod nodes;
pub mod queues;
pub mod status;
pub mod users;

pub use error::{ApiError, ErrorBody};

use crate::operator::Operator;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::routing::{delete, get, post};
use serde::{Deserialize, Serialize};

/// The longest body of a request, in bytes.
pub const MAX_BODY: usize = 64 << 10;
/// How many things a page has that is not told how many.
pub const PAGE: usize = 100;
/// How many it has at most.
pub const MAX_PAGE: usize = 1000;

/// The answer to what was done and has nothing to tell: `{}`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Done {}

/// The routes.
pub fn router(operator: Operator) -> Router {
    Router::new()
        .route("/api/v1/status", get(status::get))
        .route("/api/v1/users", get(users::list))
        .route("/api/v1/users/{name}", get(users::get).delete(users::delete))
        .route("/api/v1/users/{name}/disable", post(users::disable))
        .route("/api/v1/users/{name}/enable", post(users::enable))
        .route("/api/v1/users/{name}/nodes/{offset}", delete(nodes::drop))
        .route("/api/v1/users/{name}/nodes/{offset}/queue", get(queues::list).delete(queues::purge))
        .route("/api/v1/users/{name}/nodes/{offset}/queue/{id}", get(queues::get))
        .route("/api/v1/nodes", get(nodes::list))
        .route("/api/v1/lists", get(lists::list))
        .route("/api/v1/lists/{name}", get(lists::get))
        .route("/api/v1/invitations", post(invitations::make))
        .method_not_allowed_fallback(async || {
            ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "this cannot be done there")
        })
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(operator)
}

/// What is asked for that is nowhere.
pub(crate) async fn nowhere() -> ApiError {
    ApiError::not_found("there is no such page; doc/api.md tells of those that are")
}
