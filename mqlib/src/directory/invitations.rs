//! Who may register: everyone, whoever has an invitation, or nobody.
//!
//! An invitation is a token that the operator makes and hands on; it is good for one user, and for
//! a time. Only its hash is kept. It is used up by the same change that creates the user, so a crash
//! leaves both or neither.

use super::{Directory, Edit};
use crate::credential::InvitationKey;
use serde::{Deserialize, Serialize};

/// Who may create a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Registration {
    /// Everyone who can reach the server. An invitation that comes along is not used up.
    Open,
    /// Whoever has an invitation.
    Invite,
    /// Nobody.
    Closed,
}

/// Why somebody may not register. Told to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InviteError {
    /// Nobody may.
    #[error("registration closed")]
    Closed,
    /// Only who has an invitation may.
    #[error("invite required")]
    Required,
    /// There is no such invitation: used up, expired, or never made.
    #[error("invite invalid")]
    Invalid,
}

impl Directory {
    /// May somebody register who has this invitation, or none?
    pub fn may_register(
        &self,
        registration: Registration,
        invitation: Option<&InvitationKey>,
        wall: u64,
    ) -> Result<(), InviteError> {
        match (registration, invitation) {
            (Registration::Open, _) => Ok(()),
            (Registration::Closed, _) => Err(InviteError::Closed),
            (Registration::Invite, None) => Err(InviteError::Required),
            (Registration::Invite, Some(key)) => match self.invitations.get(key) {
                Some(expires) if *expires > wall => Ok(()),
                _ => Err(InviteError::Invalid),
            },
        }
    }

    /// Makes invitations that expire at some time, in ms since 1970; those that have are swept.
    pub fn invite(&mut self, keys: &[InvitationKey], expires: u64, wall: u64) -> Vec<Edit> {
        let mut edits = self.expired(wall);
        edits.extend(keys.iter().map(|key| Edit::Invitation(*key, Some(expires))));
        self.change(edits)
    }

    /// An invitation has served; those that have expired are swept, too.
    pub fn use_up(&mut self, key: InvitationKey, wall: u64) -> Vec<Edit> {
        let mut edits = self.expired(wall);
        edits.push(Edit::Invitation(key, None));
        self.change(edits)
    }

    fn expired(&self, wall: u64) -> Vec<Edit> {
        let expired = self.invitations.iter().filter(|(_, expires)| **expires <= wall);
        expired.map(|(key, _)| Edit::Invitation(*key, None)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [InvitationKey; 2] = [InvitationKey([1; 32]), InvitationKey([2; 32])];

    #[test]
    fn an_invitation_serves_once_and_for_a_time() {
        let mut directory = Directory::default();
        directory.invite(&KEYS, 100, 0);
        let may = |directory: &Directory, key: Option<&InvitationKey>, wall| {
            directory.may_register(Registration::Invite, key, wall)
        };
        assert_eq!(may(&directory, None, 0), Err(InviteError::Required));
        assert_eq!(may(&directory, Some(&InvitationKey([3; 32])), 0), Err(InviteError::Invalid));
        assert_eq!(may(&directory, Some(&KEYS[0]), 99), Ok(()));
        assert_eq!(may(&directory, Some(&KEYS[0]), 100), Err(InviteError::Invalid));
        assert_eq!(directory.use_up(KEYS[0], 50), [Edit::Invitation(KEYS[0], None)]);
        assert_eq!(may(&directory, Some(&KEYS[0]), 50), Err(InviteError::Invalid));
        assert_eq!(may(&directory, Some(&KEYS[1]), 50), Ok(()));
    }

    #[test]
    fn closed_is_closed_to_the_invited_too() {
        let mut directory = Directory::default();
        directory.invite(&KEYS, 100, 0);
        let closed = directory.may_register(Registration::Closed, Some(&KEYS[0]), 0);
        assert_eq!(closed, Err(InviteError::Closed));
    }

    #[test]
    fn what_has_expired_is_swept_when_others_are_made_or_used() {
        let mut directory = Directory::default();
        directory.invite(&KEYS[..1], 100, 0);
        let edits = directory.invite(&KEYS[1..], 300, 200);
        assert!(edits.contains(&Edit::Invitation(KEYS[0], None)));
        assert_eq!(directory.invitations.len(), 1);
        directory.use_up(InvitationKey([9; 32]), 300);
        assert!(directory.invitations.is_empty());
    }
}
