//! What the store has done, and how it stands, for the operator.

use super::Store;

/// What was done in this life.
#[derive(Debug, Clone, Copy, Default)]
pub struct Totals {
    /// Messages made durable.
    pub committed: u64,
    /// Acks made durable, one for each message.
    pub acked: u64,
    /// Changes of the directory made durable.
    pub edits: u64,
    /// Bytes written to the journal, in whole blocks.
    pub written: u64,
    /// Messages written to files.
    pub filed: u64,
    /// Names of messages made in the queues of nodes, less those removed; about, for what a dropped
    /// node leaves, or what is damaged, is not counted.
    pub names: i64,
    /// How often a message had to wait for `backlog` others to be filed or acked.
    pub backlog_met: u64,
    /// How often a batch had to wait for a segment of the journal.
    pub journal_met: u64,
}

/// How it stands now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// Messages in the journal only.
    pub backlog: usize,
    /// The same, counted for each node that they wait for.
    pub unfiled: usize,
    /// Of the backlog, messages that may have files already: a restart, or a full disk, left them.
    pub doubtful: usize,
    /// Segments of the journal.
    pub segments: usize,
    /// Those that hold what may still be needed.
    pub segments_used: usize,
    /// Bytes of the journal.
    pub journal_bytes: u64,
    /// Those that are taken.
    pub journal_taken: u64,
    /// Posts are refused, for the disk is full.
    pub full: bool,
}

impl Store {
    /// What was done in this life.
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// How it stands: looks at every message that is in the journal only.
    pub fn state(&self) -> State {
        State {
            backlog: self.index.live(),
            unfiled: self.unfiled(),
            doubtful: self.index.iter().filter(|entry| entry.recovered).count(),
            segments: self.journal.segments(),
            segments_used: self.journal.in_use(),
            journal_bytes: self.journal.bytes(),
            journal_taken: self.journal.taken(),
            full: self.space.is_short() || !self.refile.is_empty(),
        }
    }
}
