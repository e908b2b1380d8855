//! What waits for one node, online or not: what is filed, and what is in the journal only.

use super::{Operator, Stopping};
use mqlib::disk::{Disk, FsDisk};
use mqlib::header;
use mqlib::id::MessageId;
use mqlib::node::NodeId;
use mqlib::spool::{self, Content};
use mqlib::store::Unfiled;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::sync::Arc;

/// Names whose lengths are asked for at once.
const AT_ONCE: usize = 1024;

/// A node's queue.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) node: NodeId,
    pub(crate) directory: String,
}

/// A message that waits.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) id: MessageId,
    /// Only one node of its user is to have it.
    pub(crate) to_one: bool,
    /// Its header, as JSON; `None` if it is damaged.
    pub(crate) header: Option<bytes::Bytes>,
    /// Bytes of it, as it is delivered.
    pub(crate) size: u64,
}

impl Operator {
    /// The queue of a user's node; `None` if there is none.
    pub(crate) async fn place(&self, user: &str, offset: u8) -> Result<Option<Place>, Stopping> {
        let name = user.to_owned();
        self.look(move |broker, _| {
            let directory = broker.directory();
            let user = directory.user_id(&name)?;
            let node = directory.nodes(user).find(|node| node.offset == offset)?;
            Some(Place { node, directory: spool::directory(&name, node) })
        })
        .await
    }

    /// What of a node's queue its directory does not tell. To be asked first.
    pub(crate) async fn unfiled(&self, node: NodeId) -> Result<Unfiled, Stopping> {
        self.inquiry().ask(move |store| store.unfiled_of(node)).await.ok_or(Stopping)
    }

    /// Messages that wait for a node, after an id, the oldest first; and if there are more, the id
    /// that they come after.
    pub(crate) async fn waiting(
        &self,
        place: Place,
        after: MessageId,
        most: usize,
    ) -> io::Result<(Vec<Waiting>, Option<MessageId>)> {
        let unfiled = self.unfiled(place.node).await.map_err(io::Error::other)?;
        let disk = self.disk().clone();
        blocking(move || waiting(&*disk, &place.directory, &unfiled, after, most)).await
    }

    /// How much waits for a node: messages, and their bytes as they are delivered.
    pub(crate) async fn amount(&self, place: Place) -> io::Result<(u64, u64)> {
        let unfiled = self.unfiled(place.node).await.map_err(io::Error::other)?;
        let disk = self.disk().clone();
        blocking(move || amount(&*disk, &place.directory, &unfiled)).await
    }

    /// A message that waits for a node, whole; `None` if it does not.
    pub(crate) async fn message(
        &self,
        place: Place,
        id: MessageId,
    ) -> io::Result<Option<bytes::Bytes>> {
        let unfiled = self.unfiled(place.node).await.map_err(io::Error::other)?;
        let disk: Arc<FsDisk> = self.disk().clone();
        blocking(move || message(&*disk, &place.directory, &unfiled, id)).await
    }
}

/// Does what blocks on a thread for that.
async fn blocking<T: Send + 'static>(
    act: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(act).await?
}

/// As [`Operator::waiting`], for a store that is looked at.
pub(crate) fn waiting(
    disk: &dyn Disk,
    directory: &str,
    unfiled: &Unfiled,
    after: MessageId,
    most: usize,
) -> io::Result<(Vec<Waiting>, Option<MessageId>)> {
    let keep = |id| !unfiled.acked.contains(&id);
    let (filed, more) = match spool::names(disk, directory, after, most, keep) {
        Err(error) if error.kind() == ErrorKind::NotFound => (Vec::new(), 0),
        names => names?,
    };
    // What is in both was filed a moment ago.
    let mut all: BTreeMap<(MessageId, bool), Option<&Content>> =
        filed.into_iter().map(|name| (name, None)).collect();
    for (id, to_one, content) in unfiled.waiting.iter().filter(|(id, ..)| *id > after) {
        all.insert((*id, *to_one), Some(content));
    }
    let more = more > 0 || all.len() > most;
    let last = all.keys().take(most).next_back().map(|(id, _)| *id);
    let mut waiting = Vec::new();
    for ((id, to_one), content) in all.into_iter().take(most) {
        let (header, size) = match content {
            Some(content) => (header_of(content), content.message_len() as u64),
            None => match spool::head(disk, directory, id, to_one) {
                // Acked meanwhile.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                head => head.map(|head| (head.header, head.len))?,
            },
        };
        waiting.push(Waiting { id, to_one, header, size });
    }
    Ok((waiting, last.filter(|_| more)))
}

fn header_of(content: &Content) -> Option<bytes::Bytes> {
    let message = match content {
        Content::Whole(message) => message,
        Content::Staged(staged) => &staged.header,
    };
    let (header, _) = header::split(message).ok()?;
    Some(message.slice_ref(header))
}

/// As [`Operator::amount`], for a store that is looked at.
pub(crate) fn amount(
    disk: &dyn Disk,
    directory: &str,
    unfiled: &Unfiled,
) -> io::Result<(u64, u64)> {
    let (mut messages, mut bytes) = (0, 0);
    for (.., content) in &unfiled.waiting {
        messages += 1;
        bytes += content.message_len() as u64;
    }
    let is_unfiled = |id| unfiled.waiting.binary_search_by_key(&id, |(id, ..)| *id).is_ok();
    let keep = |id| !unfiled.acked.contains(&id) && !is_unfiled(id);
    let mut names = Vec::new();
    let mut measure = |names: &mut Vec<String>| {
        // What is not there any more was acked meanwhile.
        for len in disk.lengths(directory, names).into_iter().flatten() {
            messages += 1;
            bytes += spool::message_len(len);
        }
        names.clear();
    };
    let listed = disk.for_each_name(directory, &mut |name| {
        if spool::parse_name(name).is_some_and(|(id, _)| keep(id)) {
            names.push(name.to_owned());
            if names.len() >= AT_ONCE {
                measure(&mut names);
            }
        }
    });
    match listed {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        listed => listed?,
    }
    measure(&mut names);
    Ok((messages, bytes))
}

/// As [`Operator::message`], for a store that is looked at.
pub(crate) fn message(
    disk: &dyn Disk,
    directory: &str,
    unfiled: &Unfiled,
    id: MessageId,
) -> io::Result<Option<bytes::Bytes>> {
    if unfiled.acked.contains(&id) {
        return Ok(None);
    }
    let staged = match unfiled.waiting.iter().find(|(waiting, ..)| *waiting == id) {
        Some((.., Content::Whole(message))) => return Ok(Some(message.clone())),
        Some((.., Content::Staged(staged))) => Some(staged),
        None => None,
    };
    for to_one in [false, true] {
        if let Some(message) = spool::whole(disk, directory, id, to_one, staged)? {
            return Ok(Some(message));
        }
    }
    Ok(None)
}
