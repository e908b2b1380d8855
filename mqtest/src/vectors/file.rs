//! The format: a file of vectors, each a small conversation, step by step.
//!
//! A step is something a client does, and what was seen on every connection after it. A `send`
//! is told by its `header` (with `etc` and `data`), by its whole `payload_latin1`, or, where the
//! frame itself is the point, by its bytes in `hex`. `<ID1>` stands for the first id the server
//! made, `<DATE>` for a time. Fields we do not use (stores, registries of the original) are
//! skipped, so that a file fresh from the observer can be replayed too.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// One observed conversation on a fresh store.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Vector {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) doc: String,
    #[serde(default)]
    pub(crate) group: String,
    #[serde(default)]
    pub(crate) class: Vec<String>,
    #[serde(default)]
    pub(crate) setup: Vec<Step>,
    pub(crate) send: Step,
    #[serde(default)]
    pub(crate) expect: Vec<Observed>,
    #[serde(default)]
    pub(crate) then: Vec<Step>,
    /// Why the observer could not write it down completely.
    pub(crate) not_replayable: Option<String>,
}

impl Vector {
    /// The whole conversation in order, what is expected of `send` with it.
    pub(crate) fn steps(&self) -> anyhow::Result<Vec<Step>> {
        let mut send = self.send.clone();
        send.observed.extend(self.expect.iter().cloned());
        let mut steps = Vec::new();
        for step in self.setup.iter().chain([&send]).chain(&self.then) {
            steps.extend(step.expanded()?);
        }
        for step in &steps {
            step.check().with_context(|| format!("in vector {}", self.name))?;
        }
        Ok(steps)
    }

    /// How long its waits are, in milliseconds: the long ones are started first.
    pub(crate) fn waits(&self) -> u64 {
        let steps = self.setup.iter().chain([&self.send]).chain(&self.then);
        steps.filter_map(|step| step.ms).sum()
    }

    /// Whether it does anything to the server itself.
    pub(crate) fn acts_on_server(&self) -> bool {
        let mut steps = self.setup.iter().chain([&self.send]).chain(&self.then);
        steps.any(|step| step.what_to_do == Do::Action)
    }

    /// Whether it is of a class: `spec`, `race`, `crash` and so on.
    pub(crate) fn is(&self, class: &str) -> bool {
        self.class.iter().any(|c| c == class)
    }
}

/// One step of a conversation.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Step {
    #[serde(rename = "do")]
    pub(crate) what_to_do: Do,
    #[serde(default)]
    pub(crate) conn: String,
    /// The header of a request, its text kept as it stands.
    pub(crate) header: Option<Box<RawValue>>,
    /// The same as a string, for a file that is not JSON.
    pub(crate) header_text: Option<String>,
    pub(crate) etc: Option<Box<RawValue>>,
    pub(crate) data: Option<String>,
    pub(crate) data_fill: Option<Fill>,
    pub(crate) payload_latin1: Option<String>,
    pub(crate) hex: Option<String>,
    /// Bytes that follow those of `hex`.
    pub(crate) fill: Option<Fill>,
    /// Every byte in a segment of its own.
    #[serde(default)]
    pub(crate) bytewise: bool,
    /// The step once for each number from the first to the second, which replaces `<N>`.
    pub(crate) each: Option<(u32, u32)>,
    pub(crate) ms: Option<u64>,
    pub(crate) what: Option<String>,
    pub(crate) result: Option<Value>,
    #[serde(default)]
    pub(crate) observed: Vec<Observed>,
}

/// What a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Do {
    Connect,
    Send,
    /// `81 00`, then FIN.
    SendCloseFrame,
    ClientFin,
    ClientRst,
    Wait,
    /// A look into the original's store, which tells nothing about ours.
    Look,
    /// Something done to the server itself, see [`super::action`].
    Action,
}

/// A byte many times.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Fill {
    byte: String,
    count: usize,
}

impl Fill {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.byte.as_bytes().repeat(self.count)
    }
}

/// What was seen on a connection: a message, a close frame or the end.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Observed {
    pub(crate) conn: String,
    /// When, after the step; only long times mean anything.
    pub(crate) after_ms: Option<u64>,
    pub(crate) header_text: Option<String>,
    /// In place of `header_text` when the text was a JavaScript engine's own.
    pub(crate) header: Option<Value>,
    pub(crate) etc_text: Option<String>,
    pub(crate) data: Option<String>,
    pub(crate) data_len: Option<usize>,
    pub(crate) data_fill: Option<Fill>,
    #[serde(default)]
    pub(crate) close_frame: bool,
    pub(crate) closed: Option<String>,
}

impl Observed {
    /// Whether it is a quit whose text came from the original's JavaScript engine.
    pub(crate) fn is_engine_text(&self) -> bool {
        let info = self.header.as_ref().and_then(|h| h.get("info"));
        self.header_text.is_none() && info.is_some_and(|info| info == "<engine text>")
    }

    pub(crate) fn is_message(&self) -> bool {
        !self.close_frame && self.closed.is_none()
    }

    fn check(&self) -> anyhow::Result<()> {
        let message = self.header_text.is_some() || self.is_engine_text();
        let kinds = [message, self.close_frame, self.closed.is_some()];
        let kinds = kinds.iter().filter(|is| **is).count();
        ensure!(kinds == 1, "not a message, a close frame or an end: {self:?}");
        if let Some(closed) = &self.closed {
            ensure!(closed == "FIN" || closed == "RST", "closed by {closed:?}?");
        }
        Ok(())
    }
}

impl Step {
    /// A header as text, whichever way it was written.
    pub(crate) fn header_text(&self) -> Option<&str> {
        self.header_text.as_deref().or_else(|| self.header.as_ref().map(|h| h.get()))
    }

    fn expanded(&self) -> anyhow::Result<Vec<Self>> {
        let Some((from, to)) = self.each else { return Ok(vec![self.clone()]) };
        let header = self.header_text().context("`each` is for a step with a header")?;
        let one = |n: u32| {
            let mut step = self.clone();
            (step.each, step.header) = (None, None);
            step.header_text = Some(header.replace("<N>", &n.to_string()));
            for text in step.observed.iter_mut().filter_map(|o| o.header_text.as_mut()) {
                *text = text.replace("<N>", &n.to_string());
            }
            step
        };
        Ok((from..=to).map(one).collect())
    }

    fn check(&self) -> anyhow::Result<()> {
        for observed in &self.observed {
            observed.check()?;
        }
        match self.what_to_do {
            Do::Connect | Do::Send | Do::SendCloseFrame | Do::ClientFin | Do::ClientRst => {
                ensure!(!self.conn.is_empty(), "a step without a connection: {self:?}");
            }
            Do::Wait => ensure!(self.ms.is_some(), "a wait without a time"),
            Do::Action => ensure!(self.what.is_some(), "an action without a name"),
            Do::Look => {}
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct File {
    /// The group of all its vectors, unless they name their own.
    #[serde(default)]
    group: String,
    vectors: Vec<Vector>,
}

/// Reads the vectors of some files, or of all `.json` files of a directory.
pub(crate) fn read(paths: &[PathBuf]) -> anyhow::Result<Vec<Vector>> {
    let mut vectors: Vec<Vector> = Vec::new();
    for path in paths {
        if !path.is_dir() {
            vectors.extend(read_one(path)?);
            continue;
        }
        let cannot = || format!("cannot list {}", path.display());
        let mut files = Vec::new();
        for entry in std::fs::read_dir(path).with_context(cannot)? {
            files.push(entry.with_context(cannot)?.path());
        }
        files.retain(|file| file.extension().is_some_and(|e| e == "json"));
        files.sort();
        for file in files {
            vectors.extend(read_one(&file)?);
        }
    }
    let mut names: Vec<&str> = vectors.iter().map(|v| v.name.as_str()).collect();
    names.sort_unstable();
    if let Some(twice) = names.windows(2).find(|two| two[0] == two[1]) {
        bail!("two vectors are called {}", twice[0]);
    }
    Ok(vectors)
}

fn read_one(path: &Path) -> anyhow::Result<Vec<Vector>> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut file: File = serde_json::from_str(&text)
        .with_context(|| format!("{} is not a file of vectors", path.display()))?;
    for vector in &mut file.vectors {
        if vector.group.is_empty() {
            vector.group.clone_from(&file.group);
        }
    }
    Ok(file.vectors)
}
