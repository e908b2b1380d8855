//! Whether what arrived is what was observed.
//!
//! Headers are compared as text, so that the order of fields, the spacing and the escapes count.
//! On one connection the queued messages (they carry an id to be acked) come in the recorded
//! order, and so do the answers to requests; how the two interleave was a race in the original,
//! save that nothing queued comes before the answer to the login. The close frame and the end
//! come last. Nothing else may come.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use tokio::time::{Duration, Instant};

use super::file::Observed;
use super::wire::{Arrival, Message, What};

/// From here on a recorded time is about time, and not about how busy that machine was.
const TIMED_MS: u64 = 1000;
/// How much earlier or later than recorded a timed message may come. The pauses between steps
/// were longer in the recording, so that a timer begun before the step fires later after it.
const EARLY: Duration = Duration::from_millis(1000);
pub(crate) const LATE: Duration = Duration::from_millis(2500);
/// A `<DATE>`, where `d` is any digit.
const DATE: &str = "dddd-dd-ddTdd:dd:dd.dddZ";

/// The server's ids by the names the vector has for them.
#[derive(Debug, Default, Clone)]
pub(crate) struct Ids(BTreeMap<String, String>);

impl Ids {
    /// Puts our ids in the place of `<IDn>`.
    pub(crate) fn fill_in(&self, text: &str) -> anyhow::Result<String> {
        let mut filled = String::new();
        let mut rest = text;
        while let Some(start) = rest.find("<ID") {
            let end = rest[start..].find('>').context("an unfinished <ID")? + start + 1;
            let name = &rest[start..end];
            let Some(id) = self.0.get(name) else {
                bail!("{name} is sent before the server has used it");
            };
            filled.push_str(&rest[..start]);
            filled.push_str(id);
            rest = &rest[end..];
        }
        filled.push_str(rest);
        Ok(filled)
    }

    /// Whether a text is as recorded; if so, remembers the ids it has shown for the first time.
    fn matches(&mut self, recorded: &str, text: &str) -> bool {
        let mut seen = self.clone();
        let matches = seen.walk(recorded, text).is_some();
        if matches {
            *self = seen;
        }
        matches
    }

    fn walk(&mut self, mut recorded: &str, mut text: &str) -> Option<()> {
        loop {
            let next = [recorded.find("<ID"), recorded.find("<DATE>")];
            let Some(start) = next.into_iter().flatten().min() else {
                return (recorded == text).then_some(());
            };
            text = text.strip_prefix(&recorded[..start])?;
            let end = recorded[start..].find('>')? + start + 1;
            let name = &recorded[start..end];
            let length = if name == "<DATE>" {
                let date = text.get(..DATE.len())?;
                let like =
                    |(c, d): (char, char)| if d == 'd' { c.is_ascii_digit() } else { c == d };
                date.chars().zip(DATE.chars()).all(like).then_some(DATE.len())?
            } else {
                let of_id = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
                let length = text.find(|c| !of_id(c)).unwrap_or(text.len());
                self.bind(name, &text[..length])?;
                length
            };
            (recorded, text) = (&recorded[end..], &text[length..]);
        }
    }

    /// One name for one id and the other way round, for the whole of the conversation.
    fn bind(&mut self, name: &str, id: &str) -> Option<()> {
        if let Some(known) = self.0.get(name) {
            return (known == id).then_some(());
        }
        if id.is_empty() || self.0.values().any(|known| known == id) {
            return None;
        }
        self.0.insert(name.to_owned(), id.to_owned());
        Some(())
    }
}

/// Compares what arrived after a step with what was observed; says all that is wrong.
///
/// `any_order` is for what was a race in the original: the same messages on the same
/// connections, in whatever order.
pub(crate) fn compare(
    observed: &[Observed],
    arrivals: &[Arrival],
    started: Instant,
    ids: &mut Ids,
    any_order: bool,
) -> Vec<String> {
    let mut conns: Vec<&str> = observed.iter().map(|o| o.conn.as_str()).collect();
    conns.extend(arrivals.iter().map(|a| a.conn.as_str()));
    conns.sort_unstable();
    conns.dedup();
    let mut comparison = Comparison { started, ids, any_order, problems: Vec::new() };
    for conn in conns {
        let observed: Vec<&Observed> = observed.iter().filter(|o| o.conn == conn).collect();
        let arrivals: Vec<&Arrival> = arrivals.iter().filter(|a| a.conn == conn).collect();
        let before = comparison.problems.len();
        comparison.conn(&observed, &arrivals);
        for problem in &mut comparison.problems[before..] {
            problem.insert_str(0, &format!("{conn}: "));
        }
    }
    comparison.problems
}

struct Comparison<'a> {
    started: Instant,
    ids: &'a mut Ids,
    any_order: bool,
    problems: Vec<String>,
}

impl Comparison<'_> {
    fn conn(&mut self, observed: &[&Observed], arrivals: &[&Arrival]) {
        let messages = observed.iter().take_while(|o| o.is_message()).count();
        let (observed, last_observed) = observed.split_at(messages);
        let message = |a: &&&Arrival| matches!(a.what, What::Message(_));
        let (arrivals, last_arrivals) =
            arrivals.split_at(arrivals.iter().take_while(message).count());
        for queued in [false, true] {
            let observed: Vec<&Observed> = observed
                .iter()
                .copied()
                .filter(|o| is_queued(&recorded_header(o)) == queued)
                .collect();
            let arrivals: Vec<(&Arrival, &Message)> = messages_of(arrivals)
                .filter(|(_, message)| is_queued(&message.header) == queued)
                .collect();
            if self.any_order {
                self.bag(observed, arrivals);
            } else {
                self.row(&observed, &arrivals);
            }
        }
        let before_login = |headers: Vec<String>| {
            let login = headers.iter().position(|h| h.starts_with(r#"{"op":"info""#))?;
            Some(headers[..login].iter().filter(|h| is_queued(h)).count())
        };
        let recorded = before_login(observed.iter().map(|o| recorded_header(o)).collect());
        let ours = before_login(messages_of(arrivals).map(|(_, m)| m.header.clone()).collect());
        if let (Some(recorded), Some(ours)) = (recorded, ours)
            && recorded != ours
        {
            self.problems.push("a delivery came before the answer to the login".to_owned());
        }
        self.row_of_ends(last_observed, last_arrivals);
    }

    /// Messages in the recorded order.
    fn row(&mut self, observed: &[&Observed], arrivals: &[(&Arrival, &Message)]) {
        for (observed, (arrival, message)) in observed.iter().zip(arrivals) {
            if self.is(observed, message) {
                self.time(observed, arrival);
            } else {
                self.problems.push(format!("expected {}, got {message}", show(observed)));
            }
        }
        for observed in observed.iter().skip(arrivals.len()) {
            self.problems.push(format!("missing {}", show(observed)));
        }
        for (_, message) in arrivals.iter().skip(observed.len()) {
            self.problems.push(format!("unexpected {message}"));
        }
    }

    /// Messages in any order.
    fn bag(&mut self, observed: Vec<&Observed>, mut arrivals: Vec<(&Arrival, &Message)>) {
        for observed in observed {
            let Some(at) = (0..arrivals.len()).find(|at| self.is(observed, arrivals[*at].1)) else {
                self.problems.push(format!("missing {}", show(observed)));
                continue;
            };
            let (arrival, _) = arrivals.remove(at);
            self.time(observed, arrival);
        }
        for (_, message) in arrivals {
            self.problems.push(format!("unexpected {message}"));
        }
    }

    /// From the close frame or the end on.
    fn row_of_ends(&mut self, observed: &[&Observed], arrivals: &[&Arrival]) {
        for (observed, arrival) in observed.iter().zip(arrivals) {
            let is = match (&arrival.what, observed.closed.as_deref()) {
                (What::Close, None) => observed.close_frame,
                (What::Fin, Some("FIN")) | (What::Rst, Some("RST")) => true,
                _ => false,
            };
            if is {
                self.time(observed, arrival);
            } else {
                self.problems.push(format!("expected {}, got {}", show(observed), arrival.what));
            }
        }
        for observed in observed.iter().skip(arrivals.len()) {
            self.problems.push(format!("missing {}", show(observed)));
        }
        for arrival in arrivals.iter().skip(observed.len()) {
            self.problems.push(format!("unexpected {}", arrival.what));
        }
    }

    fn is(&mut self, observed: &Observed, message: &Message) -> bool {
        if observed.is_engine_text() {
            return is_quit(message);
        }
        let data = match (&observed.data, &observed.data_fill, observed.data_len) {
            (_, Some(fill), _) => message.data == fill.bytes(),
            (Some(data), None, _) => message.data == data.as_bytes(),
            (None, None, Some(length)) => message.data.len() == length,
            (None, None, None) => message.data.is_empty(),
        };
        if !data {
            return false;
        }
        // The ids of the header count only if the rest is right too.
        let mut ids = self.ids.clone();
        let recorded = observed.header_text.as_deref().unwrap_or_default();
        let etc = match (&observed.etc_text, &message.etc) {
            (Some(recorded), Some(etc)) => ids.matches(recorded, etc),
            (None, None) => true,
            _ => false,
        };
        let is = etc && ids.matches(recorded, &message.header);
        if is {
            *self.ids = ids;
        }
        is
    }

    fn time(&mut self, observed: &Observed, arrival: &Arrival) {
        let Some(ms) = observed.after_ms.filter(|ms| *ms >= TIMED_MS) else { return };
        let recorded = Duration::from_millis(ms);
        let ours = arrival.at.saturating_duration_since(self.started);
        if ours + EARLY < recorded || ours > recorded + LATE {
            let ours = ours.as_millis();
            self.problems.push(format!("{} after {ours} ms, not {ms} ms", arrival.what));
        }
    }
}

fn messages_of<'a>(
    arrivals: &[&'a Arrival],
) -> impl Iterator<Item = (&'a Arrival, &'a Message)> + use<'a> {
    let messages: Vec<_> = arrivals
        .iter()
        .filter_map(|arrival| match &arrival.what {
            What::Message(message) => Some((*arrival, message)),
            _ => None,
        })
        .collect();
    messages.into_iter()
}

/// Whether a header is that of a message from a queue, which its receiver acks.
fn is_queued(header: &str) -> bool {
    let fields: serde_json::Value = serde_json::from_str(header).unwrap_or_default();
    fields.get("id").is_some() && fields.get("from").is_some()
}

/// A quit with some text.
fn is_quit(message: &Message) -> bool {
    let fields: serde_json::Value = serde_json::from_str(&message.header).unwrap_or_default();
    let info = fields.get("info").and_then(|info| info.as_str()).unwrap_or_default();
    let text = serde_json::json!(info).to_string();
    !info.is_empty()
        && message.header == format!(r#"{{"op":"quit","info":{text}}}"#)
        && message.etc.is_none()
        && message.data.is_empty()
}

fn recorded_header(observed: &Observed) -> String {
    match (&observed.header_text, &observed.header) {
        (Some(text), _) => text.clone(),
        (None, Some(header)) => header.to_string(),
        (None, None) => String::new(),
    }
}

/// An observation, as a line of a report.
pub(crate) fn show(observed: &Observed) -> String {
    if observed.close_frame {
        return "close frame".to_owned();
    }
    if let Some(closed) = &observed.closed {
        return closed.clone();
    }
    let mut text = recorded_header(observed);
    if let Some(etc) = &observed.etc_text {
        text.push_str(&format!("  etc {etc}"));
    }
    if let Some(fill) = &observed.data_fill {
        text.push_str(&format!("  data ({})", fill.bytes().len()));
    } else if let Some(data) = &observed.data {
        text.push_str(&format!("  data ({}) {data:?}", data.len()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELIVER: &str = r#"{"op":"deliver","id":"<ID1>","from":"u1"}"#;
    const ACK: &str = r#"{"op":"ack","id":"m1","type":"ok"}"#;
    const OK_LOGIN: &str = r#"{"op":"info","info":"ok login"}"#;

    fn observed(json: &str) -> Vec<Observed> {
        serde_json::from_str(json).unwrap()
    }

    fn seen(conn: &str, header: &str) -> Observed {
        let text = serde_json::json!({"conn": conn, "header_text": header});
        serde_json::from_value(text).unwrap()
    }

    fn arrival(conn: &str, what: What) -> Arrival {
        Arrival { conn: conn.to_owned(), at: Instant::now(), what }
    }

    fn came(conn: &str, header: &str) -> Arrival {
        let header = header.to_owned();
        arrival(conn, What::Message(Message { header, etc: None, data: Vec::new() }))
    }

    fn problems(observed: &[Observed], arrivals: &[Arrival]) -> Vec<String> {
        compare(observed, arrivals, Instant::now(), &mut Ids::default(), false)
    }

    #[test]
    fn the_recorded_answer_passes_whatever_the_id_is() {
        let observed = [seen("A", DELIVER), seen("A", ACK)];
        let ours = DELIVER.replace("<ID1>", "0192f7c0");
        assert!(problems(&observed, &[came("A", &ours), came("A", ACK)]).is_empty());
        // Acks and deliveries may swap: they raced in the original.
        assert!(problems(&observed, &[came("A", ACK), came("A", &ours)]).is_empty());
    }

    #[test]
    fn a_header_with_other_spacing_or_field_order_fails() {
        for wrong in [
            r#"{"op":"ack","id":"m1","type":"ok" }"#,
            r#"{"op":"ack","type":"ok","id":"m1"}"#,
            r#"{"op":"ack","id":"m1","type":"ok","error":null}"#,
        ] {
            assert_eq!(problems(&[seen("A", ACK)], &[came("A", wrong)]).len(), 1, "{wrong}");
        }
    }

    #[test]
    fn a_missing_message_and_an_extra_one_fail() {
        assert_eq!(problems(&[seen("A", ACK)], &[]), [format!("A: missing {ACK}")]);
        assert_eq!(problems(&[], &[came("A", ACK)]), [format!("A: unexpected {ACK}")]);
        // On another connection it is both.
        assert_eq!(problems(&[seen("A", ACK)], &[came("B", ACK)]).len(), 2);
    }

    #[test]
    fn answers_in_another_order_fail_unless_any_order_will_do() {
        let second = ACK.replace("m1", "m2");
        let observed = [seen("A", ACK), seen("A", &second)];
        let arrivals = [came("A", &second), came("A", ACK)];
        assert!(!problems(&observed, &arrivals).is_empty());
        let any = compare(&observed, &arrivals, Instant::now(), &mut Ids::default(), true);
        assert!(any.is_empty(), "{any:?}");
    }

    #[test]
    fn an_id_stays_the_same_on_every_connection_and_for_ever() {
        let observed = [seen("A", DELIVER), seen("B", DELIVER)];
        let ours = |id: &str| DELIVER.replace("<ID1>", id);
        assert!(problems(&observed, &[came("A", &ours("7")), came("B", &ours("7"))]).is_empty());
        assert!(!problems(&observed, &[came("A", &ours("7")), came("B", &ours("8"))]).is_empty());
        let two = [seen("A", DELIVER), seen("A", &DELIVER.replace("<ID1>", "<ID2>"))];
        assert!(!problems(&two, &[came("A", &ours("7")), came("A", &ours("7"))]).is_empty());
    }

    #[test]
    fn a_delivery_before_the_answer_to_the_login_fails() {
        let observed = [seen("A", OK_LOGIN), seen("A", DELIVER)];
        let ours = DELIVER.replace("<ID1>", "7");
        assert!(problems(&observed, &[came("A", OK_LOGIN), came("A", &ours)]).is_empty());
        assert!(!problems(&observed, &[came("A", &ours), came("A", OK_LOGIN)]).is_empty());
    }

    #[test]
    fn nothing_may_follow_the_close_frame_but_the_end() {
        let observed = observed(
            r#"[{"conn":"A","header_text":"{\"op\":\"quit\",\"info\":\"shutdown\"}"},
                {"conn":"A","close_frame":true},{"conn":"A","closed":"FIN"}]"#,
        );
        let quit = || came("A", r#"{"op":"quit","info":"shutdown"}"#);
        let (close, fin) = (|| arrival("A", What::Close), || arrival("A", What::Fin));
        assert!(problems(&observed, &[quit(), close(), fin()]).is_empty());
        assert!(!problems(&observed, &[close(), quit(), fin()]).is_empty());
        assert!(!problems(&observed, &[quit(), fin()]).is_empty());
        assert!(!problems(&observed, &[quit(), close()]).is_empty());
        assert!(!problems(&observed, &[quit(), close(), arrival("A", What::Rst)]).is_empty());
    }

    #[test]
    fn etc_and_data_are_compared_and_dates_must_look_like_dates() {
        let observed = observed(
            r#"[{"conn":"A","header_text":"{\"etc\":26}","etc_text":"\"<DATE>\"","data":"x"}]"#,
        );
        let with = |etc: Option<&str>, data: &[u8]| {
            let header = r#"{"etc":26}"#.to_owned();
            let etc = etc.map(str::to_owned);
            problems(
                &observed,
                &[arrival("A", What::Message(Message { header, etc, data: data.into() }))],
            )
        };
        let date = "\"2026-01-31T12:00:00.123Z\"";
        assert!(with(Some(date), b"x").is_empty());
        assert!(!with(Some(date), b"").is_empty());
        assert!(!with(Some(date), b"y").is_empty());
        assert!(!with(None, b"x").is_empty());
        assert!(!with(Some("\"2026-01-31T12:00:00+00:00\""), b"x").is_empty());
    }

    #[test]
    fn an_engine_text_may_be_any_text_but_not_none() {
        let observed = observed(r#"[{"conn":"A","header":{"op":"quit","info":"<engine text>"}}]"#);
        assert!(
            problems(&observed, &[came("A", r#"{"op":"quit","info":"invalid JSON"}"#)]).is_empty()
        );
        for wrong in [r#"{"op":"quit","info":""}"#, r#"{"op":"info","info":"x"}"#, ACK] {
            assert!(!problems(&observed, &[came("A", wrong)]).is_empty(), "{wrong}");
        }
    }

    #[test]
    fn a_timed_message_must_come_about_when_it_came_then() {
        let observed = observed(
            r#"[{"conn":"A","header_text":"{\"op\":\"ack\",\"id\":\"m1\",\"type\":\"ok\"}","after_ms":9708}]"#,
        );
        let started = Instant::now();
        let after = |ms| {
            let mut arrival = came("A", ACK);
            arrival.at = started + Duration::from_millis(ms);
            compare(&observed, &[arrival], started, &mut Ids::default(), false)
        };
        assert!(after(9950).is_empty());
        assert_eq!(after(5000).len(), 1);
        assert_eq!(after(20_000).len(), 1);
    }

    #[test]
    fn our_ids_are_filled_in_where_the_vector_sends_them() {
        let mut ids = Ids::default();
        assert!(ids.fill_in("<ID1>").is_err());
        assert!(ids.matches("\"<ID1>\"", "\"abc-1\""));
        assert_eq!(ids.fill_in(r#"{"id":"<ID1>"}"#).unwrap(), r#"{"id":"abc-1"}"#);
    }
}
