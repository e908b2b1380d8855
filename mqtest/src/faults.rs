//! Programs that break a real server, or what it stands on, and hold it to its promises: `crash`,
//! `powercut`, `sync_failure`, `full_disk`, `clocks` and `reposts`.
//!
//! A [`crowd`] of clients in this process posts to each other, receives and acks, and tells a history
//! all of it, over all lives of one server on one store. A [`trial`] starts those lives, one after
//! the other, and now and then a whole one in which everybody gets what waits for them. What breaks
//! the server is from outside: [`strace`] for system calls, and a file system of its own ([`volume`])
//! that can be full, or lose its power.

pub(crate) mod clocks;
pub(crate) mod crash;
mod crowd;
pub(crate) mod full_disk;
mod letter;
mod member;
pub(crate) mod powercut;
pub(crate) mod reposts;
mod strace;
pub(crate) mod sync_failure;
mod tools;
mod trial;
mod verdict;
mod volume;
