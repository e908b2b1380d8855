//! What all clients of a run share, on their one thread.

use super::clock::Clock;
use super::tally::Tally;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// Shared by the clients of a run.
#[derive(Debug)]
pub(crate) struct World {
    /// The run's time.
    pub(crate) clock: Clock,
    /// What has happened.
    pub(crate) tally: RefCell<Tally>,
    /// Whether anybody posts.
    pub(crate) posting: Cell<bool>,
    /// Nobody posts while so many deliveries are on their way.
    pub(crate) behind: Cell<u64>,
}

impl World {
    /// A run with so many receivers and posters.
    pub(crate) fn new(receivers: u32, posters: u32) -> anyhow::Result<Rc<Self>> {
        Ok(Rc::new(Self {
            clock: Clock::start(),
            tally: RefCell::new(Tally::new(receivers, posters)?),
            posting: Cell::new(true),
            behind: Cell::new(u64::MAX),
        }))
    }
}
