//! What a request gives: its query and its body, refused with a sentence if they are wrong.

use super::{ApiError, MAX_PAGE, PAGE};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::time::Duration;
use tokio::time::timeout;

/// How long a request's body may take to come.
const PATIENCE: Duration = Duration::from_secs(10);

/// The query.
pub(crate) struct Given<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Given<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        match Query::try_from_uri(&parts.uri) {
            Ok(Query(given)) => Ok(Self(given)),
            Err(error) => Err(ApiError::bad_request(format!("the query is wrong: {error}"))),
        }
    }
}

/// The body, as JSON. An empty one is `{}`.
pub(crate) struct Body<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let read = axum::body::Bytes::from_request(request, state);
        let body = match timeout(PATIENCE, read).await {
            Ok(Ok(body)) => body,
            Ok(Err(error)) => return Err(ApiError::new(error.status(), error.body_text())),
            Err(_) => {
                let text = format!("the body has not come within {PATIENCE:?}");
                return Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, text));
            }
        };
        let json = if body.is_empty() { b"{}" } else { &*body };
        match serde_json::from_slice(json) {
            Ok(given) => Ok(Self(given)),
            Err(error) => Err(ApiError::bad_request(format!("the body is wrong: {error}"))),
        }
    }
}

/// What is in the path: names as they are, percent-decoded.
pub(crate) struct At<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for At<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(at)) => Ok(Self(at)),
            Err(error) => Err(ApiError::new(error.status(), error.body_text())),
        }
    }
}

/// Which page of things that have names.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct PageOf {
    /// Only those that have this in them, in any case of letters.
    pub(crate) search: Option<String>,
    /// Only those that come after this.
    pub(crate) after: Option<String>,
    pub(crate) limit: Option<usize>,
}

/// How many things to give.
pub(crate) fn most(limit: Option<usize>) -> Result<usize, ApiError> {
    match limit.unwrap_or(PAGE) {
        limit if (1..=MAX_PAGE).contains(&limit) => Ok(limit),
        _ => Err(ApiError::bad_request(format!("limit is not between 1 and {MAX_PAGE}"))),
    }
}

/// The offset of a node, as it stands in a path or behind a comma.
pub(crate) fn offset(text: &str) -> Result<u8, ApiError> {
    text.parse().map_err(|_| ApiError::bad_request(format!("{text:?} is no node's number")))
}

/// `alice,0`: a name, and the offset of a node.
pub(crate) fn node(text: &str) -> Result<(&str, u8), ApiError> {
    let wrong = || ApiError::bad_request(format!("{text:?} is no node: one is like alice,0"));
    let (user, number) = text.rsplit_once(',').ok_or_else(wrong)?;
    Ok((user, number.parse().map_err(|_| wrong())?))
}
