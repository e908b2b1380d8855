//! Changes of the directory.

use super::{Member, User};
use crate::credential::InvitationKey;
use crate::node::UserId;
use std::sync::Arc;

/// A change of the directory, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// A user as it is now.
    User(UserId, User),
    /// Nothing is left of a user that was deleted. Its number is not given again.
    NoUser(UserId),
    /// A list's member as it is now, or `None` if it is no longer one.
    Member(Arc<str>, UserId, Option<Member>),
    /// An invitation to register and when it expires, in ms since 1970, or `None` if it is used up
    /// or has.
    Invitation(InvitationKey, Option<u64>),
}
