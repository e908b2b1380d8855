//! A store with many users, made while no server runs: to register them would hash each one's node,
//! which takes 20 ms on purpose.

use super::people;
use super::progress::Progress;
use anyhow::Context;
use mqlib::credential::{Hasher, KEY_LEN, NodeKey};
use mqlib::directory::{Edit, Node, User};
use mqlib::disk::FsDisk;
use mqlib::node::UserId;
use mqlib::registry::{Birth, Registry};
use std::path::Path;

/// What a prepared store is born with.
const BIRTH: Birth = Birth { salt: [7; KEY_LEN], tag: 7 };
/// Users written in one transaction.
const AT_ONCE: u32 = 50_000;

/// Makes a store in which users 0 to `count - 1` are registered. The first `real` of them can log
/// in.
pub(crate) fn make(store: &Path, count: u32, real: u32) -> anyhow::Result<()> {
    std::fs::create_dir(store).with_context(|| format!("cannot make {}", store.display()))?;
    let disk = FsDisk::open(store).context("cannot open the store")?;
    let (registry, ..) = Registry::open(&disk, BIRTH).context("cannot make a directory")?;
    let hasher = Hasher::new(BIRTH.salt);
    let progress = Progress::new("making users");
    for first in (0..count).step_by(AT_ONCE as usize) {
        progress.show(|| format!("making users: {first} of {count}"));
        let edit = |number| {
            let name = people::user(number);
            let key = match number < real {
                true => hasher.key(&name, &people::node(number))?,
                false => NodeKey(nobodys_key(number)),
            };
            let nodes = vec![Node::new(0, key)];
            let user = User { name: name.into(), nodes, ..User::default() };
            anyhow::Ok(Edit::User(UserId(number), user))
        };
        let edits = (first..count.min(first + AT_ONCE)).map(edit);
        let edits = edits.collect::<anyhow::Result<Vec<_>>>()?;
        registry.commit(edits.iter()).context("cannot write the directory")?;
    }
    Ok(())
}

/// A key that no name has, different for each user.
fn nobodys_key(number: u32) -> [u8; KEY_LEN] {
    let mut key = [0xee; KEY_LEN];
    key[..4].copy_from_slice(&number.to_le_bytes());
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use mqlib::store::{Store, StoreConfig};

    #[test]
    fn a_server_finds_the_users_and_those_that_are_real_can_log_in() {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("mqstore");
        make(&store, 50, 2).unwrap();
        let disk = FsDisk::open(&store).unwrap();
        let other = Birth { salt: [1; KEY_LEN], tag: 1 };
        let config = StoreConfig { segment_len: 2 << 20, ..StoreConfig::default() };
        let (_, opened) = Store::open(&disk, config, other).unwrap();
        assert_eq!(opened.directory.users().count(), 50);
        let hasher = Hasher::new(opened.birth.salt);
        let node = |number| {
            let name = people::user(number);
            let key = hasher.key(&name, &people::node(number)).unwrap();
            opened.directory.node(opened.directory.user_id(&name).unwrap(), &key)
        };
        assert!(node(0).is_some() && node(1).is_some());
        assert!(node(2).is_none() && node(49).is_none());
    }
}
