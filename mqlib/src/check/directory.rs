//! The directory's database: whole, and true in itself.

use super::{Check, CheckError, Weight};
use crate::directory::Directory;
use crate::disk::Kind;
use crate::name;
use crate::node::MAX_NODES;
use crate::registry::{self, Lost, Registry, RegistryError};
use crate::spool;
use std::collections::HashSet;

/// How many numbers of lost users are told.
const TOLD: usize = 20;

impl Check<'_> {
    pub(super) fn directory(&mut self) -> Result<(), CheckError> {
        let there = self.stands(registry::PATH, Kind::File)?;
        if !there {
            if self.disk.exists("journal/0").unwrap_or(false) {
                self.wrong(registry::PATH, "it is missing, and the journal is not");
            }
            return Ok(());
        }
        let directory = match Registry::look(self.disk) {
            Err(error @ RegistryError::Newer(_)) => {
                return Err(CheckError::Store(error.to_string()));
            }
            Err(error) => match self.salvage(&error)? {
                Some(directory) => directory,
                None => return Ok(()),
            },
            Ok(directory) => directory.unwrap_or_default(),
        };
        self.knows_users = true;
        self.users(&directory);
        Ok(())
    }

    /// What can be had of a directory that cannot be opened.
    fn salvage(&mut self, why: &RegistryError) -> Result<Option<Directory>, CheckError> {
        let why = why.to_string();
        let Some(mend) = self.mend else {
            self.wrong(registry::PATH, format!("{why}: no server starts on it"));
            return Ok(None);
        };
        let store = |error: RegistryError| CheckError::Store(error.to_string());
        let lost = registry::salvage(self.disk, mend.birth, &why).map_err(store)?;
        self.tell(Weight::Mended, registry::PATH, format!("{why}; {}", in_words(&lost)));
        Registry::look(self.disk).map_err(store)
    }

    fn users(&mut self, directory: &Directory) {
        let path = registry::PATH;
        for (id, user) in directory.users().chain(directory.leaving()) {
            let called = &user.name;
            if !name::is_valid(called) {
                self.wrong(path, format!("user {} has a name that none may have", id.0));
            }
            self.counts.users += u64::from(!user.deleted);
            if directory.user_id(called) != Some(id).filter(|_| !user.deleted) {
                self.wrong(path, format!("user {} is called {called}, as another is", id.0));
            }
            for alias in &user.aliases {
                if !name::is_valid(alias) {
                    self.wrong(path, format!("{called} has an alias that none may have"));
                }
                if directory.alias(alias) != Some(id) {
                    self.wrong(path, format!("{called} has the alias {alias}, as another has"));
                }
            }
            let mut offsets = HashSet::new();
            let mut keys = HashSet::new();
            for node in &user.nodes {
                self.counts.nodes += 1;
                if usize::from(node.offset) >= MAX_NODES || !offsets.insert(node.offset) {
                    self.wrong(path, format!("{called} has two nodes {}", node.offset));
                }
                if !keys.insert(node.key.0) {
                    self.wrong(path, format!("{called} has two nodes of one name"));
                }
                self.queues.insert(format!("{},{}", name::encode(called), node.offset));
            }
            for offset in &user.dropped {
                // The next start removes what is left of it.
                self.queues.insert(format!("{},{offset}", name::encode(called)));
                if usize::from(*offset) >= MAX_NODES || !offsets.insert(*offset) {
                    self.wrong(path, format!("{called} has a node {offset} that was dropped"));
                }
            }
        }
        for (list, user, _) in directory.members() {
            if !name::is_valid(list) {
                self.wrong(path, "a list has a name that none may have");
            }
            if directory.user(user).is_none() {
                self.wrong(path, format!("user {} is in the list {list}, and is no user", user.0));
            }
        }
    }
}

fn in_words(lost: &Lost) -> String {
    let mut text = format!(
        "a new one has {} users and {} members of lists, the old one is in {}",
        lost.saved, lost.members, lost.kept
    );
    if !lost.users.is_empty() {
        let told: Vec<_> = lost.users.iter().take(TOLD).map(u32::to_string).collect();
        let more = if lost.users.len() > TOLD { " and more" } else { "" };
        text += &format!(
            "; lost, if they were not deleted, are the users with the numbers {}{more}",
            told.join(", ")
        );
    }
    if lost.salt {
        text += "; the salt is lost: no node that exists can log in any more";
    }
    text += "; invitations that were not used are lost; users added last may be missing, and what was changed last may be as it was before, \
             members that were removed from a list and users that were deleted included";
    text
}

/// The queue that a directory's path is of.
pub(super) fn queue(path: &str) -> &str {
    path.strip_prefix(spool::ROOT).unwrap_or(path).trim_start_matches('/')
}
