//! A backup of the store, over the control socket only: it has all secrets there are.

use super::ApiError;
use crate::backup::{self, TakeError};
use crate::operator::Operator;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;

/// The route.
pub(crate) fn router(operator: Operator) -> Router {
    Router::new().route("/api/v1/backup", post(take)).with_state(operator)
}

/// `POST /api/v1/backup`
async fn take(State(operator): State<Operator>) -> Result<Response, ApiError> {
    let taken = backup::stream(&operator).await?;
    Ok(([(header::CONTENT_TYPE, "application/x-tar")], Body::from_stream(taken)).into_response())
}

impl From<TakeError> for ApiError {
    fn from(error: TakeError) -> Self {
        let status = match error {
            TakeError::Busy => StatusCode::CONFLICT,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(status, error.to_string())
    }
}
