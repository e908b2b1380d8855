//! Node names become keys, off the runtime's threads and never many at once.
//!
//! A name that we issued is hashed where it stands. A name that a client chose costs 20 ms and
//! 19 MiB, so that strangers could keep all processors busy and fill the memory: they wait for their
//! turn ([`turns`](crate::turns)).

use crate::turns::Turns;
use mqlib::broker::{Asked, Names};
use mqlib::credential::{HashError, Hasher as Argon, InvitationKey, KEY_LEN, KeyCache, NodeKey};
use mqlib::directory::Credential;
use mqlib::histogram::{Histogram, TIMES};
use mqlib::name;
use mqlib::request::{Incoming, NodeName, Request};
use mqlib::secret::{Purpose, RANDOM};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Keys remembered, about 100 bytes each.
const REMEMBERED: usize = 65_536;

/// Turns node names into keys.
pub(crate) struct Hasher {
    argon: Argon,
    cache: Mutex<KeyCache>,
    turns: Turns,
    /// How many are made, or wait for their turn.
    pending: AtomicU64,
    /// How long they took.
    times: Mutex<Histogram>,
}

/// A hash that is made, or waits for its turn, until this is dropped.
struct Pending<'a>(&'a AtomicU64);

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Hasher {
    /// `secret` is random; `at_once` hashes are computed at a time.
    pub(crate) fn new(salt: [u8; KEY_LEN], secret: [u8; KEY_LEN], at_once: usize) -> Self {
        Self {
            argon: Argon::new(salt),
            cache: Mutex::new(KeyCache::new(secret, REMEMBERED)),
            turns: Turns::new(at_once),
            pending: AtomicU64::new(0),
            times: Mutex::new(Histogram::new(TIMES)),
        }
    }

    /// How long hashes took, and how many are made or wait for their turn.
    pub(crate) fn figures(&self) -> (Histogram, u64) {
        let times = *self.times.lock().unwrap_or_else(PoisonError::into_inner);
        (times, self.pending.load(Ordering::Relaxed))
    }

    /// Hashes the names in a request that came from an address. `own` is the user logged in, or
    /// about to be.
    pub(crate) async fn ask(
        &self,
        incoming: Incoming,
        from: IpAddr,
        own: Option<&str>,
    ) -> Result<Asked, HashError> {
        let mut names = Names::default();
        match &incoming.request {
            Ok(Request::Register { user, new_node, issue, invite, .. }) => {
                (names.new_node, names.issued) =
                    self.new_node(from, user, new_node, *issue).await?;
                names.invitation =
                    invite.as_ref().map(|token| self.argon.invitation_key(token.reveal()));
            }
            Ok(Request::AddNode { user, new_node, issue, prev_node }) => {
                let user = own.unwrap_or(user);
                (names.new_node, names.issued) =
                    self.new_node(from, user, new_node, *issue).await?;
                names.node = self.credential(from, user, prev_node).await?;
            }
            Ok(Request::Login { user, node, .. }) => {
                names.node = self.credential(from, user, node).await?;
            }
            _ => return Ok(Asked::without_names(incoming)),
        }
        Ok(Asked { incoming, names: Some(Box::new(names)), read: None })
    }

    /// The key of a node to be made, and its name if we issue it.
    async fn new_node(
        &self,
        from: IpAddr,
        user: &str,
        name: &NodeName,
        issue: bool,
    ) -> Result<(Credential, Option<NodeName>), HashError> {
        if issue {
            let secret = Purpose::Node.secret(random::<RANDOM>()?);
            let credential = self.credential(from, user, &secret).await?;
            return Ok((credential, Some(secret)));
        }
        if Purpose::Node.is_form_of(name.reveal()) {
            return Ok((Credential::Reserved, None));
        }
        Ok((self.credential(from, user, name).await?, None))
    }

    /// Tokens of invitations, and what is kept of them.
    pub(crate) fn invitations(
        &self,
        count: usize,
    ) -> Result<Vec<(NodeName, InvitationKey)>, HashError> {
        let invitation = |_| {
            let token = Purpose::Invitation.secret(random::<RANDOM>()?);
            let key = self.argon.invitation_key(token.reveal());
            Ok((token, key))
        };
        (0..count).map(invitation).collect()
    }

    async fn credential(
        &self,
        from: IpAddr,
        user: &str,
        node: &NodeName,
    ) -> Result<Credential, HashError> {
        let node = node.reveal();
        if node.is_empty() {
            return Ok(Credential::Empty);
        }
        if !name::is_valid(node) {
            return Ok(Credential::Invalid);
        }
        if let Some(key) = self.argon.issued_key(user, node) {
            return Ok(Credential::Key(key));
        }
        self.key(from, user, node).await.map(Credential::Key)
    }

    async fn key(&self, from: IpAddr, user: &str, node: &str) -> Result<NodeKey, HashError> {
        let (slot, known) = {
            let cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
            let slot = cache.slot(user, node);
            (slot, cache.get(&slot))
        };
        if let Some(key) = known {
            return Ok(key);
        }
        let (argon, user, node) = (self.argon.clone(), user.to_owned(), NodeName::new(node.into()));
        let hash = move || argon.key(&user, node.reveal());
        // Spawned when it is first polled, which is when its turn has come.
        let hashed = async {
            let begun = Instant::now();
            (tokio::task::spawn_blocking(hash).await, begun.elapsed())
        };
        self.pending.fetch_add(1, Ordering::Relaxed);
        let _pending = Pending(&self.pending);
        let (hashed, took) = self.turns.wait(from, hashed).await.ok_or(HashError)?;
        let key = hashed.map_err(|_| HashError)??;
        self.times.lock().unwrap_or_else(PoisonError::into_inner).add_time(took);
        self.cache.lock().unwrap_or_else(PoisonError::into_inner).put(slot, key);
        Ok(key)
    }
}

fn random<const N: usize>() -> Result<[u8; N], HashError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| HashError)?;
    Ok(bytes)
}
