//! `/api/v1/session`: logging in and out.

use super::guard::{Browser, Gate, Refused, cookie, cookie_name};
use super::sessions::LIFETIME;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Extension, State};
use axum::http::header::{CONTENT_TYPE, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use mqlib::request::NodeName;
use serde::Deserialize;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Where it is.
pub(super) const PATH: &str = "/api/v1/session";
/// The longest request in bytes.
const LONGEST: usize = 1024;

pub(super) fn router(gate: Arc<Gate>) -> Router {
    Router::new()
        .route(PATH, post(open).get(tell).delete(close))
        .layer(DefaultBodyLimit::max(LONGEST))
        .with_state(gate)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Login {
    token: NodeName,
}

async fn open(
    State(gate): State<Arc<Gate>>,
    browser: Option<Extension<Browser>>,
    from: Option<Extension<ConnectInfo<SocketAddr>>>,
    body: Bytes,
) -> Result<Response, Refused> {
    let Some(Extension(browser)) = browser else {
        let sentence = "who names the token with each request needs no session";
        return Err(Refused::Invalid(sentence.to_owned()));
    };
    let Ok(login) = serde_json::from_slice::<Login>(&body) else {
        return Err(Refused::Invalid("that is not {\"token\":\"…\"}".to_owned()));
    };
    let token = gate.check(login.token.reveal(), from.map(|Extension(info)| info.0)).await?;
    let opened = gate.sessions.open(&token, Instant::now()).map_err(|error| {
        tracing::warn!(%error, "nobody can log in to the admin page, without random numbers");
        Refused::Unavailable("the server has no random numbers".to_owned())
    })?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let expires = mqlib::now::date((now + LIFETIME).as_millis() as u64);
    let json = serde_json::json!({ "key": opened.key, "expires": expires }).to_string();
    let cookie = set_cookie(&browser, &opened.id, LIFETIME.as_secs());
    let headers = [(CONTENT_TYPE, "application/json".to_owned()), (SET_COOKIE, cookie)];
    Ok((headers, json).into_response())
}

/// That the session is good, which the guard has seen.
async fn tell() -> Response {
    ([(CONTENT_TYPE, "application/json")], "{}").into_response()
}

async fn close(
    State(gate): State<Arc<Gate>>,
    browser: Option<Extension<Browser>>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let Some(Extension(browser)) = browser else {
        return Ok(StatusCode::NO_CONTENT.into_response());
    };
    if let Some(id) = cookie(&headers, &browser.host) {
        gate.sessions.close(id, &gate.token().await?, Instant::now());
    }
    let gone = [(SET_COOKIE, set_cookie(&browser, "", 0))];
    Ok((StatusCode::NO_CONTENT, gone).into_response())
}

/// We speak no TLS here. Whether something before us does, the browser itself says in the origin of
/// its login: then the cookie is never to go in clear.
fn set_cookie(browser: &Browser, id: &str, seconds: u64) -> String {
    let name = cookie_name(&browser.host);
    let secure = if browser.tls { "; Secure" } else { "" };
    format!("{name}={id}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
}
