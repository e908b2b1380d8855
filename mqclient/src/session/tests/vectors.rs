//! The scripts in `vectors/`, which every client's session core runs with the same results. Their
//! format is in `vectors/README.md`.
//!
//! With `VECTORS=write` in the environment the expected outputs are written instead of compared: for
//! a new script, whose outputs are then read and judged.

use super::*;
use crate::config::Config;
use crate::message::{Message, To};
use crate::session::{Saved, SavedPost};
use mqlib::header;
use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};
use std::fs;
use std::path::Path;

struct Script {
    session: Session,
    start: Instant,
    now: Instant,
}

/// An input of a step, `do` of it, and what that needs.
#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "camelCase")]
enum Input {
    Start,
    Connected,
    Received { header: Map<String, Value>, etc: Option<Value>, data: Option<String> },
    Heard,
    CannotPing,
    Lost,
    Timeout,
    Post(Post),
    Ping { alias: String, data: Option<String> },
    Aliases { aliases: String },
    List { list: String, edit: String, members: Vec<String> },
    Ack { ids: Vec<String> },
    Release { id: String },
    Kept { id: String },
    NotKept { id: String },
    Remembered { id: String },
    Close,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Post {
    to: Map<String, Value>,
    #[serde(default)]
    no_nodes: bool,
    etc: Option<Value>,
    data: Option<String>,
    /// Milliseconds from now.
    within: Option<u64>,
}

#[derive(Deserialize)]
struct Moment {
    at: u64,
    #[serde(default)]
    random: f64,
}

#[test]
fn the_session_does_what_the_vectors_say() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors");
    let write = std::env::var("VECTORS").is_ok_and(|word| word == "write");
    let mut scripts = 0;
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for path in files.iter().filter(|path| path.extension().is_some_and(|end| end == "json")) {
        let mut file: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        for script in file["scripts"].as_array_mut().unwrap() {
            let name = format!("{}: {}", path.display(), script["name"]);
            run(script, &name, write);
            scripts += 1;
        }
        if write {
            fs::write(path, lines(&file)).unwrap();
        }
    }
    assert!(scripts > 0);
}

fn run(script: &mut Value, name: &str, write: bool) {
    let now = Instant::now();
    let session = Session::new(config(&script["config"]), now, saved(&script["saved"], now));
    let mut running = Script { session, start: now, now };
    for (number, step) in script["steps"].as_array_mut().unwrap().iter_mut().enumerate() {
        let expected = step["expect"].take();
        let mut input = step.clone();
        input.as_object_mut().unwrap().retain(|key, _| !matches!(key.as_str(), "expect" | "at"));
        let moment: Moment = serde_json::from_value(step.clone()).unwrap();
        let input = serde_json::from_value(input);
        let input = input.unwrap_or_else(|error| panic!("{name}, step {number}: {error}"));
        running.now = now + Duration::from_millis(moment.at);
        let given = running.apply(input, moment.random);
        let observed = running.observe(given);
        if !write {
            let pretty = |value: &Value| serde_json::to_string_pretty(value).unwrap();
            let (observed, expected) = (pretty(&observed), pretty(&expected));
            assert_eq!(observed, expected, "{name}, step {number}: {step}");
        }
        step["expect"] = observed;
    }
}

impl Script {
    /// What the call itself gave.
    fn apply(&mut self, input: Input, random: f64) -> Map<String, Value> {
        let (session, now) = (&mut self.session, self.now);
        let submitted = match input {
            Input::Start => return Map::new(),
            Input::Post(Post { to, no_nodes, etc, data, within }) => {
                let recipients = to.into_iter().map(|(name, kind)| {
                    let kind = kind.as_u64().unwrap();
                    (name, kind as u8)
                });
                let mut to = To::own_nodes();
                for (name, kind) in recipients {
                    to = match kind {
                        0 => to.and_one_node(name),
                        1 => to.and_user(name),
                        2 => to.and_list(name),
                        kind => panic!("recipient of type {kind}"),
                    };
                }
                if no_nodes {
                    to = to.no_copies();
                }
                let message = Message { etc: raw(etc), ..Message::data(data.unwrap_or_default()) };
                let deadline = within.map(|within| now + Duration::from_millis(within));
                session.submit(now, &Request::Post { to, message }, deadline)
            }
            Input::Ping { alias, data } => {
                let message = Message::data(data.unwrap_or_default());
                session.submit(now, &Request::Ping { alias, message }, None)
            }
            Input::Aliases { aliases } => session.submit(now, &Request::Aliases(aliases), None),
            Input::List { list, edit, members } => {
                let edit = ["add", "invite", "remove"].into_iter().find(|known| *known == edit);
                let (edit, message) = (edit.unwrap(), Message::default());
                let request = Request::ListEdit { list, edit, members, message };
                session.submit(now, &request, None)
            }
            other => {
                match other {
                    Input::Connected => session.connected(now),
                    Input::Received { header, etc, data } => {
                        let etc = raw(etc);
                        let data = data.unwrap_or_default();
                        let message =
                            mqlib::request::encode(&header, etc.as_deref(), data.as_bytes());
                        session.received(now, &message.unwrap(), random);
                    }
                    Input::Heard => session.heard(now),
                    Input::CannotPing => session.cannot_ping(),
                    Input::Lost => session.lost(now, Error::Lost("test".into()), random),
                    Input::Timeout => session.timed_out(now, random),
                    Input::Ack { ids } => ids.iter().for_each(|id| _ = session.ack(id)),
                    Input::Release { id } => session.release(&id),
                    Input::Kept { id } => session.kept(id.parse().unwrap(), Ok(())),
                    Input::NotKept { id } => {
                        let why = Error::Disk { path: "p".into(), reason: "full".into() };
                        session.kept(id.parse().unwrap(), Err(why));
                    }
                    Input::Remembered { id } => session.remembered(&id),
                    Input::Close => session.end(Error::Closed),
                    _ => unreachable!(),
                }
                return Map::new();
            }
        };
        let given = match submitted {
            Ok(id) => ("id", json!(id.to_string())),
            Err(why) => ("refused", error(&why)),
        };
        Map::from_iter([(given.0.to_owned(), given.1)])
    }

    fn observe(&mut self, mut seen: Map<String, Value>) -> Value {
        let events: Vec<_> = std::iter::from_fn(|| self.session.poll_event()).collect();
        let events: Vec<_> = events.into_iter().map(|event| self.event(event)).collect();
        let send: Vec<_> = std::iter::from_fn(|| self.session.poll_transmit(self.now))
            .map(|message| self::message(&message))
            .collect();
        let phase = match self.session.phase() {
            Phase::Pause { .. } => "pause",
            Phase::Connecting { .. } => "connecting",
            Phase::LoggingIn { .. } => "loggingIn",
            Phase::Online => "online",
            Phase::Ended(why) => {
                seen.insert("ended".into(), error(why));
                "ended"
            }
        };
        if !events.is_empty() {
            seen.insert("events".into(), events.into());
        }
        if !send.is_empty() {
            seen.insert("send".into(), send.into());
        }
        seen.insert("phase".into(), phase.into());
        let timeout = self.session.next_timeout().map(|at| self.millis(at));
        seen.insert("timeout".into(), json!(timeout));
        seen.into()
    }

    fn millis(&self, at: Instant) -> u64 {
        let since = at - self.start;
        assert_eq!(since.subsec_nanos() % 1_000_000, 0, "{since:?} is no whole number of ms");
        since.as_millis() as u64
    }

    fn event(&self, event: Event) -> Value {
        match event {
            Event::LoggedIn(login) => {
                let Login { version, server, node, window, queued, max_message, time } = login;
                json!({"loggedIn": present(json!({
                    "version": if version == Version::V1 { 1 } else { 2 },
                    "server": server, "node": node, "window": window, "queued": queued,
                    "maxMessage": max_message, "time": time,
                }))})
            }
            Event::Settled(id, Ok(receipt)) => {
                let Receipt { warnings, failed, msgid, posted, dup, etc: _ } = receipt;
                json!({"settled": id.to_string(), "receipt": present(json!({
                    "warnings": warnings, "failed": failed, "msgid": msgid, "posted": posted,
                    "dup": dup,
                }))})
            }
            Event::Settled(id, Err(why)) => {
                json!({"settled": id.to_string(), "error": error(&why)})
            }
            Event::Letter(letter) => {
                let Letter { id, from, kind, posted, redelivered, etc, data } = letter;
                let kind = match kind {
                    crate::delivery::Kind::Deliver => "deliver",
                    crate::delivery::Kind::Registered => "registered",
                    crate::delivery::Kind::ListEdited => "listEdited",
                };
                let etc = etc.map(|etc| serde_json::from_slice::<Value>(&etc).unwrap());
                json!({"letter": present(json!({
                    "id": id, "from": from, "kind": kind, "posted": posted,
                    "redelivered": redelivered, "etc": etc, "data": text(&data),
                }))})
            }
            Event::Ping => json!({"ping": true}),
            Event::Keep { id, message, deadline } => {
                let deadline = deadline.map(|at| self.millis(at));
                let mut keep = self::message(&message);
                keep["id"] = id.to_string().into();
                keep["deadline"] = json!(deadline);
                json!({"keep": present(keep)})
            }
            Event::Discard(id) => json!({"discard": id.to_string()}),
            Event::Remember(id) => json!({"remember": id}),
        }
    }
}

fn config(given: &Value) -> Config {
    let mut config = Config::new("ws://h", "alice", "s3cret");
    for (name, value) in given.as_object().unwrap() {
        let number = || value.as_u64().unwrap();
        let millis = || Duration::from_millis(number());
        let flag = || value.as_bool().unwrap();
        match name.as_str() {
            "user" => config.user = value.as_str().unwrap().into(),
            "node" => {
                config.node = mqlib::request::NodeName::new(value.as_str().unwrap().into());
            }
            "version" => {
                config.version = if number() == 1 { Version::V1 } else { Version::V2 };
            }
            "window" => config.window = number() as usize,
            "takeover" => config.takeover = flag(),
            "beginOffline" => config.begin_offline = flag(),
            "maxMessage" => config.max_message = number() as usize,
            "loginTimeout" => config.login_timeout = millis(),
            "answerTimeout" => config.answer_timeout = millis(),
            "minPause" => config.min_pause = millis(),
            "maxPause" => config.max_pause = millis(),
            "outbox" => config.outbox = flag().then(|| "outbox".into()),
            "memory" => config.memory = flag().then(|| "memory".into()),
            name => panic!("a setting {name}"),
        }
    }
    config
}

fn saved(given: &Value, now: Instant) -> Saved {
    #[derive(Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    struct Given {
        last_id: String,
        posts: Vec<GivenPost>,
        acked: Vec<String>,
    }
    #[derive(Deserialize)]
    struct GivenPost {
        id: String,
        header: Map<String, Value>,
        etc: Option<Value>,
        data: Option<String>,
        deadline: Option<u64>,
    }
    let given: Option<Given> = serde_json::from_value(given.clone()).unwrap();
    let Given { last_id, posts, acked } = given.unwrap_or_default();
    let posts = posts.into_iter().map(|post| {
        let GivenPost { id, header, etc, data, deadline } = post;
        let etc = raw(etc);
        let data = data.unwrap_or_default();
        let message = mqlib::request::encode(&header, etc.as_deref(), data.as_bytes()).unwrap();
        let deadline = deadline.map(|at| now + Duration::from_millis(at));
        SavedPost { id: id.parse().unwrap(), message, deadline }
    });
    Saved { last_id: last_id.parse().unwrap_or_default(), posts: posts.collect(), acked }
}

/// A message as the scripts have it.
fn message(message: &Bytes) -> Value {
    let (header, body) = header::split(message).unwrap();
    let header: Value = serde_json::from_slice(header).unwrap();
    let etc = header["etc"].as_u64().unwrap_or_default() as usize;
    let data = text(&body[etc..]);
    let mut whole = json!({"header": header});
    if etc > 0 {
        whole["etc"] = serde_json::from_slice(&body[..etc]).unwrap();
    }
    if !data.is_empty() {
        whole["data"] = data.into();
    }
    whole
}

fn raw(etc: Option<Value>) -> Option<Box<RawValue>> {
    etc.map(|etc| to_raw_value(&etc).unwrap())
}

/// The kind of an error, and what is exact of it.
fn error(error: &Error) -> Value {
    let kind = |kind: &str| json!({ "kind": kind });
    match error {
        Error::Lost(_) => kind("lost"),
        Error::UserUnknown => kind("userUnknown"),
        Error::NodeUnknown => kind("nodeUnknown"),
        Error::NodeActive => kind("nodeActive"),
        Error::TakenOver => kind("takenOver"),
        Error::Refused(text) => json!({"kind": "refused", "text": text}),
        Error::Rejected(text) => json!({"kind": "rejected", "text": text}),
        Error::TooLarge(most) => json!({"kind": "tooLarge", "most": most}),
        Error::Deadline { maybe_stored } => {
            json!({"kind": "deadline", "maybeStored": maybe_stored})
        }
        Error::Disk { .. } => kind("disk"),
        Error::HeaderTooLong => kind("headerTooLong"),
        Error::Argument(_) => kind("argument"),
        Error::Protocol(_) => kind("protocol"),
        Error::Closed => kind("closed"),
        other => panic!("{other:?}"),
    }
}

/// Without what is absent.
fn present(mut value: Value) -> Value {
    let absent = |value: &Value| match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => false,
    };
    value.as_object_mut().unwrap().retain(|key, value| key == "header" || !absent(value));
    value
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The file, with a line for each step and each expectation.
fn lines(file: &Value) -> String {
    let mut out = String::from("{\"scripts\": [\n");
    let scripts = file["scripts"].as_array().unwrap();
    for (number, script) in scripts.iter().enumerate() {
        out += &format!(" {{\"name\": {},\n", script["name"]);
        for key in ["config", "saved"] {
            if !script[key].is_null() {
                out += &format!("  \"{key}\": {},\n", script[key]);
            }
        }
        out += "  \"steps\": [\n";
        let steps = script["steps"].as_array().unwrap();
        for (number, step) in steps.iter().enumerate() {
            let mut input = step.clone();
            let expected = input.as_object_mut().unwrap().remove("expect").unwrap();
            let input = input.to_string();
            let end = if number + 1 < steps.len() { "," } else { "" };
            out += &format!("   {},\n", input.strip_suffix('}').unwrap());
            out += &format!("    \"expect\": {expected}}}{end}\n");
        }
        out += if number + 1 < scripts.len() { "  ]},\n" } else { "  ]}\n" };
    }
    out + "]}\n"
}
