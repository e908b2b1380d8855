//! One vector, played against a server.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, bail};
use tokio::sync::mpsc;
use tokio::time::{Duration, Instant, sleep_until, timeout, timeout_at};

use super::action;
use super::compare::{self, Ids};
use super::file::{Do, Observed, Step, Vector};
use super::wire::{self, Arrival, Connection, What};
use crate::spawn::{Options, Server};

/// How long to wait for a message that does not come.
const PATIENCE: Duration = Duration::from_secs(5);
/// Once all that was expected has come, how long to listen for what was not. It is also the
/// pause between a step on one connection and the next on another, which must not overtake.
const QUIET: Duration = Duration::from_millis(50);
/// The quiet that must hold after the last step.
const LAST_QUIET: Duration = Duration::from_millis(150);

/// Which server the vectors are played against.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// A new one for each, on an empty store.
    Spawned { bin: PathBuf },
    /// A running one, whose store must be empty.
    Running(SocketAddr),
}

/// What became of a vector.
#[derive(Debug)]
pub(crate) struct Played {
    /// What was wrong, if anything.
    pub(crate) failure: Option<String>,
    /// All that was done and arrived.
    pub(crate) transcript: Vec<String>,
}

/// Plays a vector.
pub(crate) async fn play(vector: &Vector, place: &Place) -> Played {
    let mut play = match Play::new(vector, place).await {
        Ok(play) => play,
        Err(error) => {
            return Played { failure: Some(format!("{error:#}")), transcript: Vec::new() };
        }
    };
    let failure = match play.whole(vector).await {
        Ok(()) => None,
        Err(error) => {
            let mut text = format!("{error:#}");
            if let Target::Spawned(server) = &play.target {
                let log = server.log_tail();
                if !log.is_empty() {
                    text.push_str("\nthe server's log ends with:\n");
                    text.push_str(&log);
                }
            }
            Some(text)
        }
    };
    Played { failure, transcript: play.transcript }
}

enum Target {
    Spawned(Box<Server>),
    Running(SocketAddr),
}

struct Play {
    target: Target,
    /// Whether the server has been ended on purpose.
    ended: bool,
    conns: BTreeMap<String, Connection>,
    sender: mpsc::UnboundedSender<Arrival>,
    arrivals: mpsc::UnboundedReceiver<Arrival>,
    ids: Ids,
    /// Which of a user's nodes gets a message was a race: two connections that changed parts.
    swapped: Option<(String, String)>,
    race: bool,
    transcript: Vec<String>,
}

impl Play {
    async fn new(vector: &Vector, place: &Place) -> anyhow::Result<Self> {
        let steps = vector.steps()?;
        let mut actions = steps.iter().filter_map(|step| step.what.as_deref());
        let target = match place {
            Place::Running(addr) => Target::Running(*addr),
            Place::Spawned { bin } => {
                let admin = actions.any(action::needs_admin);
                let options = Options { bin: Some(bin.clone()), admin, ..Options::default() };
                Target::Spawned(Box::new(Server::spawn(options).await?))
            }
        };
        let (sender, arrivals) = mpsc::unbounded_channel();
        Ok(Self {
            target,
            ended: false,
            conns: BTreeMap::new(),
            sender,
            arrivals,
            ids: Ids::default(),
            swapped: None,
            race: vector.is("race"),
            transcript: Vec::new(),
        })
    }

    fn addr(&self) -> SocketAddr {
        match &self.target {
            Target::Spawned(server) => server.addr(),
            Target::Running(addr) => *addr,
        }
    }

    async fn whole(&mut self, vector: &Vector) -> anyhow::Result<()> {
        for step in vector.steps()? {
            self.step(&step).await?;
        }
        let more = self.listen_until_quiet(LAST_QUIET).await;
        if !more.is_empty() {
            bail!("after the last step:\n{}", list(&more));
        }
        self.still_there().await
    }

    /// Does one step, and compares what comes of it.
    async fn step(&mut self, step: &Step) -> anyhow::Result<()> {
        if step.what_to_do == Do::Look {
            return Ok(());
        }
        let title = title(step);
        self.transcript.push(title.clone());
        let started = Instant::now();
        self.perform(step).await.with_context(|| title.clone())?;
        let arrivals = self.collect(step, started).await;
        for arrival in &arrivals {
            let ms = arrival.at.saturating_duration_since(started).as_millis();
            self.transcript.push(format!("    -> {} {}  ({ms} ms)", arrival.conn, arrival.what));
        }
        let problems = self.compare(&step.observed, &arrivals, started);
        if problems.is_empty() {
            return Ok(());
        }
        let expected: String = step
            .observed
            .iter()
            .map(|o| format!("\n    {} {}", o.conn, compare::show(o)))
            .collect();
        bail!(
            "{title}\n  {}\n  expected:{}\n  got:\n{}",
            problems.join("\n  "),
            if expected.is_empty() { " nothing" } else { &expected },
            list(&arrivals)
        );
    }

    async fn perform(&mut self, step: &Step) -> anyhow::Result<()> {
        let conn = self.our_name(&step.conn);
        match step.what_to_do {
            Do::Connect => {
                let opened = Connection::open(&conn, self.addr(), self.sender.clone()).await?;
                self.conns.insert(conn, opened);
            }
            Do::Send => {
                let bytes = wire::bytes_of(step, |text| self.ids.fill_in(text))?;
                self.conn(&conn)?.send(&bytes, step.bytewise).await;
            }
            Do::SendCloseFrame => {
                let conn = self.conn(&conn)?;
                conn.send(&[0x81, 0], false).await;
                conn.fin().await;
            }
            Do::ClientFin => self.conn(&conn)?.fin().await,
            Do::ClientRst => {
                let conn = self.conns.remove(&conn).context("there is no such connection")?;
                conn.rst().await?;
            }
            Do::Wait => {
                sleep_until(Instant::now() + Duration::from_millis(step.ms.unwrap_or(0))).await;
            }
            Do::Look => {}
            Do::Action => {
                let what = step.what.as_deref().unwrap_or_default();
                let Target::Spawned(server) = &mut self.target else {
                    bail!("{what:?} needs a server of our own");
                };
                action::act(server, what, step.result.as_ref()).await?;
                self.ended |= action::ends_server(what);
                self.ended &= !action::starts_server(what);
            }
        }
        Ok(())
    }

    fn conn(&mut self, name: &str) -> anyhow::Result<&mut Connection> {
        self.conns.get_mut(name).with_context(|| format!("connection {name} was never opened"))
    }

    /// Our connection for one of the vector's.
    fn our_name(&self, name: &str) -> String {
        match &self.swapped {
            Some((one, other)) if name == one => other.clone(),
            Some((one, other)) if name == other => one.clone(),
            _ => name.to_owned(),
        }
    }

    /// Listens until all that is expected has come, or should have, and then for a while more.
    async fn collect(&mut self, step: &Step, started: Instant) -> Vec<Arrival> {
        let latest = step.observed.iter().filter_map(|o| o.after_ms).max().unwrap_or(0);
        let latest = Duration::from_millis(latest.max(step.ms.unwrap_or(0))) + compare::LATE;
        let deadline = (started + latest).max(Instant::now() + PATIENCE);
        let mut arrivals = Vec::new();
        while !self.complete(&step.observed, &arrivals) {
            match timeout_at(deadline, self.arrivals.recv()).await {
                Ok(Some(arrival)) => arrivals.push(arrival),
                _ => break,
            }
        }
        arrivals.extend(self.listen_until_quiet(QUIET).await);
        arrivals
    }

    /// Whether as much has come as is expected, connection by connection.
    fn complete(&self, observed: &[Observed], arrivals: &[Arrival]) -> bool {
        if self.race {
            return arrivals.len() >= observed.len();
        }
        observed.iter().all(|o| {
            let expected = observed.iter().filter(|other| other.conn == o.conn).count();
            let arrived = arrivals.iter().filter(|a| a.conn == o.conn).count();
            // A connection that has ended has nothing more to say.
            let over =
                |a: &Arrival| a.conn == o.conn && !matches!(a.what, What::Message(_) | What::Close);
            arrived >= expected || arrivals.iter().any(over)
        })
    }

    async fn listen_until_quiet(&mut self, quiet: Duration) -> Vec<Arrival> {
        let mut arrivals = Vec::new();
        // A server that never falls silent must not keep us here.
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            match timeout(quiet, self.arrivals.recv()).await {
                Ok(Some(arrival)) => arrivals.push(arrival),
                _ => break,
            }
        }
        arrivals
    }

    fn compare(
        &mut self,
        observed: &[Observed],
        arrivals: &[Arrival],
        started: Instant,
    ) -> Vec<String> {
        let first = self.compare_as(observed, arrivals, started);
        let first = match first {
            Ok(()) => return Vec::new(),
            Err(problems) => problems,
        };
        // Which of a user's nodes came first decides the rest, so it is decided once.
        if self.race && self.swapped.is_none() {
            for pair in self.nodes_of_one_user() {
                self.swapped = Some(pair);
                if self.compare_as(observed, arrivals, started).is_ok() {
                    return Vec::new();
                }
            }
            self.swapped = None;
        }
        first
    }

    fn compare_as(
        &mut self,
        observed: &[Observed],
        arrivals: &[Arrival],
        started: Instant,
    ) -> Result<(), Vec<String>> {
        let mut observed = observed.to_vec();
        for o in &mut observed {
            o.conn = self.our_name(&o.conn);
        }
        let mut ids = self.ids.clone();
        let problems = compare::compare(&observed, arrivals, started, &mut ids, self.race);
        if problems.is_empty() {
            self.ids = ids;
            Ok(())
        } else {
            Err(problems)
        }
    }

    /// Pairs of connections whose names begin alike: B and B2 are two nodes of a user.
    fn nodes_of_one_user(&self) -> Vec<(String, String)> {
        let names: Vec<&String> = self.conns.keys().collect();
        let mut pairs = Vec::new();
        for (i, one) in names.iter().enumerate() {
            for other in &names[i + 1..] {
                if one.chars().next() == other.chars().next() {
                    pairs.push(((*one).clone(), (*other).clone()));
                }
            }
        }
        pairs
    }

    /// Whatever has happened, the server must serve the next client.
    async fn still_there(&mut self) -> anyhow::Result<()> {
        if self.ended {
            return Ok(());
        }
        if let Target::Spawned(server) = &mut self.target
            && let Some(status) = server.exited()?
        {
            bail!("the server has ended ({status})");
        }
        let name = "the next client";
        let mut next = Connection::open(name, self.addr(), self.sender.clone()).await?;
        let header = r#"{"op":"register","userId":"the-next-one","newNode":"n0","aliases":""}"#;
        next.send(&wire::framed(&wire::payload(header, None, &[])), false).await;
        let arrival = timeout(PATIENCE, self.arrivals.recv()).await;
        match arrival {
            Ok(Some(Arrival { what: What::Message(message), conn, .. }))
                if conn == name && message.header == r#"{"op":"registered"}"# =>
            {
                Ok(())
            }
            Ok(Some(other)) => bail!("the next client gets no answer, but {}", other.what),
            _ => bail!("the server does not answer the next client"),
        }
    }
}

fn list(arrivals: &[Arrival]) -> String {
    if arrivals.is_empty() {
        return "    nothing".to_owned();
    }
    let lines: Vec<String> =
        arrivals.iter().map(|a| format!("    {} {}", a.conn, a.what)).collect();
    lines.join("\n")
}

/// A step as a line of a report.
fn title(step: &Step) -> String {
    let conn = &step.conn;
    let what = match step.what_to_do {
        Do::Connect => format!("{conn} connects"),
        Do::Send => {
            let what = step.header_text().or(step.payload_latin1.as_deref());
            let what = what.or(step.hex.as_deref()).unwrap_or_default();
            format!("{conn} sends {}", cut(what, 300))
        }
        Do::SendCloseFrame => format!("{conn} sends a close frame and FIN"),
        Do::ClientFin => format!("{conn} sends FIN"),
        Do::ClientRst => format!("{conn} breaks off"),
        Do::Wait => format!("wait {} ms", step.ms.unwrap_or(0)),
        Do::Look => "look".to_owned(),
        Do::Action => step.what.clone().unwrap_or_default(),
    };
    format!("at: {what}")
}

fn cut(text: &str, length: usize) -> String {
    if text.len() <= length {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(length)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    const REGISTERED: &str = r#"{"op":"registered"}"#;
    const OK_LOGIN: &str = r#"{"op":"info","info":"ok login"}"#;
    const FIRST: &str = r#"{"op":"ack","id":"1","type":"ok"}"#;
    const SECOND: &str = r#"{"op":"ack","id":"2","type":"ok"}"#;

    /// A login and two posts in one segment, with an answer to each.
    fn vector() -> Vector {
        let post = |id: &str| {
            let header = format!(r#"{{"op":"post","id":"{id}","to":{{}}}}"#);
            let bytes = wire::framed(&wire::payload(&header, None, &[]));
            bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
        };
        let text = serde_json::json!({
            "name": "two-posts",
            "setup": [
                {"do": "connect", "conn": "A"},
                {"do": "send", "conn": "A", "header_text": r#"{"op":"login"}"#,
                 "observed": [{"conn": "A", "header_text": OK_LOGIN}]}],
            "send": {"do": "send", "conn": "A", "hex": post("1") + &post("2")},
            "expect": [{"conn": "A", "header_text": FIRST}, {"conn": "A", "header_text": SECOND}],
        });
        // By way of text: a raw header cannot be read from a value.
        serde_json::from_str(&text.to_string()).unwrap()
    }

    /// A server that greets whoever logs in, and answers the first post with the given headers.
    async fn fake(answers: &'static [&'static str]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, answers));
            }
        });
        addr
    }

    async fn serve(mut stream: TcpStream, answers: &'static [&'static str]) {
        let mut seen = String::new();
        let mut bytes = [0; 4096];
        while let Ok(n @ 1..) = stream.read(&mut bytes).await {
            seen.push_str(&String::from_utf8_lossy(&bytes[..n]));
            let headers = if seen.contains("register") {
                &[REGISTERED][..]
            } else if seen.contains("login") {
                &[OK_LOGIN]
            } else {
                answers
            };
            for header in headers {
                let frame = wire::framed(&wire::payload(header, None, &[]));
                stream.write_all(&frame).await.unwrap();
            }
            seen.clear();
        }
    }

    async fn played(answers: &'static [&'static str]) -> Option<String> {
        play(&vector(), &Place::Running(fake(answers).await)).await.failure
    }

    #[tokio::test]
    async fn a_server_that_answers_as_recorded_passes() {
        assert_eq!(played(&[FIRST, SECOND]).await, None);
    }

    #[tokio::test]
    async fn a_wrong_header_fails() {
        let failure = played(&[FIRST, r#"{"op":"ack","id":"2","type":"error"}"#]).await.unwrap();
        assert!(failure.contains("A: expected"), "{failure}");
    }

    #[tokio::test]
    async fn a_missing_message_fails() {
        let failure = played(&[FIRST]).await.unwrap();
        assert!(failure.contains("A: missing"), "{failure}");
    }

    #[tokio::test]
    async fn an_extra_message_fails() {
        let failure = played(&[FIRST, SECOND, SECOND]).await.unwrap();
        assert!(failure.contains("A: unexpected"), "{failure}");
    }

    #[tokio::test]
    async fn a_wrong_order_fails() {
        let failure = played(&[SECOND, FIRST]).await.unwrap();
        assert!(failure.contains("A: expected"), "{failure}");
    }

    #[tokio::test]
    async fn an_action_needs_a_server_of_our_own() {
        let text = r#"{"name":"stop","send":{"do":"action","what":"SIGINT"}}"#;
        let vector: Vector = serde_json::from_str(text).unwrap();
        let played = play(&vector, &Place::Running(fake(&[]).await)).await;
        assert!(played.failure.unwrap().contains("SIGINT"));
    }
}
