//! Sessions of the admin page, in memory: a restart ends them.
//!
//! A session has two secrets: an id, in a cookie that no script can read, and a key, that the page
//! keeps and names in a header. Neither opens anything alone: browsers send a cookie to every port of
//! a host, and along with what other sites ask for.

use mqlib::request::NodeName;
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a session lasts.
pub(super) const LIFETIME: Duration = Duration::from_hours(12);
/// How many there are at most; one more ends the oldest.
const MOST: usize = 32;
/// Random bytes of an id, and of a key.
const RANDOM: usize = 32;

/// What is compared in place of a secret: how long it takes tells nothing of the secret.
type Hash = [u8; 32];

fn hash(secret: &str) -> Hash {
    Sha256::digest(secret).into()
}

/// Are they the same? In a time that does not depend on where they differ.
pub(super) fn same(one: &str, other: &str) -> bool {
    let pairs = hash(one).into_iter().zip(hash(other));
    pairs.fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

struct Session {
    id: Hash,
    key: Hash,
    /// The token that it was opened with.
    token: Hash,
    ends: Instant,
}

/// What a browser is given.
pub(super) struct Opened {
    pub(super) id: String,
    pub(super) key: String,
}

/// The sessions, the oldest first.
#[derive(Default)]
pub(super) struct Sessions(Mutex<Vec<Session>>);

impl Sessions {
    /// Opens a session for who has told the token.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub(super) fn open(&self, token: &NodeName, now: Instant) -> Result<Opened, getrandom::Error> {
        let opened = Opened { id: random()?, key: random()? };
        let session = Session {
            id: hash(&opened.id),
            key: hash(&opened.key),
            token: hash(token.reveal()),
            ends: now + LIFETIME,
        };
        self.change(token, now, |sessions| {
            if sessions.len() >= MOST {
                sessions.remove(0);
            }
            sessions.push(session);
        });
        Ok(opened)
    }

    /// Is there a session of this id and key?
    pub(super) fn has(&self, id: &str, key: &str, token: &NodeName, now: Instant) -> bool {
        let (id, key) = (hash(id), hash(key));
        self.change(token, now, |sessions| {
            sessions.iter().any(|session| session.id == id && session.key == key)
        })
    }

    /// Ends one.
    pub(super) fn close(&self, id: &str, token: &NodeName, now: Instant) {
        let id = hash(id);
        self.change(token, now, |sessions| sessions.retain(|session| session.id != id));
    }

    /// Does something with those that are still good.
    fn change<T>(
        &self,
        token: &NodeName,
        now: Instant,
        work: impl FnOnce(&mut Vec<Session>) -> T,
    ) -> T {
        let token = hash(token.reveal());
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|session| session.ends > now && session.token == token);
        work(&mut sessions)
    }
}

fn random() -> Result<String, getrandom::Error> {
    let mut bytes = [0; RANDOM];
    getrandom::fill(&mut bytes)?;
    let mut text = String::with_capacity(2 * RANDOM);
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(text: &str) -> NodeName {
        NodeName::new(text.to_owned())
    }

    #[test]
    fn a_session_needs_id_and_key_and_ends_with_its_time_its_token_or_on_demand() {
        let (sessions, token, now) = (Sessions::default(), token("one"), Instant::now());
        let opened = sessions.open(&token, now).unwrap();
        let other = sessions.open(&token, now).unwrap();
        assert!(sessions.has(&opened.id, &opened.key, &token, now));
        assert!(!sessions.has(&opened.id, &other.key, &token, now));
        assert!(!sessions.has(&opened.id, "", &token, now));
        assert!(!sessions.has("", &opened.key, &token, now));
        sessions.close(&other.id, &token, now);
        assert!(!sessions.has(&other.id, &other.key, &token, now));
        assert!(sessions.has(&opened.id, &opened.key, &token, now + LIFETIME / 2));
        assert!(!sessions.has(&opened.id, &opened.key, &token, now + LIFETIME));
        let opened = sessions.open(&token, now).unwrap();
        assert!(!sessions.has(&opened.id, &opened.key, &self::token("two"), now));
        assert!(!sessions.has(&opened.id, &opened.key, &token, now), "it does not come back");
    }

    #[test]
    fn one_session_too_many_ends_the_oldest() {
        let (sessions, token, now) = (Sessions::default(), token("one"), Instant::now());
        let all: Vec<_> = (0..=MOST).map(|_| sessions.open(&token, now).unwrap()).collect();
        let good = |opened: &Opened| sessions.has(&opened.id, &opened.key, &token, now);
        assert!(!good(&all[0]));
        assert!(all[1..].iter().all(good));
    }
}
