//! How much waits, told from the names in directories and the lengths of their files.

use super::fault::{is_planted, missing};
use super::shop::Shop;
use super::{LINE, parse_name};
use crate::id::MessageId;
use crate::node::{NodeId, UserId};
use std::collections::{BTreeMap, HashSet};
use std::io;
use std::sync::Arc;

/// Files whose lengths are asked for at once.
const AT_ONCE: usize = 1024;

/// How much waits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// Messages.
    pub messages: u64,
    /// Bytes of messages as they are delivered.
    pub bytes: u64,
}

impl Amount {
    fn merge(&mut self, other: Self) {
        self.messages += other.messages;
        self.bytes += other.bytes;
    }

    fn add(&mut self, bytes: u64) {
        self.merge(Self { messages: 1, bytes });
    }

    /// A message more, by its file's length.
    pub(super) fn add_file(&mut self, len: u64) {
        self.add(len.saturating_sub(LINE as u64));
    }
}

/// How much waits for nodes, and for one node of users.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Measured {
    /// Nodes for which anything waits.
    pub nodes: BTreeMap<NodeId, Amount>,
    /// Users for one node of whom anything waits.
    pub to_one: BTreeMap<UserId, Amount>,
}

impl Measured {
    pub(crate) fn add(&mut self, node: NodeId, bytes: u64) {
        self.nodes.entry(node).or_default().add(bytes);
    }

    pub(crate) fn add_to_one(&mut self, user: UserId, bytes: u64) {
        self.to_one.entry(user).or_default().add(bytes);
    }

    pub(crate) fn merge(&mut self, other: Self) {
        for (node, amount) in other.nodes {
            self.nodes.entry(node).or_default().merge(amount);
        }
        for (user, amount) in other.to_one {
            self.to_one.entry(user).or_default().merge(amount);
        }
    }
}

/// A node's directory, to be measured.
#[derive(Debug)]
pub struct ToMeasure {
    /// The node.
    pub node: NodeId,
    /// Its directory.
    pub directory: Arc<str>,
    /// What is not to be counted.
    pub except: HashSet<MessageId>,
}

impl Shop<'_> {
    /// Counts what waits up to an id in directories. Of what is for one node of its user, and may be
    /// in several directories, `seen` is not counted.
    pub(super) fn measure(
        &mut self,
        up_to: MessageId,
        directories: &[ToMeasure],
        mut seen: HashSet<MessageId>,
    ) -> io::Result<Measured> {
        let disk = self.disk;
        let mut measured = Measured::default();
        for ToMeasure { node, directory, except } in directories {
            let mut names = Vec::new();
            let mut result = Ok(());
            let mut count = |names: &mut Vec<String>, to_one: bool| {
                for len in disk.lengths(directory, names) {
                    match len {
                        Ok(len) => {
                            let len = len.saturating_sub(LINE as u64);
                            match to_one {
                                true => measured.add_to_one(node.user, len),
                                false => measured.add(*node, len),
                            }
                        }
                        // Somebody removed it.
                        Err(error) if missing(&error) => {}
                        Err(error) => result = Err(error),
                    }
                }
                names.clear();
            };
            let mut names_to_one = Vec::new();
            let listed = disk.for_each_name(directory, &mut |name| {
                let Some((id, to_one)) = parse_name(name).filter(|(id, _)| *id <= up_to) else {
                    return;
                };
                let (names, is_counted) = match to_one {
                    true => (&mut names_to_one, seen.insert(id)),
                    false => (&mut names, !except.contains(&id)),
                };
                if is_counted {
                    names.push(name.to_owned());
                    if names.len() >= AT_ONCE {
                        count(names, to_one);
                    }
                }
            });
            count(&mut names, false);
            count(&mut names_to_one, true);
            match listed {
                Err(error) if missing(&error) => {}
                Err(error) if is_planted(&error) => self.set_aside(directory)?,
                listed => listed?,
            }
            result?;
        }
        Ok(measured)
    }
}
