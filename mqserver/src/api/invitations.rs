//! Invitations to register.

use super::ApiError;
use super::given::Body;
use crate::operator::{Operator, wall};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use mqlib::broker::Operation;
use mqlib::directory::Registration;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How many are made at once, at most.
pub const MOST: usize = 1000;
/// For how long one is good, in seconds, if that is not said: a week.
pub const LIFETIME: u64 = 7 * 24 * 3600;

/// What invitations are wanted.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Wanted {
    /// How many: 1 to 1000.
    pub count: usize,
    /// For how many seconds they are good.
    pub expires_s: u64,
}

impl Default for Wanted {
    fn default() -> Self {
        Self { count: 1, expires_s: LIFETIME }
    }
}

/// Tokens that let somebody register, as `mqserver invite --json` prints them. They are durable, and
/// told this once.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Invitations {
    /// The tokens, each for one user.
    pub invites: Vec<String>,
    /// When they expire, in ISO 8601.
    pub expires: String,
    /// Whether they are needed: who may register now.
    pub registration: Registration,
}

/// `POST /api/v1/invitations`
pub(crate) async fn make(
    State(operator): State<Operator>,
    Body(wanted): Body<Wanted>,
) -> Result<Json<Invitations>, ApiError> {
    let Wanted { count, expires_s } = wanted;
    if !(1..=MOST).contains(&count) {
        return Err(ApiError::bad_request(format!("count is not between 1 and {MOST}")));
    }
    if expires_s == 0 {
        return Err(ApiError::bad_request("expiresS is 0: they would be good for nothing"));
    }
    let made = operator
        .hasher()
        .invitations(count)
        .map_err(|error| ApiError::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()))?;
    let (tokens, keys): (Vec<_>, Vec<_>) = made.into_iter().unzip();
    let lifetime = Duration::from_secs(expires_s);
    let expires = wall().saturating_add(u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX));
    operator.operate(Operation::Invite(keys, lifetime)).await?;
    Ok(Json(Invitations {
        invites: tokens.iter().map(|token| token.reveal().to_owned()).collect(),
        expires: mqlib::now::date(expires),
        registration: operator.registration(),
    }))
}
