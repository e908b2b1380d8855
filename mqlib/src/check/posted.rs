//! What nodes have posted: every slot of every file.

use super::{Check, CheckError, Weight};
use crate::disk::Kind;
use crate::posted::{self, REMEMBERED, ROOT, SLOT};
use crate::spool;

impl Check<'_> {
    pub(super) fn posted(&mut self) -> Result<(), CheckError> {
        if !self.stands(ROOT, Kind::Directory)? {
            return Ok(());
        }
        self.for_each(ROOT, |check, name| {
            let path = format!("{ROOT}/{name}");
            if !check.stands(&path, Kind::File)? {
                return Ok(());
            }
            if check.knows_users && !check.queues.contains(name) {
                check.wrong(&path, "there is no such node; it stays");
                return Ok(());
            }
            check.slots(&path)
        })
    }

    fn slots(&mut self, path: &str) -> Result<(), CheckError> {
        let at = |error| CheckError::Io(path.to_owned(), error);
        let content = self.disk.read(path).map_err(at)?;
        let slots = content.chunks(SLOT).take(REMEMBERED).enumerate();
        let damaged: Vec<_> = slots.filter(|(_, slot)| !posted::is_right(slot)).collect();
        if damaged.is_empty() {
            return Ok(());
        }
        let count = damaged.len();
        let text = format!("{count} of the posts there cannot be read, and would be stored again");
        if self.mend.is_none() {
            self.wrong(path, text);
            return Ok(());
        }
        let kept = format!("{}/{}", spool::QUARANTINE, path.replace('/', "."));
        spool::keep(self.disk, &kept, &content, &format!("{path}: {text}")).map_err(at)?;
        for (number, slot) in damaged {
            let empty = [0; SLOT];
            self.disk.patch(path, posted::offset(number), &empty[..slot.len()]).map_err(at)?;
        }
        self.tell(Weight::Mended, path, format!("{text}; they are empty, and a copy is in {kept}"));
        Ok(())
    }
}
