//! What a check found, and how much.

use serde::Serialize;
use std::fmt;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Weight {
    /// It is not as it should be.
    Wrong,
    /// It was not, and is now.
    Mended,
    /// Good to know, and harmless.
    Note,
}

/// Something that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How much it matters.
    pub weight: Weight,
    /// What it is about, below the store.
    pub path: String,
    /// What is wrong with it.
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weight = match self.weight {
            Weight::Wrong => "",
            Weight::Mended => "mended: ",
            Weight::Note => "note: ",
        };
        write!(f, "{weight}{}: {}", self.path, self.text)
    }
}

/// What there is, in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Files and directories that were looked at.
    pub things: u64,
    /// Users.
    pub users: u64,
    /// Nodes of all users.
    pub nodes: u64,
    /// Messages that wait in the spool, counted for each node.
    pub messages: u64,
    /// Records of the journal that are still needed.
    pub records: u64,
    /// Files in the quarantine, reasons not counted.
    pub quarantined: u64,
    /// What is wrong.
    pub wrong: u64,
    /// What was wrong, and is mended.
    pub mended: u64,
    /// What is good to know.
    pub notes: u64,
}

impl Counts {
    /// Was nothing wrong?
    pub fn is_well(&self) -> bool {
        self.wrong == 0 && self.mended == 0
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { users, nodes, messages, records, quarantined, wrong, mended, notes, .. } = self;
        write!(
            f,
            "{users} users, {nodes} nodes, {messages} messages filed, {records} records in the \
             journal, {quarantined} files in quarantine; {wrong} things wrong, {mended} mended, \
             {notes} to be noted"
        )
    }
}
