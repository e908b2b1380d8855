//! Who is let in.
//!
//! A script names the token (`Authorization: Bearer`). A browser has a session: it needs the cookie and
//! the key in a header for all that it asks, and for all that changes something an origin that is the
//! host it asked. A header of our own cannot be sent by other sites, which makes the key alone a guard
//! against forged requests; the origin is a second one.

use super::sessions::{Sessions, same};
use super::token::{self, TokenError};
use super::{host, origin, page, session_api};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, WWW_AUTHENTICATE};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use mqlib::request::NodeName;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// How long who named a wrong token waits for the answer.
const WRONG_TOKEN_PAUSE: Duration = Duration::from_secs(1);
/// How many wait so at most; whoever is one too many is told at once, and not in the log. Nobody
/// guesses 128 random bits, however fast: what is kept small is the log and what is held in memory.
/// Who has the right one never waits for them.
const WRONG_AT_ONCE: usize = 32;
/// The header of a session's key.
pub(super) const KEY: &str = "x-session-key";

/// What monitors read, and so may whoever reaches the address: it names no user.
const MONITORS: [&str; 3] = ["/health", "/ready", "/metrics"];

/// What decides.
pub(super) struct Gate {
    store: PathBuf,
    names: Vec<String>,
    pub(super) sessions: Sessions,
    wrong: Semaphore,
}

impl Gate {
    pub(super) fn new(store: PathBuf, names: Vec<String>) -> Self {
        let wrong = Semaphore::new(WRONG_AT_ONCE);
        Self { store, names, sessions: Sessions::default(), wrong }
    }

    /// The token that counts now.
    pub(super) async fn token(&self) -> Result<NodeName, Refused> {
        let store = self.store.clone();
        let read = tokio::task::spawn_blocking(move || token::read(&store)).await;
        match read {
            Ok(Ok(token)) => Ok(token),
            Ok(Err(error @ TokenError::None)) => Err(Refused::Unauthorized(error.to_string())),
            Ok(Err(error)) => {
                tracing::debug!("the admin page is closed: {error}");
                let sentence = "the server cannot use its token: `mqserver admin-token` says why";
                Err(Refused::Unavailable(sentence.to_owned()))
            }
            Err(_) => Err(Refused::Unavailable("the server is stopping".to_owned())),
        }
    }

    /// Is this the token? Who is wrong learns it late.
    pub(super) async fn check(
        &self,
        given: &str,
        from: Option<SocketAddr>,
    ) -> Result<NodeName, Refused> {
        let token = self.token().await?;
        if same(token.reveal(), given) {
            return Ok(token);
        }
        let Ok(_turn) = self.wrong.try_acquire() else {
            let sentence = "too many wrong tokens: try again in a second";
            return Err(Refused::TooMany(sentence.to_owned()));
        };
        let from = from.map(|from| tracing::field::display(from.ip()));
        tracing::warn!(from, "a wrong admin token");
        tokio::time::sleep(WRONG_TOKEN_PAUSE).await;
        Err(Refused::Unauthorized("that is not the token".to_owned()))
    }

    /// Is it one of our names that this was asked by?
    fn host(&self, headers: &HeaderMap) -> Result<Authority, Refused> {
        let host = host::of(headers).filter(|host| host::is_ours(host, &self.names));
        host.ok_or_else(|| {
            let sentence = "this name is not one of the admin page's: ask by address or as \
                            localhost, or add the name to admin_names in mqserver.toml";
            Refused::Misdirected(sentence.to_owned())
        })
    }
}

/// Why a request is refused, in a sentence.
#[derive(Debug)]
pub(super) enum Refused {
    Unauthorized(String),
    Forbidden(String),
    Misdirected(String),
    TooMany(String),
    Unavailable(String),
    Invalid(String),
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (status, sentence) = match self {
            Self::Unauthorized(sentence) => (StatusCode::UNAUTHORIZED, sentence),
            Self::Forbidden(sentence) => (StatusCode::FORBIDDEN, sentence),
            Self::Misdirected(sentence) => (StatusCode::MISDIRECTED_REQUEST, sentence),
            Self::TooMany(sentence) => (StatusCode::TOO_MANY_REQUESTS, sentence),
            Self::Unavailable(sentence) => (StatusCode::SERVICE_UNAVAILABLE, sentence),
            Self::Invalid(sentence) => (StatusCode::BAD_REQUEST, sentence),
        };
        let json = serde_json::json!({ "error": sentence }).to_string();
        let mut response = (status, [(CONTENT_TYPE, "application/json")], json).into_response();
        if status == StatusCode::UNAUTHORIZED {
            let scheme = axum::http::HeaderValue::from_static("Bearer");
            response.headers_mut().insert(WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

/// What a request of a browser is known by.
#[derive(Debug, Clone)]
pub(super) struct Browser {
    pub(super) host: Authority,
    /// It sees us through TLS.
    pub(super) tls: bool,
}

/// Lets a request pass, or says why not.
pub(super) async fn admit(
    State(gate): State<Arc<Gate>>,
    mut request: Request,
    next: Next,
) -> Result<Response, Refused> {
    let path = request.uri().path();
    if MONITORS.contains(&path) {
        return Ok(next.run(request).await);
    }
    let headers = request.headers();
    if page::has(path) {
        gate.host(headers)?;
        return Ok(next.run(request).await);
    }
    let from = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
    if let Some(authorization) = headers.get(AUTHORIZATION) {
        let bearer = authorization.to_str().ok().and_then(|text| {
            let (scheme, token) = text.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
        });
        let Some(bearer) = bearer else {
            let sentence = "the authorization is not \"Bearer\" with the token";
            return Err(Refused::Unauthorized(sentence.to_owned()));
        };
        gate.check(&bearer, from).await?;
        return Ok(next.run(request).await);
    }
    let host = gate.host(headers)?;
    let mut tls = false;
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let own = origin::own(headers, &host).ok_or_else(|| {
            Refused::Forbidden("this was asked by a page of another origin".to_owned())
        })?;
        tls = own.scheme_str() == Some("https");
    }
    let logs_in = path == session_api::PATH && request.method() == Method::POST;
    if !logs_in {
        let token = gate.token().await?;
        let id = cookie(headers, &host).unwrap_or_default();
        let key = headers.get(KEY).and_then(|key| key.to_str().ok()).unwrap_or_default();
        if !gate.sessions.has(id, key, &token, Instant::now()) {
            return Err(Refused::Unauthorized("log in first".to_owned()));
        }
    }
    request.extensions_mut().insert(Browser { host, tls });
    Ok(next.run(request).await)
}

/// The name of the cookie. Cookies know no ports: without it, servers on one host would log each
/// other's operators out.
pub(super) fn cookie_name(host: &Authority) -> String {
    format!("mq-session-{}", host.port_u16().unwrap_or_default())
}

/// The id of the session that a browser names.
pub(super) fn cookie<'a>(headers: &'a HeaderMap, host: &Authority) -> Option<&'a str> {
    let name = cookie_name(host);
    let all = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    all.flat_map(|cookies| cookies.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='))
        .find_map(|(key, value)| (key == name).then_some(value))
}
