//! Posts to users that are offline: the clients that make them, from login to the last ack.

use super::client::Client;
use super::fill::LOGINS;
use super::gang::gang;
use super::meter::{Meter, Spent};
use super::poster::{Aim, Pace, Poster};
use super::rig::Rig;
use super::tally::Tally;
use super::template::Template;
use super::watch::stalled;
use super::world::World;
use anyhow::bail;
use std::cell::Cell;
use std::ops::Range;
use std::rc::Rc;

/// Who posts what to whom.
#[derive(Debug)]
pub(crate) struct Ingest {
    /// The users that post.
    pub(crate) posters: Range<u32>,
    /// Posts of each that wait for their ack.
    pub(crate) in_flight: u32,
    /// The users that are offline.
    pub(crate) recipients: Range<u32>,
    /// A post to one of them.
    pub(crate) template: Rc<Template>,
    /// The number of the next post.
    pub(crate) next: Rc<Cell<u32>>,
}

impl Ingest {
    /// Posts until there have been `most` posts in the world, and says what that cost.
    pub(crate) async fn post(
        &self,
        rig: &Rig,
        world: &Rc<World>,
        most: u32,
    ) -> anyhow::Result<Spent> {
        let (first, count) = (self.posters.start, self.posters.end - self.posters.start);
        let sessions = gang(count, LOGINS, |nth| rig.log_in(first + nth)).await?;
        let clients = (0..).zip(sessions).map(|(nth, session)| {
            let (users, next) = (self.recipients.clone(), self.next.clone());
            let aim = Aim::Spread { users, next, most };
            let in_flight = self.in_flight as usize;
            let poster = Poster::new(nth, self.template.clone(), 1, in_flight, Pace::Closed, aim);
            Client::poster(first + nth, session, world.clone(), Some(poster))
        });
        let mut clients = Vec::from_iter(clients).into_iter();
        let meter = Meter::start(rig.process(), world.clock)?;
        let posting = gang(count, count as usize, |_| {
            let client = clients.next();
            async move {
                match client {
                    Some(client) => client.live().await,
                    None => Ok(()),
                }
            }
        });
        let show = |tally: &Tally| format!("{} of {most} messages", tally.acked);
        tokio::select! {
            posted = posting => drop(posted?),
            () = stalled(world.clone(), "posting", show) => {
                bail!("the server acks no more, after {} posts", world.tally.borrow().acked)
            }
        }
        let end = world.tally.borrow().acked_at;
        meter.read_until(end)
    }
}
