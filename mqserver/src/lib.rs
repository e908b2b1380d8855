//! The daemon: mqlib's broker and store, with sockets, threads, a clock and a command line.
//!
//! [`run`] is the whole server, for `main` and for tests alike: it takes a configuration and
//! listeners, and returns when the shutdown it was given has happened. The broker is one task, the
//! store one thread with two workers for files; each connection is a task of its own, which parses
//! requests in parallel to all others ([`door`]).

pub mod admin;
pub mod api;
pub mod backup;
pub mod cert;
pub mod check;
pub mod config;
pub mod control;
pub mod door;
mod engine;
pub mod exposure;
mod hasher;
pub mod lock;
pub mod logging;
mod mailbox;
pub mod metrics;
pub mod operator;
pub mod pages;
mod plain;
mod post_office;
pub mod recent;
mod reload;
pub mod server;
mod status;
pub mod stopped;
mod store_thread;
pub mod supervisor;
pub mod tls;
mod turns;
mod watch;

pub use server::run;
