//! A node that is logged in.

use crate::address::{Address, Server};
use crate::config::Config;
use crate::delivery::Delivery;
use crate::disk::Disk;
use crate::enrol::{self, Registered, Registration};
use crate::error::Error;
use crate::login::Login;
use crate::members::Members;
use crate::message::{Message, Receipt, To};
use crate::outbox::{Outbox, Posting};
use crate::session::{Saved, Stats, anywhere};
use crate::status::Status;
use crate::task::{Control, Task, now, random};
use futures_core::Stream;
use mqlib::request::NodeName;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::spawn_blocking;

/// A node that is logged in, and stays so: a lost link is made again.
///
/// It receives with [`next`](Self::next), and sends by the methods that it shares with [`Outbox`];
/// [`outbox`](Self::outbox) gives other tasks the same. Dropped, it ends its link at
/// once, and what was not yet sent, acks too, is not sent any more; [`close`](Self::close) sends it.
#[derive(Debug)]
pub struct Client {
    outbox: Outbox,
    deliveries: mpsc::UnboundedReceiver<Delivery>,
    control: mpsc::UnboundedSender<Control>,
    login: watch::Receiver<Login>,
    trouble: watch::Receiver<Option<Error>>,
    restored: Restored,
    ended: oneshot::Receiver<Error>,
    why: Option<Error>,
}

/// What an earlier client left in the outbox on disk.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Restored {
    /// Its posts, which are sent before all others, in their order.
    pub postings: Vec<Posting>,
    /// What was damaged and is not sent, an [`Error::Disk`] each: it is put aside beside the others, for
    /// whoever runs the program to look at.
    pub damaged: Vec<Error>,
}

impl Client {
    /// Connects and logs in, by a [`Config`] or by `(url, Credentials)`. This first time nothing is
    /// tried twice, unless [`Config::begin_offline`] says so.
    ///
    /// # Errors
    /// [`Error::Disk`]: the outbox or the memory cannot be used, or another client uses it;
    /// [`Error::Address`], [`Error::Connect`], [`Error::Untrusted`], [`Error::Tls`],
    /// [`Error::Protocol`]: no such server;
    /// [`Error::UserUnknown`], [`Error::NodeUnknown`], [`Error::NodeActive`], [`Error::Refused`]: it
    /// does not let us in.
    pub async fn connect(config: impl Into<Config>) -> Result<Self, Error> {
        let config = config.into();
        let address = Address::of(&config.server)?;
        let durable = config.outbox.is_some();
        let (config, disk, saved, damaged) = open_disk(config).await?;
        let (task, handles) = Task::new(address, config, disk, saved);
        tokio::spawn(task.run());
        let postings = handles.restored.into_iter().map(Posting).collect();
        let client = Self {
            outbox: Outbox { commands: handles.commands, stats: handles.stats, durable },
            trouble: handles.trouble,
            restored: Restored { postings, damaged },
            deliveries: handles.deliveries,
            control: handles.control,
            login: handles.login,
            ended: handles.ended,
            why: None,
        };
        handles.ready.await.unwrap_or(Err(Error::Closed))?;
        Ok(client)
    }

    /// Creates `user` with the node `node`, over a connection of its own. The node's name is its
    /// password from then on.
    ///
    /// # Errors
    /// [`Error::UserExists`], [`Error::Rejected`], or what [`connect`](Self::connect) says.
    pub async fn register(
        server: impl Into<Server>,
        user: &str,
        node: &str,
        aliases: &[&str],
    ) -> Result<Registered, Error> {
        let node = Some(NodeName::new(node.to_owned()));
        let aliases = aliases.iter().map(|alias| (*alias).to_owned()).collect();
        let wanted = Registration { node, aliases, ..Registration::new(user) };
        enrol::register(&server.into(), &wanted).await
    }

    /// Creates a user as [`register`](Self::register) does, perhaps by an invitation, perhaps with a
    /// node whose name the server issues.
    ///
    /// # Errors
    /// As there. A server of version 1 rejects a register without a node's name.
    pub async fn enrol(
        server: impl Into<Server>,
        wanted: &Registration,
    ) -> Result<Registered, Error> {
        enrol::register(&server.into(), wanted).await
    }

    /// Adds a node named `new` to `user`, who has `prev` already, over a connection of its own.
    /// What waits for `prev` will be delivered to the new one too. Returns the node's offset; a node
    /// that was added before keeps its own.
    ///
    /// # Errors
    /// [`Error::UserUnknown`], [`Error::NodeUnknown`], [`Error::Rejected`], or what
    /// [`connect`](Self::connect) says.
    pub async fn add_node(
        server: impl Into<Server>,
        user: &str,
        new: &str,
        prev: &str,
    ) -> Result<u8, Error> {
        enrol::add_node(&server.into(), user, new, prev).await
    }

    /// Adds a node as [`add_node`](Self::add_node) does, but the server issues its name. Returns the
    /// offset and the name, which is told this once: if the answer is lost, the node is there, but
    /// nobody can log in as it.
    ///
    /// # Errors
    /// As there. A server of version 1 rejects it.
    pub async fn issue_node(
        server: impl Into<Server>,
        user: &str,
        prev: &NodeName,
    ) -> Result<(u8, NodeName), Error> {
        enrol::issue_node(&server.into(), user, prev).await
    }

    /// The next message for this node, in the order in which the server took them. At most a
    /// [window](Config::window) of them comes before one is acked. Dropped while waiting, it loses
    /// nothing.
    ///
    /// # Errors
    /// The client ended, for the reason given: the server refuses it for good. A lost link is no
    /// such reason.
    pub async fn next(&mut self) -> Result<Delivery, Error> {
        if let Some(delivery) = self.deliveries.recv().await {
            return Ok(delivery);
        }
        if self.why.is_none() {
            self.why = Some((&mut self.ended).await.unwrap_or(Error::Closed));
        }
        Err(self.why.clone().unwrap_or(Error::Closed))
    }

    /// What an earlier client left in the outbox on disk; the second time nothing. Whoever does not ask
    /// finds in the log what became of it.
    pub fn restored(&mut self) -> Restored {
        std::mem::take(&mut self.restored)
    }

    /// Why there is no link at this moment, as far as it was tried: the client goes on trying. `None`
    /// while it is online.
    pub fn trouble(&self) -> Option<Error> {
        self.trouble.borrow().clone()
    }

    /// A handle that posts, for other tasks.
    pub fn outbox(&self) -> Outbox {
        self.outbox.clone()
    }

    /// As [`Outbox::post`].
    ///
    /// # Errors
    /// As there.
    pub async fn post(&self, to: &To, message: impl Into<Message>) -> Result<Receipt, Error> {
        self.outbox.post(to, message).await
    }

    /// As [`Outbox::ping`].
    ///
    /// # Errors
    /// As there.
    pub async fn ping(&self, alias: &str, message: impl Into<Message>) -> Result<Receipt, Error> {
        self.outbox.ping(alias, message).await
    }

    /// As [`Outbox::list_add`].
    ///
    /// # Errors
    /// As there.
    pub async fn list_add(&self, list: &str, users: impl Into<Members>) -> Result<Receipt, Error> {
        self.outbox.list_add(list, users).await
    }

    /// As [`Outbox::list_invite`].
    ///
    /// # Errors
    /// As there.
    pub async fn list_invite(
        &self,
        list: &str,
        aliases: impl Into<Members>,
        message: impl Into<Message>,
    ) -> Result<Receipt, Error> {
        self.outbox.list_invite(list, aliases, message).await
    }

    /// As [`Outbox::list_remove`].
    ///
    /// # Errors
    /// As there.
    pub async fn list_remove(
        &self,
        list: &str,
        users: impl Into<Members>,
    ) -> Result<Receipt, Error> {
        self.outbox.list_remove(list, users).await
    }

    /// As [`Outbox::set_aliases`].
    ///
    /// # Errors
    /// As there.
    pub async fn set_aliases(&self, aliases: &[&str]) -> Result<Posting, Error> {
        self.outbox.set_aliases(aliases).await
    }

    /// As [`Outbox::status`].
    ///
    /// # Errors
    /// As there.
    pub async fn status(&self) -> Result<Status, Error> {
        self.outbox.status().await
    }

    /// As [`Outbox::drop_node`].
    ///
    /// # Errors
    /// As there.
    pub async fn drop_node(&self, offset: u8) -> Result<(), Error> {
        self.outbox.drop_node(offset).await
    }

    /// What the server said at the latest login.
    pub fn login(&self) -> Login {
        self.login.borrow().clone()
    }

    /// What has happened so far.
    pub fn stats(&self) -> Stats {
        self.outbox.stats()
    }

    /// Sends what was handed over, acks included, and ends the connection; waits at most a few
    /// seconds for the server. Posts whose receipts did not come fail with [`Error::Closed`].
    pub async fn close(self) {
        let (done, closed) = oneshot::channel();
        if self.control.send(Control::Close(done)).is_ok() {
            // The task is gone: closed, too.
            let _ = closed.await;
        }
    }
}

/// The deliveries that [`next`](Client::next) gives; after its error the end.
impl Stream for Client {
    type Item = Result<Delivery, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(delivery) = ready!(self.deliveries.poll_recv(cx)) {
            return Poll::Ready(Some(Ok(delivery)));
        }
        if self.why.is_some() {
            return Poll::Ready(None);
        }
        let why = ready!(Pin::new(&mut self.ended).poll(cx)).unwrap_or(Error::Closed);
        self.why = Some(why.clone());
        Poll::Ready(Some(Err(why)))
    }
}

async fn open_disk(config: Config) -> Result<(Config, Disk, Saved, Vec<Error>), Error> {
    let ids = anywhere(random());
    let open = move || {
        let (disk, saved, damaged) = Disk::open(&config, now(), ids)?;
        for why in &damaged {
            tracing::warn!(%why, "the outbox is damaged");
        }
        Ok((config, disk, saved, damaged))
    };
    spawn_blocking(open).await.unwrap_or(Err(Error::Closed))
}

impl Drop for Client {
    fn drop(&mut self) {
        // Deliveries and outboxes that live on do not keep the link.
        let _ = self.control.send(Control::Drop);
    }
}
