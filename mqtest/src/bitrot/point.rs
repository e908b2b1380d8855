//! One point: something is damaged, and a server starts on it. What must hold then.

use super::life::{Life, birth, config};
use super::scene::{Clients, STRANGERS, Scene, USERS, seq_of};
use super::tree::Tree;
use mqlib::check::{self, CheckError, Finding, Mend, Watch, Weight};
use mqlib::testing::disk::SimDisk;
use mqlib::testing::history::{History, NodeRef, Violation};
use std::collections::{BTreeSet, HashMap};

/// What is done to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Damage {
    /// A bit is flipped.
    Flip { at: usize, bit: u8 },
    /// It is cut to a length.
    Cut(usize),
}

/// A file and what is done to it.
#[derive(Debug, Clone)]
pub(super) struct Point {
    pub(super) path: String,
    pub(super) file: usize,
    pub(super) damage: Damage,
}

/// How it ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    /// Nobody reads what was damaged: all was delivered, and nothing told.
    Meaningless,
    /// All was delivered; `check` finds the damage, and the server had no use for it.
    Unread,
    /// A list of what a node has posted was cut behind an entry, which nobody can know: what is posted
    /// again is stored again.
    Forgotten,
    /// Told, and all was delivered.
    Harmless,
    /// Told and kept, and what was damaged is not delivered.
    Lost,
    /// The start was refused, in vain for nobody: after a repair all was delivered.
    Refused,
    /// The same, but for what was damaged.
    RefusedAndLost,
}

/// How long an entry of what a node has posted is.
const SLOT: usize = 36;

/// Collects what a check finds wrong.
#[derive(Default)]
struct Found(Vec<String>);

impl Watch for Found {
    fn found(&mut self, finding: Finding) {
        if finding.weight != Weight::Note {
            self.0.push(finding.to_string());
        }
    }
}

/// What a check, or a repair, finds wrong.
pub(super) fn look(disk: &SimDisk, mend: bool) -> Result<Vec<String>, CheckError> {
    let mend = mend.then(|| Mend { config: config(), birth: birth() });
    let mut found = Found::default();
    check::check(disk, mend.as_ref(), &mut found)?;
    found.0.sort();
    Ok(found.0)
}

/// What the harness does wrong on purpose, to show that it would notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Control {
    /// The checksums of damaged messages are made right: the bodies are not
    Forge,
    /// Damaged files are removed, as by a server that throws away what it cannot read
    Remove,
}

impl Point {
    /// Damages the store, starts on it, and delivers all that can be.
    ///
    /// # Errors
    /// What was broken, in words.
    pub(super) fn run(&self, scene: &Scene, control: Option<Control>) -> Result<Outcome, String> {
        let mut damaged = scene.tree.clone();
        self.apply(damaged.content_mut(self.file), control);
        let io = |error: std::io::Error| format!("the harness: {error}");
        let disk = damaged.to_disk().map_err(io)?;
        if control == Some(Control::Remove) {
            use mqlib::disk::Disk;
            disk.unlink(&self.path).map_err(io)?;
        }
        let before = Tree::read(&disk).map_err(io)?;
        let found = look(&disk, false).map_or(true, |found| found != scene.wrong);
        self.is_unchanged(&before, &disk, "a check")?;
        let mut told = Vec::new();
        let mut refused = false;
        let mut life = match Life::open(&disk) {
            Ok(life) => life,
            Err(error) => {
                refused = true;
                let text = error.to_string();
                if !text.contains(&self.path) && !text.contains(self.part()) {
                    return Err(format!("refused, and the file is not named: {text}"));
                }
                self.is_unchanged(&before, &disk, "a start that was refused")?;
                if !found {
                    return Err(format!("a check finds nothing, and a start is refused: {text}"));
                }
                told = look(&disk, true).map_err(|error| format!("cannot be repaired: {error}"))?;
                Life::open(&disk).map_err(|error| format!("refused after a repair: {error}"))?
            }
        };
        let mut history = scene.history.clone();
        let broken = |error: anyhow::Error| format!("the server fails: {error:#}");
        let away = self.deliver(scene, &mut life, &mut history).map_err(broken)?;
        told.append(&mut life.told);
        let users = life.broker.directory().users();
        for (_, user) in users {
            if !USERS.iter().any(|(name, _)| *name == &*user.name) {
                return Err(format!("there is a user {}", user.name));
            }
        }
        drop(life);
        let after = Tree::read(&disk).map_err(io)?;
        let (_, violations) = history.close();
        let lost = self.judge(scene, &violations, &told, &away)?;
        for stranger in STRANGERS {
            if self.path != stranger && after.get(stranger) != scene.tree.get(stranger) {
                return Err(format!("{stranger} is not what it was"));
            }
        }
        if !told.is_empty() && !found {
            return Err(format!("a check finds nothing, and a server says {told:?}"));
        }
        if lost && after.below("quarantine/").count() == 0 {
            return Err("nothing is kept of what was lost".into());
        }
        if self.is_forgotten() && violations.iter().any(|it| matches!(it, Violation::Twice { .. }))
        {
            return Ok(Outcome::Forgotten);
        }
        Ok(match (refused, lost, told.is_empty(), found) {
            (true, true, ..) => Outcome::RefusedAndLost,
            (true, ..) => Outcome::Refused,
            (_, true, ..) => Outcome::Lost,
            (_, _, false, _) => Outcome::Harmless,
            (_, _, true, true) => Outcome::Unread,
            _ => Outcome::Meaningless,
        })
    }

    fn apply(&self, content: &mut Vec<u8>, control: Option<Control>) {
        match self.damage {
            Damage::Flip { at, bit } => content[at] ^= 1 << bit,
            Damage::Cut(len) => content.truncate(len),
        }
        const LINE: usize = "websocket.MQ 1 crc32c:01234567 length:0123456789\n".len();
        if control == Some(Control::Forge) && self.path.starts_with("spool/") {
            let Some(message) = content.get(LINE..) else { return };
            let (crc, len) = (crc32c::crc32c(message), message.len());
            let line = format!("websocket.MQ 1 crc32c:{crc:08x} length:{len:010}\n");
            content[..LINE].copy_from_slice(line.as_bytes());
        }
    }

    /// Is it a cut that leaves only whole entries?
    fn is_forgotten(&self) -> bool {
        let Damage::Cut(len) = self.damage else { return false };
        self.part() == "posted" && len.is_multiple_of(SLOT)
    }

    /// The part of the store that the file is of.
    fn part(&self) -> &str {
        self.path.split('/').next().unwrap_or_default()
    }

    fn is_unchanged(&self, before: &Tree, disk: &SimDisk, by: &str) -> Result<(), String> {
        let after = Tree::read(disk).map_err(|error| format!("the harness: {error}"))?;
        match before.difference(&after) {
            Some(path) => Err(format!("{path} was changed by {by}")),
            None => Ok(()),
        }
    }

    /// Everyone comes and takes what there is; then the poster repeats itself. Who could not log in.
    fn deliver(
        &self,
        scene: &Scene,
        life: &mut Life,
        history: &mut History,
    ) -> anyhow::Result<Vec<NodeRef>> {
        let mut clients = Clients { history, links: HashMap::new() };
        let away = clients.login(life)?;
        for (seq, to, size) in &scene.again {
            clients.post(life, *seq, to, *size);
            let heard = life.work()?;
            clients.hear(life, heard)?;
        }
        Ok(away)
    }

    /// Is what was broken no more than what the damage explains, and was it told? Was anything lost?
    fn judge(
        &self,
        scene: &Scene,
        violations: &[Violation],
        told: &[String],
        away: &[NodeRef],
    ) -> Result<bool, String> {
        let salvaged = self.part() == "directory.redb" && !told.is_empty();
        if let (Some(node), false) = (away.first(), salvaged) {
            return Err(format!("{node} cannot log in"));
        }
        let at_risk = self.at_risk(scene);
        let most = match self.damage {
            Damage::Flip { .. } => 1,
            Damage::Cut(_) => usize::MAX,
        };
        let mut lost = BTreeSet::new();
        for violation in violations {
            match violation {
                Violation::Lost { node, .. } if away.contains(node) => {
                    lost.insert(0);
                }
                Violation::Lost { post, .. } if at_risk.contains(&post.seq) => {
                    lost.insert(post.seq);
                }
                // A post that was lost, and is posted again, comes behind what was posted later.
                Violation::SenderOrder { post, .. }
                    if at_risk.contains(&post.seq) && !told.is_empty() =>
                {
                    lost.insert(post.seq);
                }
                // What a node has acked, and what it has posted, may be forgotten with the record.
                Violation::Deleted { .. } | Violation::Twice { .. } | Violation::Id { .. }
                    if self.part() == "journal" && !told.is_empty() => {}
                Violation::Twice { .. } if self.part() == "posted" && !told.is_empty() => {}
                Violation::Twice { .. } if self.is_forgotten() => {}
                violation => return Err(format!("{violation}; told: {told:?}")),
            }
        }
        if !lost.is_empty() && told.is_empty() {
            return Err(format!("lost without a word: posts {lost:?}"));
        }
        if lost.len() > most && away.is_empty() {
            return Err(format!("a flipped bit cost the posts {lost:?}"));
        }
        Ok(!lost.is_empty())
    }

    /// The posts that the damage may cost.
    fn at_risk(&self, scene: &Scene) -> BTreeSet<u64> {
        match self.part() {
            "journal" => scene.unfiled.iter().copied().collect(),
            "spool" => {
                let content = scene.tree.content(self.file);
                let starts = content.windows(5).enumerate().filter(|(_, five)| *five == b"post ");
                starts.filter_map(|(at, _)| seq_of(&content[at..])).collect()
            }
            _ => BTreeSet::new(),
        }
    }
}
