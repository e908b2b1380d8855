//! Queues in which messages have waited for long.

use super::shop::Shop;
use super::{ROOT, parse_name};
use crate::id::MessageId;
use crate::name;
use std::io;

/// Queues that are told of at once.
const MOST: usize = 10_000;

/// A node by its user's name and its offset.
pub type Named = (String, u8);

impl Shop<'_> {
    /// The queues with messages before an id, some if there are many. What cannot be read is left out.
    pub(super) fn older(&mut self, before: MessageId) -> io::Result<Vec<Named>> {
        let mut directories = Vec::new();
        self.disk.for_each_name(ROOT, &mut |name| {
            let named = name.rsplit_once(',');
            directories.extend(named.and_then(|(user, offset)| {
                Some((name.to_owned(), (name::decode(user)?, offset.parse::<u8>().ok()?)))
            }));
        })?;
        let mut found = Vec::new();
        for (directory, node) in directories {
            if found.len() >= MOST {
                break;
            }
            let mut is_older = false;
            let listed = self.disk.for_each_name(&format!("{ROOT}/{directory}"), &mut |name| {
                is_older |= parse_name(name).is_some_and(|(id, _)| id < before);
            });
            if listed.is_ok() && is_older {
                found.push(node);
            }
        }
        // In one order, so that a simulated life can be repeated.
        found.sort_unstable();
        Ok(found)
    }
}
