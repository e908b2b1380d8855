//! The queue of websocket.MQ: email for programs, as a library without sockets, threads or a clock.
//!
//! The wire format is in [`header`], [`request`], [`reply`] and [`quit`]; with it alone (no default
//! features) a client is built. The queue itself is [`broker`]: read that first. What it asks of a
//! disk is done by [`store`], which keeps messages in [`journal`] and [`spool`], and users and lists
//! in [`registry`]; the only code that touches a file is [`disk`].

#[cfg(feature = "queue")]
pub mod broker;
#[cfg(feature = "queue")]
mod by_user;
#[cfg(feature = "queue")]
pub mod check;
#[cfg(feature = "queue")]
pub mod credential;
#[cfg(feature = "queue")]
pub mod directory;
#[cfg(feature = "queue")]
pub mod disk;
#[cfg(feature = "queue")]
mod failed;
#[cfg(feature = "queue")]
mod fanout;
#[cfg(test)]
mod fuzz;
pub mod header;
#[cfg(feature = "queue")]
pub mod histogram;
pub mod id;
#[cfg(feature = "queue")]
pub mod journal;
mod json;
#[cfg(feature = "queue")]
pub mod limits;
pub mod name;
#[cfg(feature = "queue")]
pub mod node;
pub mod now;
#[cfg(feature = "queue")]
pub mod posted;
#[cfg(feature = "queue")]
mod queue;
pub mod quit;
#[cfg(feature = "queue")]
pub mod registry;
pub mod reply;
pub mod request;
#[cfg(feature = "queue")]
pub mod secret;
#[cfg(feature = "queue")]
pub mod spool;
#[cfg(feature = "queue")]
pub mod store;
#[cfg(feature = "testing")]
pub mod testing;
