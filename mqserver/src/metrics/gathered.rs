//! All that is told at a moment, and the metrics that say it.

use super::family::{Family, Kind, Label, NANOS, Value};
use super::figures::{BrokerFigures, StoreFigures};
use super::process::Process;
use super::room::Room;
use crate::config::Config;
use crate::door::ledger::Ledger;
use mqlib::histogram::Histogram;
use mqlib::request::Op;
use std::time::{Duration, SystemTime};
use wsstream::Framing;

/// What was gathered. What nobody could tell is missing, and its metrics with it.
#[derive(Debug)]
pub(crate) struct Gathered {
    /// Since the start.
    pub(crate) uptime: Duration,
    /// By the wall clock.
    pub(crate) started: SystemTime,
    /// What the broker's task said last, and how long ago that was.
    pub(crate) broker: Option<(BrokerFigures, Duration)>,
    /// The same of the store.
    pub(crate) store: Option<(StoreFigures, Duration)>,
    /// Messages that wait, counted for each node; once the spool was counted.
    pub(crate) waiting: Option<u64>,
    pub(crate) room: Option<Room>,
    pub(crate) process: Option<Process>,
    /// How long hashes took, in nanoseconds, and how many are made or wait for their turn.
    pub(crate) hashes: (Histogram, u64),
    /// When the certificate expires, in seconds since 1970.
    pub(crate) expires: Option<i64>,
    pub(crate) limits: Limits,
}

/// Limits that are told beside what they limit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) connections: usize,
    pub(crate) backlog: usize,
    /// Bytes.
    pub(crate) min_free: u64,
}

impl Limits {
    pub(crate) fn of(config: &Config) -> Self {
        Self {
            connections: config.door.connections,
            backlog: config.storage.backlog,
            min_free: config.storage.min_free,
        }
    }
}

impl Gathered {
    /// The metrics. Each is described in `doc/metrics.md`.
    pub(crate) fn families(&self, ledger: &Ledger) -> Vec<Family> {
        let mut families = Vec::new();
        self.about_the_doors(ledger, &mut families);
        if let Some((broker, silent)) = &self.broker {
            about_the_broker(broker, &mut families);
            families.push(Family::real(
                "mqserver_broker_silent_seconds",
                "Time since the broker's task answered last",
                silent.as_secs_f64(),
            ));
        }
        self.about_limits(ledger, &mut families);
        if let Some((store, silent)) = &self.store {
            about_the_store(store, &mut families);
            families.push(Family::real(
                "mqserver_store_silent_seconds",
                "Time since the thread that writes the journal answered last",
                silent.as_secs_f64(),
            ));
        }
        self.about_the_disk(&mut families);
        self.about_the_process(&mut families);
        families
    }

    fn about_the_doors(&self, ledger: &Ledger, families: &mut Vec<Family>) {
        let links: Vec<_> = ledger.links().collect();
        let labels = |(framing, is_tls): (Framing, bool)| -> Vec<Label> {
            let framing = match framing {
                Framing::Raw => "raw",
                Framing::WebSocket => "websocket",
            };
            vec![("framing", framing), ("tls", if is_tls { "true" } else { "false" })]
        };
        let now = links.iter().map(|(speech, now, _)| (labels(*speech), Value::Whole(*now)));
        let ever = links.iter().map(|(speech, _, ever)| (labels(*speech), Value::Whole(*ever)));
        let (hashes, hashing) = &self.hashes;
        families.extend([
            Family::of(
                "mqserver_connections",
                "Connections that have shaken hands",
                Kind::Gauge,
                now,
            ),
            Family::of(
                "mqserver_connections_opened",
                "Connections that have shaken hands since the start",
                Kind::Counter,
                ever,
            ),
            Family::gauge(
                "mqserver_connections_limit",
                "Connections there may be in all (limits.connections)",
                self.limits.connections as u64,
            ),
            Family::by(
                "mqserver_handshakes_failed",
                "Handshakes that failed, or were not over in time",
                Kind::Counter,
                "handshake",
                ledger.handshakes_failed(),
            ),
            Family::by(
                "mqserver_quits",
                "Connections that the server ended with a quit, by its reason",
                Kind::Counter,
                "reason",
                ledger.quits(),
            ),
            Family::sizes(
                "mqserver_hash_seconds",
                "Time to hash a node's name, once its turn has come",
                *hashes,
                NANOS,
            ),
            Family::gauge(
                "mqserver_hashes_pending",
                "Names of nodes that are being hashed, or wait for their turn",
                *hashing,
            ),
        ]);
        let expires = |at| {
            let help = "When the TLS certificate expires, in seconds since 1970";
            Family::real("mqserver_tls_certificate_expiry_timestamp_seconds", help, at)
        };
        families.extend(self.expires.map(|at| expires(at as f64)));
    }

    /// Those of the doors, the broker and the store are one metric.
    fn about_limits(&self, ledger: &Ledger, families: &mut Vec<Family>) {
        let mut hits: Vec<(&'static str, u64)> = ledger.limits().into_iter().collect();
        if let Some((broker, _)) = &self.broker {
            hits.extend(broker.totals.limits().map(|(limit, count)| (limit.name(), count)));
        }
        if let Some((store, _)) = &self.store {
            hits.push(("spool.backlog", store.totals.backlog_met));
            hits.push(("journal.segments", store.totals.journal_met));
        }
        families.push(Family::by(
            "mqserver_limit_hits",
            "How often a limit was met, by its name in the configuration",
            Kind::Counter,
            "limit",
            hits,
        ));
    }

    fn about_the_disk(&self, families: &mut Vec<Family>) {
        families.extend([
            Family::gauge(
                "mqserver_filing_backlog_limit",
                "Messages in the journal only at which posters wait (spool.backlog)",
                self.limits.backlog as u64,
            ),
            Family::gauge(
                "mqserver_disk_min_free_bytes",
                "Free bytes below which posts are refused (spool.min_free_mib)",
                self.limits.min_free,
            ),
        ]);
        families.extend(self.waiting.map(|waiting| {
            let help = "Messages that wait, counted for each node, about";
            Family::gauge("mqserver_messages_waiting", help, waiting)
        }));
        if let Some(Room { free, size }) = self.room {
            families.extend([
                Family::gauge(
                    "mqserver_disk_free_bytes",
                    "Free bytes on the store's file system",
                    free,
                ),
                Family::gauge("mqserver_disk_size_bytes", "Size of the store's file system", size),
            ]);
        }
    }

    fn about_the_process(&self, families: &mut Vec<Family>) {
        let version = vec![("version", env!("CARGO_PKG_VERSION"))];
        let started = self.started.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        families.extend([
            Family::of(
                "mqserver_build_info",
                "Always 1; the version is its label",
                Kind::Gauge,
                [(version, Value::Whole(1))],
            ),
            Family::real(
                "mqserver_uptime_seconds",
                "Time since the start",
                self.uptime.as_secs_f64(),
            ),
            Family::real(
                "process_start_time_seconds",
                "When the process started, in seconds since 1970",
                started.as_secs_f64(),
            ),
        ]);
        let Some(process) = self.process else { return };
        families.extend([
            Family::of(
                "process_cpu_seconds",
                "Processor time, in user and system mode",
                Kind::Counter,
                [(vec![], Value::Real(process.cpu_seconds))],
            ),
            Family::gauge("process_resident_memory_bytes", "Resident memory", process.resident),
            Family::gauge("process_virtual_memory_bytes", "Address space", process.virtual_memory),
            Family::gauge("process_open_fds", "Open files", process.open_files),
            Family::gauge("process_max_fds", "Files that may be open", process.max_files),
            Family::gauge("process_threads", "Threads", process.threads),
        ]);
    }
}

fn about_the_broker(broker: &BrokerFigures, families: &mut Vec<Family>) {
    let BrokerFigures { counts, totals } = broker;
    let whole = |count: usize| count as u64;
    families.extend([
        Family::gauge("mqserver_nodes_online", "Nodes that are logged in", whole(counts.online)),
        Family::gauge("mqserver_users", "Users", whole(counts.users)),
        Family::gauge("mqserver_nodes", "Nodes of all users", whole(counts.nodes)),
        Family::gauge("mqserver_lists", "Lists", whole(counts.lists)),
        Family::by(
            "mqserver_requests",
            "Requests, by their op; those that were refused among them",
            Kind::Counter,
            "op",
            totals.requests().map(|(op, count)| (op.name(), count)),
        ),
        Family::by(
            "mqserver_refusals",
            "Requests that were answered with an error, by whether a limit, the disk or the request \
             is to be changed",
            Kind::Counter,
            "reason",
            totals.refused().map(|(why, count)| (why.name(), count)),
        ),
        Family::counter(
            "mqserver_reposts",
            "Posts that were repeated, and stored once",
            totals.repeated,
        ),
        Family::counter(
            "mqserver_deliveries",
            "Messages sent to a node, for the first time on its connection",
            totals.delivered,
        ),
        Family::counter(
            "mqserver_redeliveries",
            "Messages sent once more, for they were not acked in time",
            totals.redelivered,
        ),
        Family::counter("mqserver_acks", "Messages that a node has acked", totals.acked),
        Family::counter(
            "mqserver_messages_removed",
            "Messages removed from a queue though nobody has acked them",
            totals.removed,
        ),
        Family::counter(
            "mqserver_bounces",
            "Messages that were removed, of which their senders were told",
            totals.bounced,
        ),
        Family::sizes(
            "mqserver_post_ack_seconds",
            "Time from reading a post to its ack, of those that were stored",
            totals.to_ack,
            NANOS,
        ),
        Family::sizes(
            "mqserver_post_delivery_seconds",
            "Time from reading a post to its first delivery to each node that was online",
            totals.to_delivery,
            NANOS,
        ),
    ]);
}

fn about_the_store(store: &StoreFigures, families: &mut Vec<Family>) {
    let StoreFigures { totals, state, work } = store;
    let whole = |count: usize| count as u64;
    families.extend([
        Family::counter("mqserver_messages_committed", "Messages made durable", totals.committed),
        Family::counter("mqserver_acks_committed", "Acks of messages made durable", totals.acked),
        Family::counter(
            "mqserver_directory_edits",
            "Changes of users and lists made durable",
            totals.edits,
        ),
        Family::sizes(
            "mqserver_commit_seconds",
            "Time to make a batch durable",
            work.commits,
            NANOS,
        ),
        Family::sizes("mqserver_commit_messages", "Messages in a batch", work.messages, 1.0),
        Family::sizes(
            "mqserver_commit_bytes",
            "Bytes that a batch takes in the journal",
            work.bytes,
            1.0,
        ),
        Family::counter(
            "mqserver_journal_written_bytes",
            "Bytes written to the journal",
            totals.written,
        ),
        Family::gauge("mqserver_journal_segments", "Segments", whole(state.segments)),
        Family::gauge(
            "mqserver_journal_segments_used",
            "Segments that hold what may still be needed",
            whole(state.segments_used),
        ),
        Family::gauge("mqserver_journal_size_bytes", "Size of the journal", state.journal_bytes),
        Family::gauge(
            "mqserver_journal_used_bytes",
            "Bytes of the journal that are taken",
            state.journal_taken,
        ),
        Family::sizes(
            "mqserver_spool_sync_seconds",
            "Time to sync the file system, before a segment is used again",
            work.syncs,
            NANOS,
        ),
        Family::counter("mqserver_messages_filed", "Messages written to files", totals.filed),
        Family::gauge(
            "mqserver_filing_backlog",
            "Messages that are in the journal only",
            whole(state.backlog),
        ),
        Family::gauge(
            "mqserver_store_full",
            "1 while posts are refused because the disk is full",
            u64::from(state.full),
        ),
    ]);
}

/// Posts and pings so far.
pub(crate) fn posts(broker: &BrokerFigures) -> u64 {
    let is_post = |op: &Op| matches!(op, Op::Post | Op::Ping);
    broker.totals.requests().filter(|(op, _)| is_post(op)).map(|(_, count)| count).sum()
}
