//! Node names become keys, off the runtime's threads and never many at once.

use mqlib::broker::Asked;
use mqlib::credential::{HashError, Hasher as Argon, KEY_LEN, KeyCache, NodeKey};
use mqlib::directory::Credential;
use mqlib::name;
use mqlib::request::{Incoming, NodeName, Request};
use std::sync::{Mutex, PoisonError};
use tokio::sync::Semaphore;

/// Keys remembered, about 100 bytes each.
const REMEMBERED: usize = 65_536;

/// Turns node names into keys.
pub(crate) struct Hasher {
    argon: Argon,
    cache: Mutex<KeyCache>,
    permits: Semaphore,
}

impl Hasher {
    /// `secret` is random; `at_once` hashes are computed at a time.
    pub(crate) fn new(salt: [u8; KEY_LEN], secret: [u8; KEY_LEN], at_once: usize) -> Self {
        Self {
            argon: Argon::new(salt),
            cache: Mutex::new(KeyCache::new(secret, REMEMBERED)),
            permits: Semaphore::new(at_once),
        }
    }

    /// Hashes the names in a request. `own` is the user logged in, or about to be.
    pub(crate) async fn ask(
        &self,
        incoming: Incoming,
        own: Option<&str>,
    ) -> Result<Asked, HashError> {
        let (new_node, node) = match &incoming.request {
            Ok(Request::Register { user, new_node, .. }) => {
                (self.credential(user, new_node).await?, Credential::Empty)
            }
            Ok(Request::AddNode { user, new_node, prev_node }) => {
                let user = own.unwrap_or(user);
                (self.credential(user, new_node).await?, self.credential(user, prev_node).await?)
            }
            Ok(Request::Login { user, node, .. }) => {
                (Credential::Empty, self.credential(user, node).await?)
            }
            _ => return Ok(Asked::without_names(incoming)),
        };
        Ok(Asked { incoming, new_node, node })
    }

    async fn credential(&self, user: &str, node: &NodeName) -> Result<Credential, HashError> {
        let node = node.reveal();
        if node.is_empty() {
            return Ok(Credential::Empty);
        }
        if !name::is_valid(node) {
            return Ok(Credential::Invalid);
        }
        self.key(user, node).await.map(Credential::Key)
    }

    async fn key(&self, user: &str, node: &str) -> Result<NodeKey, HashError> {
        let (slot, known) = {
            let cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
            let slot = cache.slot(user, node);
            (slot, cache.get(&slot))
        };
        if let Some(key) = known {
            return Ok(key);
        }
        let _permit = self.permits.acquire().await.map_err(|_| HashError)?;
        let (argon, user, node) = (self.argon.clone(), user.to_owned(), NodeName::new(node.into()));
        let hash = move || argon.key(&user, node.reveal());
        let key = tokio::task::spawn_blocking(hash).await.map_err(|_| HashError)??;
        self.cache.lock().unwrap_or_else(PoisonError::into_inner).put(slot, key);
        Ok(key)
    }
}
