//! The books of a run: the history of promises, and all that is counted beside it.

use super::note::Note;
use super::plan::Plan;
use hdrhistogram::Histogram;
use mqlib::testing::history::{Arrival, Counts, History};
use serde::Serialize;
use std::fmt;
use tokio::time::Instant;

/// Acks that take longer count as this, in microseconds.
const LONGEST: u64 = 600_000_000;
/// How many breaches besides the history's are told in words.
const EXAMPLES: usize = 10;

/// Takes the notes of all nodes.
pub(crate) struct Book {
    history: History,
    latency: Histogram<u64>,
    start: Instant,
    /// When something last arrived or was acked.
    pub(crate) moved: Instant,
    nodes: u64,
    notices: u64,
    bytes_posted: u64,
    bytes_arrived: u64,
    logins: u64,
    reconnects: u64,
    resent: u64,
    redelivered: u64,
    kills: u64,
    broken: u64,
    broken_examples: Vec<String>,
    /// The server cannot go on.
    pub(crate) has_failed: bool,
}

/// What there is to say at the end.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    pub(crate) ok: bool,
    tag: String,
    seed: u64,
    seconds: f64,
    users: u32,
    nodes: u64,
    #[serde(flatten)]
    pub(crate) counts: Counts,
    notices: u64,
    mb_posted: f64,
    mb_delivered: f64,
    logins: u64,
    reconnects: u64,
    resent: u64,
    redeliveries: u64,
    kills: u64,
    ack_p50_ms: f64,
    ack_p99_ms: f64,
    ack_max_ms: f64,
    broken: u64,
    examples: Vec<String>,
}

impl Book {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let now = Instant::now();
        Ok(Self {
            history: History::default(),
            latency: Histogram::new_with_bounds(1, LONGEST, 3)?,
            start: now,
            moved: now,
            nodes: 0,
            notices: 0,
            bytes_posted: 0,
            bytes_arrived: 0,
            logins: 0,
            reconnects: 0,
            resent: 0,
            redelivered: 0,
            kills: 0,
            broken: 0,
            broken_examples: Vec::new(),
            has_failed: false,
        })
    }

    pub(crate) fn enter(&mut self, note: Note) {
        match note {
            Note::Joined(node) => {
                self.nodes += 1;
                self.history.joined(node);
            }
            Note::LoggedIn => self.logins += 1,
            Note::LeftOff(stats) => {
                self.reconnects += stats.reconnects;
                self.resent += stats.resent;
                self.redelivered += stats.redelivered;
            }
            Note::Posted { post, audience, bytes } => {
                self.bytes_posted += bytes as u64;
                self.history.posted(post, Some(audience));
            }
            Note::Acked { post, id, after } => {
                self.moved = Instant::now();
                let micros = u64::try_from(after.as_micros()).unwrap_or(LONGEST);
                self.latency.saturating_record(micros);
                self.history.acked(post, id);
            }
            Note::Abandoned(post) => self.history.abandoned(post),
            Note::Arrived { at, post, id, bytes } => {
                self.moved = Instant::now();
                self.bytes_arrived += bytes as u64;
                match post {
                    Ok(post) => {
                        let (post, marked) = (Some(post), None);
                        self.history.delivered(Arrival { node: at, post, id, marked });
                    }
                    Err(what) => self.history.corrupted(at, &what),
                }
            }
            // Without the id: mqclient may send acks and posts in another order than this.
            Note::TookIn { at, post } => self.history.client_acked(at, Some(post), None),
            Note::Notice => {
                self.moved = Instant::now();
                self.notices += 1;
            }
            Note::Killed => self.kills += 1,
            Note::ServerFailed(text) => {
                self.has_failed = true;
                self.break_word(text);
            }
            Note::Broken(text) => self.break_word(text),
        }
    }

    /// A breach that is none of the history's kinds.
    pub(crate) fn break_word(&mut self, text: String) {
        self.broken += 1;
        if self.broken_examples.len() < EXAMPLES && !self.broken_examples.contains(&text) {
            self.broken_examples.push(text);
        }
    }

    /// Has everything that was posted been acked, and arrived?
    pub(crate) fn is_settled(&self) -> bool {
        self.history.missing() == 0 && self.history.in_flight() == 0
    }

    /// The waiting was broken off: what is outstanding is not lost, but not proven either.
    pub(crate) fn break_off(&mut self) {
        let missing = self.history.missing();
        if missing > 0 {
            self.break_word(format!("{missing} arrivals were still outstanding in the end"));
        }
        self.history.forgive();
    }

    /// Arrivals outstanding, for each node.
    pub(crate) fn backlog(&self) -> usize {
        let nodes = usize::try_from(self.nodes.max(1)).unwrap_or(usize::MAX);
        (self.history.missing() + self.history.in_flight()) / nodes
    }

    pub(crate) fn close(self, plan: &Plan) -> Summary {
        let (counts, violations) = self.history.close();
        let mut examples = self.broken_examples;
        examples.extend(violations.iter().map(ToString::to_string));
        let mb = |bytes: u64| bytes as f64 / 1e6;
        let ms = |micros: u64| micros as f64 / 1e3;
        Summary {
            ok: counts.are_clean() && self.broken == 0,
            tag: plan.tag.clone(),
            seed: plan.seed,
            seconds: self.start.elapsed().as_secs_f64(),
            users: plan.users,
            nodes: self.nodes,
            counts,
            notices: self.notices,
            mb_posted: mb(self.bytes_posted),
            mb_delivered: mb(self.bytes_arrived),
            logins: self.logins,
            reconnects: self.reconnects,
            resent: self.resent,
            redeliveries: self.redelivered,
            kills: self.kills,
            ack_p50_ms: ms(self.latency.value_at_quantile(0.5)),
            ack_p99_ms: ms(self.latency.value_at_quantile(0.99)),
            ack_max_ms: ms(self.latency.max()),
            broken: self.broken,
            examples,
        }
    }
}

/// The live line.
impl fmt::Display for Book {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.history.counts();
        write!(
            f,
            "{:.0} s: {} nodes, {} posts, {} acked, {} delivered ({:.0} MB), {} on their way",
            self.start.elapsed().as_secs_f64(),
            self.nodes,
            counts.posts,
            counts.acked,
            counts.deliveries,
            self.bytes_arrived as f64 / 1e6,
            self.history.missing() + self.history.in_flight(),
        )?;
        if self.kills > 0 {
            write!(f, ", {} kills", self.kills)?;
        }
        let breaches = counts.broken() + self.broken;
        if breaches > 0 {
            write!(f, ", {breaches} PROMISES BROKEN")?;
        }
        Ok(())
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { posts, acked, abandoned, deliveries, duplicates, .. } = self.counts;
        let Counts { lost, out_of_order, corrupted, astray, .. } = self.counts;
        let others = self.broken + self.counts.broken() - lost - out_of_order - corrupted - astray;
        writeln!(
            f,
            "{} users with {} nodes for {:.1} s; seed {}, tag {}",
            self.users, self.nodes, self.seconds, self.seed, self.tag
        )?;
        writeln!(
            f,
            "posted      {posts} ({:.1} MB): {acked} acked, {abandoned} left without an answer, {} sent again",
            self.mb_posted, self.resent
        )?;
        writeln!(
            f,
            "delivered   {deliveries} ({:.1} MB); {duplicates} duplicates, {} redeliveries, {} notices",
            self.mb_delivered, self.redeliveries, self.notices
        )?;
        writeln!(
            f,
            "links       {} logins, {} reconnects; server killed {} times",
            self.logins, self.reconnects, self.kills
        )?;
        writeln!(
            f,
            "post to ack p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms",
            self.ack_p50_ms, self.ack_p99_ms, self.ack_max_ms
        )?;
        for example in &self.examples {
            writeln!(f, "  {}", example.replace('\n', "\n  "))?;
        }
        let verdict = if self.ok { "ok" } else { "FAILED" };
        write!(
            f,
            "{verdict}: {lost} lost, {out_of_order} out of order, {corrupted} corrupted, {astray} astray, {others} otherwise broken"
        )
    }
}
