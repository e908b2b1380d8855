//! The doors: how clients reach the broker. So far there is one, `ws`.
//!
//! `entrance` accepts connections, `census` counts them, `ledger` keeps count for the operator, `ws` is the life of a link, and
//! `pulse` finds out whether its peer still lives.

pub(crate) mod census;
pub(crate) mod entrance;
pub(crate) mod ledger;
pub mod limits;
mod pulse;
mod ws;
