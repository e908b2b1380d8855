//! The sending side of a client: a handle that any number of tasks may hold.

use crate::error::Error;
use crate::members::Members;
use crate::message::{Message, Receipt, To};
use crate::request::Request;
use crate::session::Stats;
use crate::status::Status;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout_at};

/// A request, and where to tell what became of it.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) request: Request,
    pub(crate) deadline: Option<std::time::Instant>,
    /// Where to tell that there was room for it, in the outbox on disk too if there is one.
    pub(crate) accepted: Option<oneshot::Sender<Result<(), Error>>>,
    pub(crate) settled: oneshot::Sender<Result<Receipt, Error>>,
}

/// Posts and edits lists for a [`Client`](crate::Client); works until that client is closed,
/// dropped or refused. Clones share the one connection, in the order of their calls.
///
/// Requests wait while the link is down. At the limits of [`Config`](crate::Config) a further one
/// waits until earlier ones are acked.
///
/// With an [outbox on disk](crate::Config::outbox) a post is durable there before it is sent. One that
/// its caller does not wait for any more goes on, after a restart of the program too.
#[derive(Clone)]
pub struct Outbox {
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) stats: watch::Receiver<Stats>,
    /// Is there an outbox on disk?
    pub(crate) durable: bool,
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl Outbox {
    /// Posts `message` and waits for the server's ack: then it is stored for all its recipients.
    ///
    /// Unknown recipients are no error; [`Receipt::warnings`] names them.
    ///
    /// # Errors
    /// [`Error::Rejected`], [`Error::TooLarge`] (than the server takes), [`Error::HeaderTooLong`]:
    /// this one was not posted. [`Error::Disk`]: the outbox on disk has no room for it, and it was not
    /// posted. [`Error::Deadline`] says whether it was sent. Any other ends the client, and the message
    /// may have been posted or not; in an outbox on disk it waits for the next client.
    pub async fn post(&self, to: &To, message: impl Into<Message>) -> Result<Receipt, Error> {
        self.start_post(to, message).await?.await
    }

    /// Hands `message` over to be posted, behind all that was handed over before, and does not wait
    /// for the ack: that is what the [`Posting`] does. With an outbox on disk it is durable there when
    /// this returns; posts that are handed over together share a sync. With a deadline this waits until
    /// there is room for it.
    ///
    /// # Errors
    /// [`Error::Closed`]; [`Error::Deadline`], before there was room; with an outbox on disk all that
    /// [`post`](Self::post) says.
    pub async fn start_post(&self, to: &To, message: impl Into<Message>) -> Result<Posting, Error> {
        self.start(Request::Post { to: to.clone(), message: message.into() }).await
    }

    /// Posts `message` to the owner of `alias`.
    ///
    /// # Errors
    /// As [`post`](Self::post); [`Error::Rejected`] for an alias that nobody has.
    pub async fn ping(&self, alias: &str, message: impl Into<Message>) -> Result<Receipt, Error> {
        self.start_ping(alias, message).await?.await
    }

    /// As [`start_post`](Self::start_post), to the owner of `alias`.
    ///
    /// # Errors
    /// As there.
    pub async fn start_ping(
        &self,
        alias: &str,
        message: impl Into<Message>,
    ) -> Result<Posting, Error> {
        self.start(Request::Ping { alias: alias.to_owned(), message: message.into() }).await
    }

    /// Adds users to `list`, which is created if there is none of that name: one, or all of several
    /// or none. With one's own name it accepts an invitation. All members are told, once.
    ///
    /// # Errors
    /// As [`post`](Self::post); [`Error::Rejected`] if one is no member oneself, or if a user does
    /// not exist; [`Error::Argument`] for nobody, and for several if the server knows only version
    /// 1. Sent again after a lost link, an edit that was done already may be rejected for that.
    pub async fn list_add(&self, list: &str, users: impl Into<Members>) -> Result<Receipt, Error> {
        self.list_edit(list, "add", users.into(), Message::default()).await
    }

    /// Invites the owners of aliases to `list`, with `message`: one, or all of several or none. All
    /// members are told, once.
    ///
    /// # Errors
    /// As [`list_add`](Self::list_add).
    pub async fn list_invite(
        &self,
        list: &str,
        aliases: impl Into<Members>,
        message: impl Into<Message>,
    ) -> Result<Receipt, Error> {
        self.list_edit(list, "invite", aliases.into(), message.into()).await
    }

    /// Removes users from `list`: one, or all of several or none. An emptied list vanishes. All
    /// members are told, once, and those removed.
    ///
    /// # Errors
    /// As [`list_add`](Self::list_add).
    pub async fn list_remove(
        &self,
        list: &str,
        users: impl Into<Members>,
    ) -> Result<Receipt, Error> {
        self.list_edit(list, "remove", users.into(), Message::default()).await
    }

    /// Replaces one's own aliases; those that others have are silently left out. All one's nodes,
    /// this one too, get a delivery of [`Kind::Registered`](crate::Kind::Registered) that names the
    /// new ones, and the [`Posting`] is done when it has arrived here.
    ///
    /// That may wait behind messages that are not acked, so do not await it where you ack them.
    ///
    /// # Errors
    /// [`Error::Argument`] for no alias at all, which changes nothing, and [`Error::Closed`].
    pub async fn set_aliases(&self, aliases: &[&str]) -> Result<Posting, Error> {
        let joined = aliases.join(" ");
        if joined.trim().is_empty() {
            return Err(Error::Argument("no aliases"));
        }
        self.start(Request::Aliases(joined)).await
    }

    /// Asks the server about one's own user: its nodes and what waits for them, its aliases, its
    /// lists.
    ///
    /// # Errors
    /// [`Error::Argument`], [`Error::Rejected`]: the server is too old for it, or is asked too
    /// often. Any other ends the client.
    pub async fn status(&self) -> Result<Status, Error> {
        let receipt = self.start(Request::Status).await?.await?;
        Status::parse(receipt.etc.as_deref().unwrap_or_default())
    }

    /// Takes the node at an offset away from one's own user: its link ends, nobody logs in as it
    /// any more, and what waits for it is gone. If it is this client's own, the client ends too.
    ///
    /// # Errors
    /// [`Error::Rejected`]: there is none, or it is the only one. Sent again after a lost link, one
    /// that was dropped already may be rejected for that. Otherwise as [`status`](Self::status).
    pub async fn drop_node(&self, offset: u8) -> Result<(), Error> {
        self.start(Request::DropNode(offset)).await?.await.map(drop)
    }

    /// What has happened so far.
    pub fn stats(&self) -> Stats {
        *self.stats.borrow()
    }

    async fn list_edit(
        &self,
        list: &str,
        edit: &'static str,
        Members(members): Members,
        message: Message,
    ) -> Result<Receipt, Error> {
        if members.is_empty() {
            return Err(Error::Argument("no members"));
        }
        let list = list.to_owned();
        self.start(Request::ListEdit { list, edit, members, message }).await?.await
    }

    async fn start(&self, request: Request) -> Result<Posting, Error> {
        let (settled, posting) = oneshot::channel();
        let within = request.within().map(|within| within.min(FAR));
        let deadline = within.and_then(|within| Instant::now().checked_add(within));
        let waits = deadline.is_some() || self.durable && request.is_post();
        let (accepted, acceptance) = match waits {
            true => {
                let (accepted, acceptance) = oneshot::channel();
                (Some(accepted), Some(acceptance))
            }
            false => (None, None),
        };
        let by = deadline.map(Instant::into_std);
        let command = Command { request, deadline: by, accepted, settled };
        let handing_over = async {
            self.commands.send(command).await.map_err(|_| Error::Closed)?;
            match acceptance {
                Some(acceptance) => acceptance.await.unwrap_or(Err(Error::Closed)),
                None => Ok(()),
            }
        };
        match deadline {
            None => handing_over.await?,
            // It waited for room, or for the disk: it never came to be sent.
            Some(deadline) => timeout_at(deadline, handing_over)
                .await
                .unwrap_or(Err(Error::Deadline { maybe_stored: false }))?,
        }
        Ok(Posting(posting))
    }
}

/// Later than any deadline that makes sense, and early enough to be reckoned with.
const FAR: Duration = Duration::from_secs(100 * 365 * 86_400);

/// A request on its way: a future of its [`Receipt`]. Dropped, the request goes on.
#[derive(Debug)]
#[must_use = "a posting is the only one to learn that its post failed"]
pub struct Posting(pub(crate) oneshot::Receiver<Result<Receipt, Error>>);

impl Future for Posting {
    type Output = Result<Receipt, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|result| result.unwrap_or(Err(Error::Closed)))
    }
}
