//! Messages that are read from their files.

use super::Staged;
use super::fault::{damaged, is_full, is_no_file, missing};
use super::shop::Shop;
use crate::id::MessageId;
use bytes::Bytes;
use std::io;

/// A message to be read.
#[derive(Debug)]
pub struct Wanted {
    /// The message.
    pub id: MessageId,
    /// Is it for one node of its user only?
    pub to_one: bool,
    /// A large one that may not be filed yet: then its body is read from where it is staged.
    pub staged: Option<Staged>,
    /// How often the disk has refused it.
    pub refused: u32,
}

/// How often a message is tried to be read before it is passed over: those behind it wait meanwhile,
/// for they may not overtake it.
pub(super) const REFUSALS: u32 = 4;

/// The disk has refused a message: it is tried again, but not for ever.
fn refuse(
    mut wanted: Wanted,
    error: io::Error,
    read: &mut Vec<ReadOne>,
    refused: &mut Option<(Vec<Wanted>, io::Error)>,
) {
    // What is only short for now comes back.
    wanted.refused += u32::from(!is_full(&error));
    if wanted.refused >= REFUSALS || is_no_file(&error) {
        read.push((wanted.id, Err(error)));
    } else {
        refused.get_or_insert_with(|| (Vec::new(), error)).0.push(wanted);
    }
}

/// What became of a message that was to be read.
pub type ReadOne = (MessageId, io::Result<ReadMessage>);

/// A message that was read, or why there is none.
#[derive(Debug)]
pub enum ReadMessage {
    /// It is whole.
    Whole(Bytes),
    /// There is no file of it.
    Missing,
    /// It was damaged, and its file is in quarantine now.
    Damaged {
        /// What is wrong with it.
        why: String,
        /// Bytes of it.
        len: usize,
        /// It was for one node of its user.
        to_one: bool,
    },
}

impl Shop<'_> {
    /// What was read; and what the disk has refused for now, with the first of its errors.
    pub(super) fn read(
        &mut self,
        directory: &str,
        wanted: Vec<Wanted>,
    ) -> (Vec<ReadOne>, Option<(Vec<Wanted>, io::Error)>) {
        let mut read = Vec::with_capacity(wanted.len());
        let mut refused = None;
        let mut filed = Vec::new();
        for wanted in wanted {
            match wanted.staged.as_ref().map(|staged| self.read_staged(staged)) {
                None | Some(Ok(ReadMessage::Missing)) => filed.push(wanted),
                Some(Ok(message)) => read.push((wanted.id, Ok(message))),
                Some(Err(error)) => refuse(wanted, error, &mut read, &mut refused),
            }
        }
        let name = |wanted: &Wanted| super::file_name(wanted.id, wanted.to_one);
        let names: Vec<_> = filed.iter().map(name).collect();
        let contents = self.disk.read_each(directory, &names);
        for ((wanted, name), content) in filed.into_iter().zip(&names).zip(contents) {
            let result = match content.map(|content| (content.len(), super::parse(content))) {
                Err(error) if missing(&error) => Ok(ReadMessage::Missing),
                Err(error) => {
                    refuse(wanted, error, &mut read, &mut refused);
                    continue;
                }
                Ok((_, Ok(message))) => Ok(ReadMessage::Whole(message)),
                Ok((len, Err(error))) => {
                    let (why, len) = (error.to_string(), len.saturating_sub(super::LINE));
                    let kept = self.quarantine(&format!("{directory}/{name}"), &why);
                    let to_one = wanted.to_one;
                    kept.map(|()| ReadMessage::Damaged { why, len, to_one })
                }
            };
            read.push((wanted.id, result));
        }
        (read, refused)
    }

    /// A large message from where its body is staged; missing if it is filed for certain, in this
    /// life or an earlier one.
    fn read_staged(&mut self, staged: &Staged) -> io::Result<ReadMessage> {
        match self.disk.read(&super::staged_path(staged.number)) {
            Err(error) if missing(&error) => Ok(ReadMessage::Missing),
            content => {
                super::staged_message(content?, staged).map(ReadMessage::Whole).map_err(damaged)
            }
        }
    }
}
