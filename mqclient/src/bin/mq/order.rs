//! What a command asks of the server, in a form that another process can carry out.

use crate::failure::{Code, Failure};
use bytes::Bytes;
use mqclient::{Client, Error, Message, Outbox, Receipt, Status, To};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How often it is looked whether the link stands.
const LOOK: Duration = Duration::from_millis(50);

/// A request.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    Post { to: Vec<Recipient>, copies: bool, etc: Option<Box<RawValue>> },
    Ping { alias: String, etc: Option<Box<RawValue>> },
    ListAdd { list: String, users: Vec<String> },
    ListInvite { list: String, aliases: Vec<String> },
    ListRemove { list: String, users: Vec<String> },
    Status,
    DropNode(u8),
}

/// Whom a post is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Recipient {
    pub(crate) name: String,
    pub(crate) kind: Whom,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Whom {
    /// All nodes of a user.
    User,
    /// One of them, whichever takes it first.
    OneNode,
    /// The members of a list, but for oneself.
    List,
}

/// What came of it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Answer {
    Receipt(Ack),
    Status {
        status: Status,
        /// This profile's own node.
        node: Option<u8>,
        /// The server's name and version.
        server: Option<String>,
    },
    Done,
}

/// A server's ack.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Ack {
    pub(crate) msgid: Option<String>,
    pub(crate) posted: Option<String>,
    pub(crate) failed: BTreeMap<String, String>,
    pub(crate) warnings: Vec<String>,
}

impl From<Receipt> for Answer {
    fn from(Receipt { msgid, posted, failed, warnings, .. }: Receipt) -> Self {
        Self::Receipt(Ack { msgid, posted, failed, warnings })
    }
}

/// A client that carries out requests, for this process and for others.
#[derive(Debug, Clone)]
pub(crate) struct Desk {
    outbox: Outbox,
    node: Option<u8>,
    server: Option<String>,
}

impl Desk {
    pub(crate) fn new(client: &Client) -> Self {
        let login = client.login();
        Self { outbox: client.outbox(), node: login.node, server: login.server }
    }

    /// Carries it out, and waits for the server's answer, unless the link is away for longer than
    /// `patience`.
    pub(crate) async fn carry_out(
        &self,
        order: Order,
        data: Bytes,
        patience: Duration,
    ) -> Result<Answer, Failure> {
        let visit = Visit { outbox: &self.outbox, patience };
        visit.wait_for_link().await?;
        let outbox = visit.outbox;
        match order {
            Order::Post { to, copies, etc } => {
                let to = recipients(to, copies);
                visit.answered(outbox.post(&to, message(etc, data))).await.map(Answer::from)
            }
            Order::Ping { alias, etc } => {
                visit.answered(outbox.ping(&alias, message(etc, data))).await.map(Answer::from)
            }
            Order::ListAdd { list, users } => {
                visit.answered(outbox.list_add(&list, users.as_slice())).await.map(Answer::from)
            }
            Order::ListInvite { list, aliases } => {
                let message = Message::data(data);
                let inviting = outbox.list_invite(&list, aliases.as_slice(), message);
                visit.answered(inviting).await.map(Answer::from)
            }
            Order::ListRemove { list, users } => {
                visit.answered(outbox.list_remove(&list, users.as_slice())).await.map(Answer::from)
            }
            Order::Status => {
                let status = visit.answered(outbox.status()).await?;
                Ok(Answer::Status { status, node: self.node, server: self.server.clone() })
            }
            Order::DropNode(offset) => {
                visit.answered(outbox.drop_node(offset)).await.map(|()| Answer::Done)
            }
        }
    }
}

/// The time that an order takes.
struct Visit<'a> {
    outbox: &'a Outbox,
    patience: Duration,
}

impl Visit<'_> {
    /// What is given to a client without a link is sent some time, even if nobody waits any more:
    /// so it is given nothing.
    async fn wait_for_link(&self) -> Result<(), Failure> {
        let since = Instant::now();
        while !self.outbox.stats().online {
            if since.elapsed() > self.patience {
                let text = "the link to the server is lost; nothing was sent";
                return Err(Failure::new(Code::Unreachable, text));
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// Waits for an answer, as long as the link stands or is not away for too long.
    async fn answered<T>(
        &self,
        answer: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Failure> {
        let away = async {
            let mut since = Instant::now();
            while since.elapsed() <= self.patience {
                tokio::time::sleep(LOOK).await;
                if self.outbox.stats().online {
                    since = Instant::now();
                }
            }
        };
        tokio::select! {
            answer = answer => answer.map_err(|error| Failure::request(&error)),
            () = away => Err(Failure::uncertain("the link was lost before the answer came")),
        }
    }
}

fn message(etc: Option<Box<RawValue>>, data: Bytes) -> Message {
    let mut message = Message::data(data);
    message.etc = etc;
    message
}

fn recipients(recipients: Vec<Recipient>, copies: bool) -> To {
    let to =
        recipients.into_iter().fold(To::own_nodes(), |to, Recipient { name, kind }| match kind {
            Whom::User => to.and_user(name),
            Whom::OneNode => to.and_one_node(name),
            Whom::List => to.and_list(name),
        });
    if copies { to } else { to.no_copies() }
}
