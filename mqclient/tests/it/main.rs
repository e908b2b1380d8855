//! All tests of the clients, in one program: each would link all of it again.
#![allow(clippy::unwrap_used, reason = "a failure here fails the test")]

mod fake;
#[cfg(feature = "cli")]
mod shell;

mod client;
mod disk;
#[cfg(feature = "cli")]
mod mq_account;
#[cfg(feature = "cli")]
mod mq_chat;
#[cfg(feature = "cli")]
mod mq_examples;
#[cfg(feature = "cli")]
mod mq_list;
#[cfg(feature = "cli")]
mod mq_listen;
#[cfg(feature = "cli")]
mod mq_node;
#[cfg(feature = "cli")]
mod mq_pages;
#[cfg(feature = "cli")]
mod mq_post;
mod offline;
mod version2;
