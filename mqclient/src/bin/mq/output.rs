//! What is printed. Nobody on the other end of a pipe is no error of ours, and no panic.

use crate::failure::Failure;
use anstyle::{AnsiColor, Style};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use mqclient::{Delivery, Kind};
use serde::Serialize;
use serde_json::value::RawValue;
use std::io::{self, ErrorKind, Write};

const NAME: Style = AnsiColor::Cyan.on_default().bold();
const FAINT: Style = Style::new().dimmed();

/// How messages are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// The data as they are, each with a newline.
    Body,
    /// A line of JSON each.
    Json,
}

/// Was it printed? Nobody may be there to read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Printed {
    Yes,
    /// Who read the standard output has gone.
    NoReader,
}

/// Tells people something beside the result.
pub(crate) fn note(text: &str) {
    // Without a standard error nobody is to be told.
    let _ = writeln!(anstream::stderr(), "mq: {}", printable(text, "\n"));
}

/// Prints a line.
pub(crate) fn line(text: &str) -> Result<Printed, Failure> {
    bytes(format!("{text}\n").as_bytes())
}

/// Prints a value as a line of JSON.
pub(crate) fn json<T: Serialize>(value: &T) -> Result<Printed, Failure> {
    let text = serde_json::to_string(value).map_err(|error| Failure::local(error.to_string()))?;
    line(&text)
}

/// Prints bytes as they are.
pub(crate) fn bytes(bytes: &[u8]) -> Result<Printed, Failure> {
    let mut out = io::stdout().lock();
    printed(out.write_all(bytes).and_then(|()| out.flush()))
}

/// Prints text with colours, which are left out where they are not wanted.
pub(crate) fn styled(text: &str) -> Result<Printed, Failure> {
    let mut out = anstream::stdout().lock();
    printed(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

fn printed(result: io::Result<()>) -> Result<Printed, Failure> {
    match result {
        Ok(()) => Ok(Printed::Yes),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Printed::NoReader),
        Err(error) => Err(Failure::local(format!("standard output: {error}"))),
    }
}

/// Prints a message.
pub(crate) fn message(delivery: &Delivery, format: Format) -> Result<Printed, Failure> {
    match format {
        Format::Text => styled(&text(delivery)),
        Format::Body => bytes(&[&delivery.data, "\n".as_bytes()].concat()),
        Format::Json => json(&Letter::of(delivery)),
    }
}

/// A message as people read it: one that is of several lines cannot be taken for several messages.
fn text(delivery: &Delivery) -> String {
    let from = printable(&delivery.from, "");
    let mut text = format!("{NAME}{from}{NAME:#}: ");
    if delivery.kind != Kind::Deliver {
        text += &format!("{FAINT}({}){FAINT:#} ", kind(delivery.kind));
    }
    let data = String::from_utf8_lossy(&delivery.data);
    text += &printable(data.strip_suffix('\n').unwrap_or(&data), "\n    ");
    if let Some(etc) = &delivery.etc {
        let etc = printable(&String::from_utf8_lossy(etc), "\n    ");
        text += &format!("{FAINT} [etc {etc}]{FAINT:#}");
    }
    text.push('\n');
    text
}

/// Text without anything that a terminal obeys; `newline` in place of each newline.
pub(crate) fn printable(text: &str, newline: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push_str(newline),
            '\t' => out.push(c),
            c if c.is_control() => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}

/// What a delivery is, by its op.
pub(crate) fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Deliver => "deliver",
        Kind::Registered => "registered",
        Kind::ListEdited => "listEdited",
    }
}

/// A message as programs read it.
#[derive(Serialize)]
struct Letter<'a> {
    id: &'a str,
    from: &'a str,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    posted: Option<&'a str>,
    redelivered: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    etc: Option<&'a RawValue>,
    /// The data, if they are text;
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a str>,
    /// else in Base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
}

impl<'a> Letter<'a> {
    fn of(delivery: &'a Delivery) -> Self {
        let data = std::str::from_utf8(&delivery.data).ok();
        Self {
            id: &delivery.id,
            from: &delivery.from,
            kind: kind(delivery.kind),
            posted: delivery.posted.as_deref(),
            redelivered: delivery.redelivered,
            etc: delivery.etc.as_deref().and_then(|etc| serde_json::from_slice(etc).ok()),
            data,
            base64: data.is_none().then(|| BASE64_STANDARD.encode(&delivery.data)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_commands_no_terminal_and_fakes_no_other() {
        let text = printable("hi\x1b[2J\r\u{9b}1m\nbob: pay\t1", "\n    ");
        assert_eq!(text, "hi\\u{1b}[2J\\r\\u{9b}1m\n    bob: pay\t1");
    }
}
