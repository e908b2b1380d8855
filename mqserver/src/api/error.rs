//! Why a request was not answered as it was hoped.

use crate::operator::{OperatorError, Stopping};
use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use mqlib::broker::OperateError;
use serde::{Deserialize, Serialize};
use std::io;

/// A refusal: what the client sees is the status and `{"error":"<sentence>"}`.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    text: String,
}

/// The body of a refusal.
#[derive(Debug, Serialize, Deserialize)]
pub struct ErrorBody {
    /// A sentence that says why.
    pub error: String,
}

impl ApiError {
    /// A refusal with a sentence that says why.
    pub fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, text: text.into() }
    }

    pub(crate) fn bad_request(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, text)
    }

    pub(crate) fn not_found(text: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, text)
    }

    pub(crate) fn no_user(name: &str) -> Self {
        Self::not_found(format!("there is no user {name}"))
    }

    pub(crate) fn no_node(name: &str, offset: u8) -> Self {
        Self::not_found(format!("there is no node {name},{offset}"))
    }
}

impl From<Stopping> for ApiError {
    fn from(stopping: Stopping) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, stopping.to_string())
    }
}

impl From<OperatorError> for ApiError {
    fn from(error: OperatorError) -> Self {
        let status = match error {
            OperatorError::Refused(OperateError::NoUser(_) | OperateError::NoNode(..)) => {
                StatusCode::NOT_FOUND
            }
            OperatorError::Refused(OperateError::Dropped(_)) => StatusCode::CONFLICT,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(status, error.to_string())
    }
}

impl From<io::Error> for ApiError {
    fn from(error: io::Error) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, format!("the disk refuses: {error}"))
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.status, Json(ErrorBody { error: self.text })).into_response()
    }
}
