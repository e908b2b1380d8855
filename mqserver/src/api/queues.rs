//! A node's queue: what waits in it, and each message.

use super::ApiError;
use super::given::{At, Given, most, offset};
use crate::operator::{Operator, Place};
use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use mqlib::broker::{Operated, Operation};
use mqlib::id::MessageId;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Bytes of a message's data that are shown with it at most; all are had with `raw=1`.
pub const SHOWN: usize = 64 << 10;

/// A page of what waits for a node, the oldest first.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Queue {
    /// The messages.
    pub messages: Vec<MessageRow>,
    /// If there are more: what to give as `after` to get them.
    pub next: Option<String>,
}

/// A message among others.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageRow {
    /// Its id.
    pub id: String,
    /// Who sent it; `null` if its file is damaged.
    pub from: Option<String>,
    /// When it was posted, in ISO 8601.
    pub posted: String,
    /// What it is: `deliver` for a post.
    pub op: Option<String>,
    /// Bytes of it, as it is delivered.
    pub size: u64,
    /// Only one node of its user is to have it.
    pub single: bool,
}

/// A message, with what it says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// Its header, as it is delivered.
    pub header: Value,
    /// Its etc, if it has one.
    pub etc: Option<Value>,
    /// Bytes of its data.
    pub size: usize,
    /// The data in base64; of a longer one the first 64 KiB.
    pub body: String,
    /// The same as text, if it is UTF-8.
    pub text: Option<String>,
    /// There is more of it than is told here.
    pub cut: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Page {
    after: Option<String>,
    limit: Option<usize>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Form {
    raw: u8,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(crate) struct What {
    up_to: Option<String>,
    bounce: u8,
}

/// What was removed from a queue.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Purged {
    /// Messages.
    pub purged: u64,
}

/// `GET /api/v1/users/{name}/nodes/{offset}/queue`
pub(crate) async fn list(
    State(operator): State<Operator>,
    At((user, number)): At<(String, String)>,
    Given(page): Given<Page>,
) -> Result<Json<Queue>, ApiError> {
    let most = most(page.limit)?;
    let after = page.after.as_deref().map_or(Ok(MessageId::ZERO), id)?;
    let place = place(&operator, &user, &number).await?;
    let (waiting, next) = operator.waiting(place, after, most).await?;
    let messages = waiting.into_iter().map(MessageRow::from).collect();
    Ok(Json(Queue { messages, next: next.map(|id| id.to_string()) }))
}

/// `GET /api/v1/users/{name}/nodes/{offset}/queue/{id}`
pub(crate) async fn get(
    State(operator): State<Operator>,
    At((user, number, text)): At<(String, String, String)>,
    Given(form): Given<Form>,
) -> Result<Response, ApiError> {
    let id = id(&text)?;
    let place = place(&operator, &user, &number).await?;
    let message = operator.message(place, id).await?.ok_or_else(|| {
        ApiError::not_found(format!("message {id} does not wait for {user},{number}"))
    })?;
    if form.raw != 0 {
        let data = Message::data(&message);
        // Whatever it looks like, it is nothing to be shown as a page.
        let headers = [
            (header::CONTENT_TYPE, "application/octet-stream"),
            (header::CONTENT_DISPOSITION, "attachment"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ];
        return Ok((headers, data).into_response());
    }
    Ok(Json(Message::of(&message)).into_response())
}

/// `DELETE /api/v1/users/{name}/nodes/{offset}/queue`
pub(crate) async fn purge(
    State(operator): State<Operator>,
    At((user, number)): At<(String, String)>,
    Given(what): Given<What>,
) -> Result<Json<Purged>, ApiError> {
    let offset = offset(&number)?;
    let up_to = what.up_to.as_deref().map(id).transpose()?;
    let bounce = what.bounce != 0;
    let purge = Operation::Purge { user: user.clone(), offset, up_to, bounce };
    let purged = match operator.operate(purge).await? {
        Operated::Purged(purged) => purged,
        Operated::Done => 0,
    };
    tracing::info!("{purged} messages of {user},{offset} are purged, as the operator wants");
    Ok(Json(Purged { purged }))
}

async fn place(operator: &Operator, user: &str, number: &str) -> Result<Place, ApiError> {
    let offset = offset(number)?;
    let place = operator.place(user, offset).await?;
    place.ok_or_else(|| ApiError::no_node(user, offset))
}

fn id(text: &str) -> Result<MessageId, ApiError> {
    text.parse().map_err(|error| ApiError::bad_request(format!("{text:?}: {error}")))
}

impl From<crate::operator::Waiting> for MessageRow {
    fn from(waiting: crate::operator::Waiting) -> Self {
        #[derive(Deserialize)]
        struct Header {
            op: String,
            from: Option<String>,
        }
        let header = waiting.header.and_then(|json| serde_json::from_slice::<Header>(&json).ok());
        let (op, from) = header.map_or((None, None), |header| (Some(header.op), header.from));
        Self {
            id: waiting.id.to_string(),
            from,
            posted: mqlib::now::date(waiting.id.millis()),
            op,
            size: waiting.size,
            single: waiting.to_one,
        }
    }
}

impl Message {
    /// All of a message's data.
    pub fn data(message: &Bytes) -> Bytes {
        parts(message).unwrap_or_default().2
    }

    /// What a message says.
    pub fn of(message: &Bytes) -> Self {
        let (header, etc, data) = parts(message).unwrap_or_default();
        let shown = &data[..data.len().min(SHOWN)];
        let cut = shown.len() < data.len();
        // A character that was cut through is no reason not to show the others.
        let text = match std::str::from_utf8(shown) {
            Ok(text) => Some(text),
            Err(error) if cut && error.error_len().is_none() => {
                std::str::from_utf8(&shown[..error.valid_up_to()]).ok()
            }
            Err(_) => None,
        };
        Self {
            header,
            etc,
            size: data.len(),
            body: STANDARD.encode(shown),
            text: text.map(str::to_owned),
            cut,
        }
    }
}

/// A message's header, its etc, and its data.
fn parts(message: &Bytes) -> Option<(Value, Option<Value>, Bytes)> {
    let (json, body) = mqlib::header::split(message).ok()?;
    let header: Value = serde_json::from_slice(json).ok()?;
    let len = header.get("etc").and_then(Value::as_u64).unwrap_or(0) as usize;
    let etc = serde_json::from_slice(body.get(..len)?).ok();
    Some((header, etc, body.slice(len..)))
}
