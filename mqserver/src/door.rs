//! The doors: how clients reach the broker. So far there is one, [`ws`].

pub mod ws;
