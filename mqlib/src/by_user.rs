//! Something for each user, found by the user's number.
//!
//! Numbers are given one after the other, so this is an array: a million users in a hash table cost
//! twice their memory in empty places.

use crate::node::UserId;

/// At most one thing for each user.
#[derive(Debug, Clone)]
pub(crate) struct ByUser<T>(Vec<Option<T>>);

impl<T> Default for ByUser<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> ByUser<T> {
    /// The user's.
    pub(crate) fn get(&self, user: UserId) -> Option<&T> {
        self.0.get(user.0 as usize)?.as_ref()
    }

    /// Replaces the user's.
    pub(crate) fn insert(&mut self, user: UserId, thing: T) {
        let at = user.0 as usize;
        if at >= self.0.len() {
            self.0.resize_with(at + 1, || None);
        }
        self.0[at] = Some(thing);
    }

    /// The user's, to change.
    pub(crate) fn get_mut(&mut self, user: UserId) -> Option<&mut T> {
        self.0.get_mut(user.0 as usize)?.as_mut()
    }

    /// Takes the user's away.
    pub(crate) fn remove(&mut self, user: UserId) {
        if let Some(thing) = self.0.get_mut(user.0 as usize) {
            *thing = None;
        }
    }

    /// All, in the order of the users' numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (UserId, &T)> {
        self.iter_from(UserId(0))
    }

    /// Those of this user and the ones behind it.
    pub(crate) fn iter_from(&self, first: UserId) -> impl Iterator<Item = (UserId, &T)> {
        let rest = self.0.get(first.0 as usize..).unwrap_or_default();
        let numbered = (first.0..).map(UserId).zip(rest);
        numbered.filter_map(|(user, thing)| Some((user, thing.as_ref()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_that_are_missing_leave_holes() {
        let mut things = ByUser::default();
        for (user, thing) in [(3, 'a'), (1, 'b'), (3, 'c')] {
            things.insert(UserId(user), thing);
        }
        assert_eq!(
            [0, 1, 3, 4].map(|user| things.get(UserId(user))),
            [None, Some(&'b'), Some(&'c'), None]
        );
        assert!(things.iter().eq([(UserId(1), &'b'), (UserId(3), &'c')]));
    }
}
