//! Users and nodes in the order of their names, of a directory that is in no order.

use super::{Operator, PIECE, Stopping};
use mqlib::broker::Broker;
use mqlib::directory::User;
use mqlib::node::UserId;
use std::collections::BinaryHeap;
use std::ops::ControlFlow;
use std::sync::Arc;

/// What is found: a user's name, and a node's offset where nodes are looked for.
pub(crate) type Found = (Arc<str>, u8);

/// The first of what was found so far.
struct Page {
    after: Option<Found>,
    most: usize,
    found: BinaryHeap<Found>,
}

impl Page {
    /// Keeps it if it is among the first behind `after`.
    fn offer(&mut self, name: &Arc<str>, offset: u8) {
        let this = (&**name, offset);
        let behind = |(name, offset): &Found| this > (name, *offset);
        if self.after.as_ref().is_some_and(|after| !behind(after)) {
            return;
        }
        if self.found.len() < self.most {
            self.found.push((name.clone(), offset));
        } else if let Some(mut last) = self.found.peek_mut().filter(|last| !behind(last)) {
            *last = (name.clone(), offset);
        }
    }
}

impl Operator {
    /// The first `most` of what `pick` gives of users, behind `after`, in order. A user that changes
    /// meanwhile may be found as it was or as it is.
    pub(crate) async fn first(
        &self,
        after: Option<Found>,
        most: usize,
        pick: impl Fn(&Broker, UserId, &User, &mut dyn FnMut(u8)) + Send + Sync + 'static,
    ) -> Result<Vec<Found>, Stopping> {
        let pick = Arc::new(pick);
        let mut page = Page { after, most, found: BinaryHeap::new() };
        let mut from = 0;
        loop {
            let pick = pick.clone();
            let looked = self.look(move |broker, _| {
                let directory = broker.directory();
                let end = directory.end().0.min(from + PIECE);
                for id in (from..end).map(UserId) {
                    if let Some(user) = directory.user(id).filter(|user| !user.deleted) {
                        pick(broker, id, user, &mut |offset| page.offer(&user.name, offset));
                    }
                }
                match end < directory.end().0 {
                    true => ControlFlow::Continue((page, end)),
                    false => ControlFlow::Break(page),
                }
            });
            match looked.await? {
                ControlFlow::Continue(rest) => (page, from) = rest,
                ControlFlow::Break(page) => return Ok(page.found.into_sorted_vec()),
            }
        }
    }
}
