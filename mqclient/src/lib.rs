//! A client of websocket.MQ, "email for programs": it logs in as one node (device) of a user, posts
//! messages that the server stores before it acks them, and receives those queued for its node.
//!
//! ```no_run
//! # async fn example() -> Result<(), mqclient::Error> {
//! use mqclient::{Client, Config, Message, To};
//!
//! let config = Config::new("ws://127.0.0.1:8008", "alice", "alice-laptop");
//! let mut client = Client::connect(config).await?;
//! client.post(&To::user("bob"), Message::data("hello")).await?;
//! loop {
//!     let delivery = client.next().await?;
//!     println!("{} says {:?}", delivery.from, delivery.data);
//!     delivery.ack().await?;
//! }
//! # }
//! ```
//!
//! # What is promised
//! - A post whose [`Receipt`] came is on the server's disk, in the queue of every recipient's node.
//! - A lost link is made again, with growing pauses; what was not acked is sent again, in its order.
//!   A server of version 2 knows it again and stores it **once**; one of version 1 does not, so a post
//!   whose ack was lost with the link arrives twice there.
//! - With an [outbox on disk](Config::outbox) posts outlive the program: what was not acked is sent by
//!   the next client, under the same ids. A post with a [deadline](Message::within) is given up then.
//! - Messages come in the order in which the server took them, up to [`Config::window`] of them
//!   before one is acked; acks may come in any order. One that is never acked holds back nothing but
//!   its place in the window.
//! - Over a lost link the server sends again what it has no ack of. What the application still has,
//!   or has acked, is not shown again, as far as the last four windows are concerned (256 messages
//!   at least), and what was acked is acked once more. After a restart of the program all that was
//!   not acked comes again; with a [memory](Config::memory) nothing that was.
//! - A server that speaks only version 1 of the protocol is spoken to in that: it delivers one
//!   message at a time, and one that is not acked holds back the next.
//!
//! # TLS
//! `wss://` and `mqs://` trust whom the system trusts; for others, and to show a certificate of the
//! client's own, give a [`Server`] with a [`Tls`] in place of the URL.
//!
//! # How it is built
//! `session` is the protocol, without I/O and clock: what is unacked, what to send, when to try
//! again. `task` is the shell around it: one task that owns the link. `disk` is the outbox and the
//! memory, on a thread that may block. [`Client`] and [`Outbox`] are handles that talk to that task over
//! channels.

mod address;
mod client;
mod config;
mod delivery;
mod disk;
mod enrol;
mod error;
mod login;
mod members;
mod message;
mod outbox;
mod request;
mod session;
mod status;
mod task;
mod tls;

pub use address::Server;
pub use client::{Client, Restored};
pub use config::{Config, Credentials};
pub use delivery::{Acking, Delivery, Kind};
pub use enrol::{Registered, Registration};
pub use error::Error;
pub use login::{Login, Version};
pub use members::Members;
pub use message::{Message, Receipt, To};
pub use mqlib::request::NodeName;
pub use outbox::{Outbox, Posting};
pub use session::Stats;
pub use status::{NodeStatus, Status};
pub use tls::Tls;
