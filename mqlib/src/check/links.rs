//! The names of one message, which should be one file.
//!
//! Two files with the same content take more room and do no harm: a copy of the store without hard
//! links has them, and so may a crash while a message was filed. So they are noted, and stay. To
//! know all names of a message takes memory for each, so the ids are looked at in as many parts as it
//! takes to keep that bounded.

use super::{Check, CheckError};
use crate::disk::Kind;
use crate::id::MessageId;
use crate::spool;
use std::collections::HashMap;

/// How many names are in memory at once.
const NAMES: u64 = 500_000;

impl Check<'_> {
    pub(super) fn links(&mut self) -> Result<(), CheckError> {
        let parts = self.counts.messages.div_ceil(NAMES);
        for part in 0..parts {
            let mut seen: HashMap<(MessageId, bool), (u64, String)> = HashMap::new();
            self.for_each(spool::ROOT, |check, name| {
                let directory = format!("{}/{name}", spool::ROOT);
                let is_queue = check.disk.stat(&directory).is_ok_and(|s| s.kind == Kind::Directory);
                if directory == spool::STAGED || !is_queue {
                    return Ok(());
                }
                check.for_each(&directory, |check, name| {
                    let Some(id) = spool::parse_name(name) else { return Ok(()) };
                    // The last bits are the same for all of a store.
                    if parts > 1 && (id.0.to_bits() >> 32) as u64 % parts != part {
                        return Ok(());
                    }
                    let path = format!("{directory}/{name}");
                    let Ok(stat) = check.disk.stat(&path) else { return Ok(()) };
                    if stat.kind != Kind::File {
                        return Ok(());
                    }
                    match seen.get(&id) {
                        Some((inode, other)) if *inode != stat.inode => check.twins(other, &path),
                        Some(_) => Ok(()),
                        None => {
                            seen.insert(id, (stat.inode, path));
                            Ok(())
                        }
                    }
                })
            })?;
        }
        Ok(())
    }

    /// Two files of one message.
    fn twins(&mut self, first: &str, second: &str) -> Result<(), CheckError> {
        let whole =
            |path| self.disk.read(path).ok().filter(|read| spool::parse(read.clone()).is_ok());
        let (Some(one), Some(other)) = (whole(first), whole(second)) else { return Ok(()) };
        if one != other {
            self.wrong(second, format!("it is not the same message as {first}, which has its id"));
            return Ok(());
        }
        self.note(second, format!("it is the same as {first}, and takes room of its own"));
        Ok(())
    }
}
