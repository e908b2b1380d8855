//! What a damaged database still holds, entry by entry, in a new one.
//!
//! redb opens no database that has a wrong page. So the file is read from end to end for entries that
//! are whole ([`seal`](super::seal)), wherever they stand. Of several states of one entry the latest
//! counts. Two things cannot be known, and are told: where the latest state is damaged, an earlier one
//! may have come back; and who was removed from a list may be in it again, as a user may be there again who was
//! deleted, with none of its messages.

use super::{Birth, META, NEW, PATH, Registry, RegistryError, seal};
use crate::directory::Edit;
use crate::disk::Disk;
use crate::node::UserId;
use crate::spool;
use redb::StorageBackend;
use std::collections::{BTreeMap, HashSet};
use std::io;
use std::sync::Arc;

/// How much is read at once, in bytes.
const CHUNK: usize = 1 << 20;
/// No entry is longer, in bytes.
const ENTRY: usize = 16 << 20;
/// Numbers of users that are not given again, in case the last ones were lost.
const SPARED: u32 = 10_000;

/// What was saved, and what was not.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Users that were saved.
    pub saved: usize,
    /// Entries of members in lists that were saved.
    pub members: usize,
    /// Numbers of users that are missing below the last one: lost, or deleted.
    pub users: Vec<u32>,
    /// The salt was not found: no node that exists can log in any more.
    pub salt: bool,
    /// Where the old database is.
    pub kept: String,
}

#[derive(Default)]
struct Saved {
    birth: Option<Birth>,
    users: BTreeMap<u32, (u64, Edit)>,
    members: BTreeMap<(Arc<str>, u32), (u64, Edit)>,
}

/// Makes a new database of what the damaged one still says, and keeps that in the quarantine. `birth`
/// is for a salt that cannot be found.
///
/// # Errors
/// The disk refuses. Then the damaged one is in its place, or in the quarantine.
pub fn salvage(disk: &dyn Disk, birth: Birth, why: &str) -> Result<Lost, RegistryError> {
    let io = redb::StorageError::from;
    let mut saved = read(disk).map_err(io)?;
    saved.forget_earlier();
    let next = saved.users.keys().last().map_or(0, |last| last + 1);
    let missing = (0..next).filter(|id| !saved.users.contains_key(id));
    let mut lost = Lost {
        saved: saved.users.len(),
        members: saved.members.len(),
        users: missing.collect(),
        salt: saved.birth.is_none(),
        kept: String::new(),
    };
    lost.kept = spool::quarantine(disk, PATH, why).map_err(io)?.unwrap_or_default();
    let edits = saved.users.values().chain(saved.members.values()).map(|(_, edit)| edit);
    let made = Registry::create(disk, saved.birth.unwrap_or(birth), |registry| {
        registry.commit(edits)?;
        registry.spare(next.saturating_add(SPARED))
    });
    match made {
        Ok(_) => Ok(lost),
        Err(error) => {
            // Better a damaged one than none.
            let _ = disk.unlink(NEW);
            disk.link(&lost.kept, PATH).map_err(io)?;
            Err(error)
        }
    }
}

impl Registry {
    /// Gives no number below `next` to a user.
    fn spare(&self, next: u32) -> Result<(), RegistryError> {
        let transaction = self.write()?;
        transaction.open_table(META)?.insert("next user", u64::from(next))?;
        Ok(transaction.commit()?)
    }
}

fn read(disk: &dyn Disk) -> io::Result<Saved> {
    let file = disk.open_database(PATH)?;
    let len = file.len()?;
    let mut saved = Saved::default();
    let mut position = 0;
    let mut chunk = Vec::new();
    while position < len {
        chunk.resize(CHUNK.min((len - position) as usize), 0);
        file.read(position, &mut chunk)?;
        // One may begin in the last bytes; unless these are the last of all.
        let mut next = chunk.len().saturating_sub(seal::HEAD).max(1);
        let mut at = 0;
        while let Some(found) = chunk.get(at..).and_then(seal::find) {
            at += found;
            at += saved.take(&*file, position + at as u64, len)?;
            next = next.max(at);
        }
        position += next as u64;
    }
    Ok(saved)
}

impl Saved {
    /// Of several users of one name only the last is one; the others were deleted, and what is left of
    /// their entries says nothing of its nodes.
    fn forget_earlier(&mut self) {
        let mut names = HashSet::new();
        let gone = self.users.iter().rev().filter_map(|(id, (_, edit))| match edit {
            Edit::User(_, user) if !names.insert(user.name.clone()) => Some(*id),
            _ => None,
        });
        for id in gone.collect::<Vec<_>>() {
            self.users.remove(&id);
            self.members.retain(|(_, user), _| *user != id);
        }
    }

    /// Takes the entry that begins at `position`, if it is one; how far to go on.
    fn take(&mut self, file: &dyn StorageBackend, position: u64, len: u64) -> io::Result<usize> {
        let mut bytes = vec![0; seal::HEAD.min((len - position) as usize)];
        file.read(position, &mut bytes)?;
        let end = seal::end(&bytes).filter(|end| *end <= ENTRY && position + *end as u64 <= len);
        let Some(end) = end else { return Ok(1) };
        bytes.resize(end, 0);
        file.read(position, &mut bytes)?;
        let Some((end, commit, entry)) = seal::open_at(&bytes) else { return Ok(1) };
        self.birth = self.birth.or(entry.to_birth());
        match entry.into_edit() {
            Some(Edit::User(UserId(id), user)) => {
                newest(&mut self.users, id, commit, Edit::User(UserId(id), user));
            }
            Some(Edit::Member(list, user, member)) => {
                let key = (list.clone(), user.0);
                newest(&mut self.members, key, commit, Edit::Member(list, user, member));
            }
            _ => {}
        }
        Ok(end)
    }
}

fn newest<K: Ord>(map: &mut BTreeMap<K, (u64, Edit)>, key: K, commit: u64, edit: Edit) {
    let there = map.entry(key).or_insert_with(|| (commit, edit.clone()));
    if there.0 < commit {
        *there = (commit, edit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::{Member, User};

    #[test]
    fn of_two_users_of_one_name_the_later_is_saved() {
        let mut saved = Saved::default();
        for (number, name) in [(1, "bob"), (2, "carol"), (3, "bob")] {
            let id = UserId(number);
            let user = User { name: name.into(), ..User::default() };
            // The earlier one's entry was written last: it says that it is deleted.
            let commit = u64::from(10 - number);
            saved.users.insert(number, (commit, Edit::User(id, user)));
            let list: Arc<str> = "list".into();
            let member = Edit::Member(list.clone(), id, Some(Member::Full));
            saved.members.insert((list, number), (commit, member));
        }
        saved.forget_earlier();
        assert!(saved.users.keys().eq(&[2, 3]));
        assert!(saved.members.keys().map(|(_, user)| user).eq(&[2, 3]));
    }
}
