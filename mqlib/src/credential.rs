//! Credentials: node names, and tokens of invitations, as they are kept: hashed.
//!
//! A node's name is its password. One that a client chose is kept as Argon2id (RFC 9106); one that
//! we issued ([`secret`](crate::secret)) as SHA-256, which is as good for 128 random bits, and costs
//! nothing. The salt is made of the store's own salt and the user's name: it differs between users and
//! between stores, and needs no look-up, so that a link's task can hash before the broker has seen
//! the request, and an unknown user costs what a known one does.

use crate::secret::Purpose;
use argon2::{Algorithm, Argon2, Params, Version};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fmt;

/// The length of a key in bytes.
pub const KEY_LEN: usize = 32;

/// A node name's hash: all that the server keeps of it.
#[derive(Clone, Copy)]
pub struct NodeKey(pub [u8; KEY_LEN]);

impl PartialEq for NodeKey {
    /// In constant time.
    fn eq(&self, other: &Self) -> bool {
        self.0.iter().zip(other.0).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
    }
}

impl Eq for NodeKey {}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeKey(…)")
    }
}

/// The hash of an invitation's token: all that the server keeps of it. Nobody learns from how long a
/// look-up takes what 128 random bits hash to, so it may be a map's key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct InvitationKey(pub [u8; KEY_LEN]);

impl fmt::Debug for InvitationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InvitationKey(…)")
    }
}

/// Memory of one hash in KiB, passes over it, and lanes: OWASP's first choice for Argon2id.
const COST: (u32, u32, u32) = (19 * 1024, 2, 1);

/// Turns node names into keys.
#[derive(Clone)]
pub struct Hasher {
    salt: [u8; KEY_LEN],
}

impl Hasher {
    /// The hasher of the store with this salt.
    pub fn new(salt: [u8; KEY_LEN]) -> Self {
        Self { salt }
    }

    /// The key of `user`'s node with this name, if it is a secret that we may have issued: at once.
    pub fn issued_key(&self, user: &str, node: &str) -> Option<NodeKey> {
        Purpose::Node.is_form_of(node).then(|| {
            let digest = Sha256::new().chain_update(self.user_salt(user)).chain_update(node);
            NodeKey(digest.finalize().into())
        })
    }

    /// What is kept of an invitation's token.
    pub fn invitation_key(&self, token: &str) -> InvitationKey {
        let digest = Sha256::new().chain_update(self.salt).chain_update(token);
        InvitationKey(digest.finalize().into())
    }

    /// The key of `user`'s node with this name, which the client chose. Takes about 20 ms and
    /// 19 MiB, on purpose.
    ///
    /// # Errors
    /// No memory; the client is told to come back later.
    pub fn key(&self, user: &str, node: &str) -> Result<NodeKey, HashError> {
        let (memory, passes, lanes) = COST;
        let params = Params::new(memory, passes, lanes, Some(KEY_LEN)).map_err(|_| HashError)?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let mut key = [0; KEY_LEN];
        argon2
            .hash_password_into(node.as_bytes(), &self.user_salt(user), &mut key)
            .map_err(|_| HashError)?;
        Ok(NodeKey(key))
    }

    fn user_salt(&self, user: &str) -> [u8; 16] {
        let digest = Sha256::new().chain_update(self.salt).chain_update(user).finalize();
        std::array::from_fn(|at| digest[at])
    }
}

/// Keys computed lately, so that a client that comes and goes costs its hash once.
///
/// It holds no names: entries are found by a keyed digest whose key dies with the process. A wrong
/// name is remembered like a right one, so a hit tells nothing.
pub struct KeyCache {
    secret: [u8; KEY_LEN],
    keys: HashMap<[u8; KEY_LEN], NodeKey>,
    capacity: usize,
}

impl KeyCache {
    /// A cache of so many keys, with a random secret of this process.
    pub fn new(secret: [u8; KEY_LEN], capacity: usize) -> Self {
        Self { secret, keys: HashMap::new(), capacity }
    }

    /// Where the key of `user`'s node with this name is to be found.
    pub fn slot(&self, user: &str, node: &str) -> [u8; KEY_LEN] {
        let length = (user.len() as u64).to_le_bytes();
        let digest = Sha256::new().chain_update(self.secret).chain_update(length);
        digest.chain_update(user).chain_update(node).finalize().into()
    }

    /// The key, if it was put there.
    pub fn get(&self, slot: &[u8; KEY_LEN]) -> Option<NodeKey> {
        self.keys.get(slot).copied()
    }

    /// Remembers a key. A full cache forgets all: simpler than an order, and rare.
    pub fn put(&mut self, slot: [u8; KEY_LEN], key: NodeKey) {
        if self.keys.len() >= self.capacity {
            self.keys.clear();
        }
        self.keys.insert(slot, key);
    }
}

/// A hash, or a secret, could not be made.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("a node name could not be hashed, or no secret be made")]
pub struct HashError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_finds_what_was_put_under_user_and_name_and_stays_bounded() {
        let mut cache = KeyCache::new([9; KEY_LEN], 2);
        for (user, node) in [("a", "bc"), ("ab", "c"), ("x", "y")] {
            let slot = cache.slot(user, node);
            assert!(cache.get(&slot).is_none());
            cache.put(slot, NodeKey([1; KEY_LEN]));
            assert!(cache.get(&slot).is_some());
            assert!(cache.keys.len() <= 2);
        }
    }

    #[test]
    fn a_key_depends_on_name_user_and_store() {
        let hasher = Hasher::new([1; KEY_LEN]);
        let key = hasher.key("u", "n").unwrap();
        assert!(key != hasher.key("u", "m").unwrap());
        assert!(key == hasher.key("u", "n").unwrap());
        assert!(key != hasher.key("v", "n").unwrap());
        assert!(key != Hasher::new([2; KEY_LEN]).key("u", "n").unwrap());
        assert_eq!(format!("{key:?}"), "NodeKey(…)");
    }

    #[test]
    fn a_secret_that_we_issue_has_a_key_of_its_own_that_depends_on_user_and_store() {
        let hasher = Hasher::new([1; KEY_LEN]);
        let secret = Purpose::Node.secret([7; 16]);
        let key = hasher.issued_key("u", secret.reveal()).unwrap();
        assert!(Some(key) == hasher.issued_key("u", secret.reveal()));
        assert!(Some(key) != hasher.issued_key("v", secret.reveal()));
        assert!(Some(key) != Hasher::new([2; KEY_LEN]).issued_key("u", secret.reveal()));
        assert!(key != hasher.key("u", secret.reveal()).unwrap());
        assert!(hasher.issued_key("u", "alice-laptop").is_none());
    }
}
