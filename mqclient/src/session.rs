//! The protocol without I/O: what is unacked, what to send next, when to give up and try again.
//!
//! The shell tells it what happened ([`connected`](Session::connected), [`received`](Session::received),
//! [`lost`](Session::lost), [`timed_out`](Session::timed_out)) and what the application wants
//! ([`submit`](Session::submit), [`ack`](Session::ack)), always with the time; it then takes what is
//! to be sent ([`poll_transmit`](Session::poll_transmit)) and what is to be told or put on disk
//! ([`poll_event`](Session::poll_event)), and asks again at [`next_timeout`](Session::next_timeout).
//!
//! Nothing is sent that is to be on disk first: a post waits for [`kept`](Session::kept), an ack for
//! [`remembered`](Session::remembered).
//!
//! The scripts in `vectors/` say what it does to the byte; a client in another language runs the same.

mod inbox;
pub(crate) mod quits;
mod saved;
#[cfg(test)]
mod tests;
mod unacked;

use crate::config::Config;
use crate::error::Error;
use crate::login::{Login, Version};
use crate::message::Receipt;
use crate::request::{self, Request};
use bytes::Bytes;
use inbox::Inbox;
use mqlib::header::MAX_HEADER;
use mqlib::reply::Reply;
use quits::Verdict;
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use unacked::{Taken, Unacked};

pub(crate) use inbox::{Letter, most_remembered};
pub(crate) use saved::{IDS, Saved, SavedPost, anywhere};

/// After such a silence an idle WebSocket is pinged, so that a dead one is noticed.
const PING_AFTER: Duration = Duration::from_secs(30);

/// What has happened to the client so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Is the client logged in at this moment?
    pub online: bool,
    /// Logins after the first.
    pub reconnects: u64,
    /// Requests sent again after a reconnect.
    pub resent: u64,
    /// Deliveries that came again and were not shown again.
    pub redelivered: u64,
    /// Requests that wait for their ack.
    pub unacked: usize,
}

/// Where the client stands with its link.
#[derive(Debug)]
pub(crate) enum Phase {
    /// Waits before the next attempt.
    Pause { until: Instant },
    /// The shell is making a link.
    Connecting { until: Instant },
    /// The link stands; the login is sent, or about to be.
    LoggingIn { until: Instant },
    /// Logged in.
    Online,
    /// For good.
    Ended(Error),
}

/// What the shell passes on.
#[derive(Debug)]
pub(crate) enum Event {
    /// The server has let the node in.
    LoggedIn(Login),
    /// A request is settled.
    Settled(u64, Result<Receipt, Error>),
    /// A message for the application.
    Letter(Letter),
    /// The peer is to be pinged, if the framing has pings.
    Ping,
    /// A post is to be put in the outbox on disk; [`Session::kept`] answers.
    Keep { id: u64, message: Bytes, deadline: Option<Instant> },
    /// A post is to go from there: it is settled.
    Discard(u64),
    /// The id of a message that the application acked is to be remembered on disk;
    /// [`Session::remembered`] answers.
    Remember(String),
}

pub(crate) struct Session {
    config: Config,
    phase: Phase,
    /// Attempts since the last login that succeeded.
    attempts: u32,
    was_online: bool,
    /// The message, until it is sent.
    login: Option<Bytes>,
    /// The answer to the latest one.
    peer: Login,
    unacked: Unacked,
    inbox: Inbox,
    events: VecDeque<Event>,
    /// When the peer last gave a sign of life, or when we began to wait for one.
    heard: Instant,
    pinged: bool,
    stats: Stats,
    /// Why there is no link, if there is none and one was tried.
    trouble: Option<Error>,
}

impl Session {
    /// A session that begins to connect, with what an earlier one left.
    pub(crate) fn new(config: Config, now: Instant, saved: Saved) -> Self {
        let mut unacked = Unacked::after(saved.last_id);
        for post in saved.posts {
            unacked.restore(post.id, post.message, post.deadline);
        }
        let mut inbox = Inbox::new(config.window);
        for id in &saved.acked {
            inbox.restore(id);
        }
        Self {
            phase: Phase::Connecting { until: now + config.login_timeout },
            attempts: 0,
            was_online: false,
            login: None,
            peer: Login::asked(&config),
            unacked,
            inbox,
            config,
            events: VecDeque::new(),
            heard: now,
            pinged: false,
            stats: Stats::default(),
            trouble: None,
        }
    }

    /// Why the latest link, or attempt at one, came to nothing; none while online.
    pub(crate) fn trouble(&self) -> Option<&Error> {
        self.trouble.as_ref()
    }

    pub(crate) fn phase(&self) -> &Phase {
        &self.phase
    }

    pub(crate) fn stats(&self) -> Stats {
        Stats {
            online: matches!(self.phase, Phase::Online),
            unacked: self.unacked.len(),
            redelivered: self.inbox.redelivered(),
            ..self.stats
        }
    }

    /// May a further request be submitted?
    pub(crate) fn has_room(&self) -> bool {
        let (posts, bytes) = (self.unacked.len(), self.unacked.bytes());
        posts < self.config.max_unacked.max(1) && bytes < self.config.max_unacked_bytes
    }

    /// Takes a request, now or for when the link stands; the id names it in [`Event::Settled`]. If
    /// it is not acked by `deadline`, it is given up.
    pub(crate) fn submit(
        &mut self,
        now: Instant,
        request: &Request,
        deadline: Option<Instant>,
    ) -> Result<u64, Error> {
        if let Phase::Ended(error) = &self.phase {
            return Err(error.clone());
        }
        if deadline.is_some_and(|deadline| deadline <= now) {
            return Err(Error::Deadline { maybe_stored: false });
        }
        let id = self.unacked.next_id();
        let message = request.encode(&id.to_string(), &self.config.user);
        let message = message.ok_or(Error::HeaderTooLong)?;
        self.peer.check(message.len(), request.needs_v2(), self.config.max_message)?;
        // What the server knows again is worth keeping: edits of lists and aliases it does not.
        let stored = self.config.outbox.is_some() && request.is_post();
        if stored {
            self.events.push_back(Event::Keep { id, message: message.clone(), deadline });
        }
        self.unacked.push(message, request, stored, deadline);
        Ok(id)
    }

    /// A post is in the outbox on disk, and is sent now; or it is not, and is refused.
    pub(crate) fn kept(&mut self, id: u64, result: Result<(), Error>) {
        match result {
            Ok(()) => self.unacked.make_ready(id),
            Err(why) => {
                if self.unacked.settle(id).is_some() {
                    self.events.push_back(Event::Settled(id, Err(why)));
                }
            }
        }
    }

    /// The application is done with a message. Is it to be remembered on disk first?
    pub(crate) fn ack(&mut self, id: &str) -> bool {
        if self.config.memory.is_none() {
            self.inbox.ack(id, matches!(self.phase, Phase::Online));
            return false;
        }
        let new = self.inbox.remember(id);
        if new {
            self.events.push_back(Event::Remember(id.to_owned()));
        }
        new
    }

    /// Are there acks for the link to take?
    pub(crate) fn owes_acks(&self) -> bool {
        self.inbox.owes_acks()
    }

    /// The id of an acked message is on disk, so the server may hear of it.
    pub(crate) fn remembered(&mut self, id: &str) {
        self.inbox.ack(id, matches!(self.phase, Phase::Online));
    }

    /// The application dropped a message unread: when it comes again, it is shown again.
    pub(crate) fn release(&mut self, id: &str) {
        self.inbox.release(id);
    }

    /// The shell has made the link.
    pub(crate) fn connected(&mut self, now: Instant) {
        let Phase::Connecting { until } = self.phase else { return };
        let Login { version, window, .. } = Login::asked(&self.config);
        let window = Some(window).filter(|_| version == Version::V2);
        let config = &self.config;
        self.login = request::login(&config.user, &config.node, window, config.takeover);
        if self.login.is_none() {
            return self.end(Error::Argument("names of more than 65,000 bytes"));
        }
        self.phase = Phase::LoggingIn { until };
        self.heard = now;
        self.pinged = false;
    }

    /// The peer gave a sign of life: it sent something, or took something that we sent.
    pub(crate) fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.pinged = false;
    }

    /// A whole message arrived. `random` is from 0 to 1, for the pause that may follow.
    pub(crate) fn received(&mut self, now: Instant, message: &Bytes, random: f64) {
        let reply = match Reply::parse(message) {
            Ok(reply) => reply,
            Err(error) => return self.lost(now, Error::Protocol(error.to_string()), random),
        };
        match (reply.op.as_str(), &self.phase) {
            ("quit", _) => self.quit(now, reply.info.as_deref().unwrap_or_default(), random),
            ("info", Phase::LoggingIn { .. }) => match Login::parse(message, &self.config) {
                Ok(login) => self.logged_in(login),
                Err(why) => self.lost(now, why, random),
            },
            (_, Phase::LoggingIn { .. }) => {
                let why = format!("{:?} in answer to login", reply.op);
                self.lost(now, Error::Protocol(why), random);
            }
            ("ack" | "status", Phase::Online) => self.acked(reply),
            ("registered", Phase::Online) if reply.id.is_none() => {
                let text = reply.error.unwrap_or_default();
                if let Some(taken) = self.unacked.settle_aliases() {
                    self.settled(taken, Err(Error::Rejected(text)));
                }
            }
            ("deliver" | "registered" | "listEdited", Phase::Online) => {
                self.delivered(now, reply, random);
            }
            // What a later server may say to older clients.
            _ => {}
        }
    }

    /// The link is gone, or never came to be.
    pub(crate) fn lost(&mut self, now: Instant, why: Error, random: f64) {
        if matches!(self.phase, Phase::Ended(_) | Phase::Pause { .. }) {
            return;
        }
        if !self.is_patient() {
            return self.end(why);
        }
        self.trouble = Some(why);
        self.login = None;
        self.inbox.disconnected();
        self.stats.resent += self.unacked.send_again() as u64;
        self.phase = Phase::Pause { until: now + self.pause(random) };
        self.attempts = self.attempts.saturating_add(1);
    }

    /// [`next_timeout`](Self::next_timeout) has come.
    pub(crate) fn timed_out(&mut self, now: Instant, random: f64) {
        while let Some(taken) = self.unacked.take_late(now) {
            let maybe_stored = taken.attempted;
            self.settled(taken, Err(Error::Deadline { maybe_stored }));
        }
        if self.next_step().is_none_or(|at| at > now) {
            return;
        }
        match self.phase {
            Phase::Pause { .. } => {
                self.phase = Phase::Connecting { until: now + self.config.login_timeout };
            }
            Phase::Connecting { .. } => {
                self.lost(now, Error::Lost("no connection in time".into()), random);
            }
            Phase::LoggingIn { .. } => {
                self.lost(now, Error::Lost("no answer to login in time".into()), random);
            }
            Phase::Online if self.expects_answer() => {
                self.lost(now, Error::Lost("the server is silent".into()), random);
            }
            Phase::Online => {
                self.pinged = true;
                self.heard = now;
                self.events.push_back(Event::Ping);
            }
            Phase::Ended(_) => {}
        }
    }

    /// The framing has no pings, so none will be answered.
    pub(crate) fn cannot_ping(&mut self) {
        self.pinged = false;
    }

    /// When to call [`timed_out`](Self::timed_out).
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        [self.next_step(), self.unacked.deadline()].into_iter().flatten().min()
    }

    /// When the phase has lasted too long.
    fn next_step(&self) -> Option<Instant> {
        match self.phase {
            Phase::Pause { until }
            | Phase::Connecting { until }
            | Phase::LoggingIn { until, .. } => Some(until),
            Phase::Online if self.expects_answer() => Some(self.heard + self.config.answer_timeout),
            Phase::Online => Some(self.heard + PING_AFTER),
            Phase::Ended(_) => None,
        }
    }

    /// The next message to send on the link that stands.
    pub(crate) fn poll_transmit(&mut self, now: Instant) -> Option<Bytes> {
        match self.phase {
            Phase::LoggingIn { .. } => self.login.take(),
            Phase::Online => {
                if let Some(ack) = self.inbox.poll_ack(self.peer.version) {
                    return Some(ack);
                }
                // What is late is not sent any more: first the timeout, which is due.
                if self.unacked.deadline().is_some_and(|deadline| deadline <= now) {
                    return None;
                }
                let expected = self.expects_answer();
                let message = self.unacked.poll_transmit()?;
                if !expected {
                    // From here on we wait.
                    self.heard = now;
                }
                Some(message)
            }
            _ => None,
        }
    }

    /// The next thing to tell.
    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Ends the client; what is unacked fails with `why`.
    pub(crate) fn end(&mut self, why: Error) {
        if matches!(self.phase, Phase::Ended(_)) {
            return;
        }
        for id in self.unacked.clear() {
            self.events.push_back(Event::Settled(id, Err(why.clone())));
        }
        self.phase = Phase::Ended(why);
    }

    fn logged_in(&mut self, login: Login) {
        if self.was_online {
            self.stats.reconnects += 1;
        }
        self.was_online = true;
        self.attempts = 0;
        self.trouble = None;
        self.phase = Phase::Online;
        self.peer = login.clone();
        self.events.push_back(Event::LoggedIn(login));
        // What waited while the link was down may have been meant for another kind of server.
        let (peer, most) = (&self.peer, self.config.max_message);
        let unfit = self.unacked.take_unfit(|size, needs_v2| peer.check(size, needs_v2, most));
        for (taken, why) in unfit {
            self.settled(taken, Err(why));
        }
    }

    /// A request is taken out, and this became of it.
    fn settled(&mut self, taken: Taken, result: Result<Receipt, Error>) {
        if taken.stored {
            self.events.push_back(Event::Discard(taken.id));
        }
        self.events.push_back(Event::Settled(taken.id, result));
    }

    /// Is what fails tried again?
    fn is_patient(&self) -> bool {
        self.was_online || self.config.begin_offline
    }

    fn expects_answer(&self) -> bool {
        self.pinged || self.unacked.expects_ack()
    }

    /// Half of the full pause, and a random part of the other half: clients that lost the same
    /// server do not all come back at once.
    fn pause(&self, random: f64) -> Duration {
        let doubled = self.config.min_pause.saturating_mul(1 << self.attempts.min(16));
        let half = doubled.min(self.config.max_pause).as_secs_f64() * 1000.0 / 2.0;
        // Whole milliseconds, as a client in another language has them.
        Duration::from_millis((half + half * random) as u64)
    }

    fn quit(&mut self, now: Instant, text: &str, random: f64) {
        match quits::verdict(text, self.is_patient()) {
            Verdict::TryAgain(why) => self.lost(now, why, random),
            Verdict::UnknownOp => {
                let newer = self.unacked.take_newer_sent();
                if newer.is_empty() {
                    return self.end(Error::Refused(text.to_owned()));
                }
                for taken in newer {
                    let why = "it is too old for this request".to_owned();
                    self.settled(taken, Err(Error::Rejected(why)));
                }
                self.lost(now, Error::Lost(text.to_owned()), random);
            }
            Verdict::End(why) => self.end(why),
            // Of what was sent, the largest is surely too large; what else is, the server will say.
            Verdict::TooLarge => match self.unacked.take_largest_sent() {
                Some(taken) => {
                    let too_large = Error::TooLarge(taken.size.saturating_sub(1));
                    self.settled(taken, Err(too_large));
                    self.lost(now, Error::Lost(text.to_owned()), random);
                }
                None => self.end(Error::Refused(text.to_owned())),
            },
        }
    }

    fn acked(&mut self, reply: Reply) {
        let id = reply.id.as_deref().and_then(|id| id.parse().ok());
        // An id that is not ours, or the second ack of a post sent twice.
        let Some(taken) = id.and_then(|id| self.unacked.settle(id)) else { return };
        let text = reply.error.as_deref().unwrap_or_default();
        let result = match (reply.kind.as_deref(), reply.op.as_str()) {
            (Some("ok"), _) | (None, "status") => {
                let warnings = text.lines().map(str::to_owned).collect();
                let (failed, etc) = (reply.failed(), reply.etc());
                let Reply { msgid, posted, dup, .. } = reply;
                Ok(Receipt { warnings, failed, msgid, posted, dup, etc })
            }
            _ => Err(Error::Rejected(text.to_owned())),
        };
        self.settled(taken, result);
    }

    fn delivered(&mut self, now: Instant, reply: Reply, random: f64) {
        let own = reply.from.as_deref() == Some(self.config.user.as_str());
        if own
            && reply.op == "registered"
            && let Some(taken) = self.unacked.settle_aliases()
        {
            self.settled(taken, Ok(Receipt::default()));
        }
        match self.inbox.receive(reply) {
            Ok(Some(letter)) => self.events.push_back(Event::Letter(letter)),
            Ok(None) => {}
            Err(why) => self.lost(now, Error::Protocol(why.into()), random),
        }
    }
}

/// The largest message that the server may send for one of `max_message` bytes: it adds a header.
pub(crate) fn largest_reply(max_message: usize) -> usize {
    max_message.saturating_add(MAX_HEADER + 4)
}
