//! What is left of a node that was dropped, as a job removes it.

use super::Amount;
use super::fault::{is_no_file, missing};
use super::shop::Shop;
use crate::id::MessageId;
use std::io;

/// Names removed at once.
const AT_ONCE: usize = 1024;

impl Shop<'_> {
    /// Removes a node's messages, its directory and the file of its posts; what one node of the user
    /// is to have goes to another one's directory first, unless it is acked. All of it is durable then,
    /// and may be done twice. What is none of ours stays, and so does a directory that has such.
    pub(super) fn empty(
        &mut self,
        directory: &str,
        heir: Option<&str>,
        except: &[MessageId],
        posted: &str,
    ) -> io::Result<()> {
        let names = self.names(directory)?;
        let parsed = |name: &str| super::parse_name(name);
        if let Some(heir) = heir {
            let to_one = names.iter().filter(|name| parsed(name).is_some_and(|(_, one)| one));
            let to_one: Vec<String> = to_one.cloned().collect();
            if !to_one.is_empty() {
                self.link_each(directory, heir, to_one, except, &mut Amount::default())?;
                // Before the only other name goes.
                self.disk.sync_all()?;
            }
        }
        let ours: Vec<String> = names.into_iter().filter(|name| parsed(name).is_some()).collect();
        for names in ours.chunks(AT_ONCE) {
            for result in self.disk.unlink_each(directory, names) {
                match result {
                    Err(error) if missing(&error) => {}
                    result => result?,
                }
            }
        }
        // Not empty, or not there: both are fine.
        let _ = self.disk.remove_dir(directory);
        match self.remove(posted) {
            Err(error) if is_no_file(&error) => {
                self.quarantine(posted, "something else stood in the place of a file of ours")?;
            }
            result => result?,
        }
        // A name that came back after a crash would be another node's.
        self.disk.sync_all()
    }
}
