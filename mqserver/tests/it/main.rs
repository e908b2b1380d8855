//! All tests of a real server, in one program: each would link all of it again.
#![allow(clippy::unwrap_used, reason = "a failure here fails the test")]

mod common;

mod accounts;
mod api_doc;
mod backup;
mod bad_input;
mod check;
mod client;
mod commands;
mod config;
mod credentials;
mod drop_node;
mod durability;
mod hostile_store;
mod limits;
mod metrics;
mod node;
mod operate;
mod operating;
mod operator;
mod peers;
mod protocol_doc;
mod reposts;
mod status;
mod store;
mod supervisor;
mod takeover;
mod tls;
mod version2;
