//! The pace of an open loop: posts fall due one after the other, evenly, whatever the server does.
//!
//! The clients take turns. A post counts from when it was due, so that a server that stalls does not
//! hide it by holding up the load. The runtime's own timers tick in milliseconds, which is longer
//! than what is to be measured: this is a timer of the kernel's, set for exactly the next post.

use super::world::World;
use anyhow::Context;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::rc::Rc;
use tokio::net::unix::pipe;
use tokio::sync::mpsc::UnboundedSender;

/// The shortest time between two looks, in ns: at a high rate several posts fall due at one.
const SHORTEST: u64 = 40_000;

/// Tells the clients when they are to post, until one of them is gone.
pub(crate) async fn pace(
    world: Rc<World>,
    rate: f64,
    clients: Vec<UnboundedSender<u64>>,
) -> anyhow::Result<()> {
    let timer = timer().context("cannot make a timer")?;
    let start = world.clock.now();
    let mut turns = clients.iter().cycle();
    let mut posts = 0;
    while world.posting.get() {
        let now = world.clock.now() - start;
        while due(posts, rate) <= now {
            let at = start + due(posts, rate);
            if turns.next().is_none_or(|client| client.send(at).is_err()) {
                return Ok(());
            }
            posts += 1;
        }
        let next = due(posts, rate).max(now + SHORTEST);
        wait(&timer, world.clock.timespec(start + next)).await.context("the timer failed")?;
    }
    // The run goes on without it.
    std::future::pending().await
}

/// When the post after `posts` is due.
fn due(posts: u64, rate: f64) -> u64 {
    (posts as f64 * 1e9 / rate) as u64
}

/// To the runtime it is a pipe: like one it becomes readable, and is read. (What tokio has for other
/// descriptors is unsafe.)
fn timer() -> io::Result<pipe::Receiver> {
    let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
    pipe::Receiver::from_owned_fd_unchecked(timerfd_create(TimerfdClockId::Monotonic, flags)?)
}

/// Waits until a time, once.
async fn wait(timer: &pipe::Receiver, at: Timespec) -> io::Result<()> {
    let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: at };
    timerfd_settime(timer.as_fd(), TimerfdTimerFlags::ABSTIME, &once)?;
    loop {
        timer.readable().await?;
        match timer.try_read(&mut [0; 8]) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            read => return read.map(drop),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc::unbounded_channel;

    #[test]
    fn posts_fall_due_evenly() {
        assert_eq!(due(0, 1000.0), 0);
        assert_eq!(due(1, 1000.0), 1_000_000);
        assert_eq!(due(7, 3.0), 2_333_333_333);
    }

    #[tokio::test]
    async fn the_clients_take_turns_until_one_is_gone() {
        let (first, mut of_first) = unbounded_channel();
        let (second, mut of_second) = unbounded_channel();
        let pacing = pace(World::new(0, 0).unwrap(), 100_000.0, vec![first, second]);
        let listening = async {
            let mut last = 0;
            for turn in 0..50 {
                let time =
                    if turn % 2 == 0 { of_first.recv().await } else { of_second.recv().await };
                let time = time.unwrap();
                assert!(turn == 0 || time > last);
                last = time;
            }
            drop(of_first);
        };
        let (paced, ()) = tokio::join!(pacing, listening);
        paced.unwrap();
        while of_second.recv().await.is_some() {}
    }

    #[tokio::test]
    async fn a_client_is_told_when_a_post_is_due_and_not_when_the_next_one_is() {
        let world = World::new(0, 0).unwrap();
        let (client, mut due) = unbounded_channel();
        // 10 ms apart. The machine may be busy for a moment, but not at half of them.
        let pacing = pace(world.clone(), 100.0, vec![client]);
        let listening = async {
            let mut late = Vec::new();
            for _ in 0..15 {
                let at = due.recv().await.unwrap();
                late.push(world.clock.now() - at);
            }
            late.sort_unstable();
            late[late.len() / 2]
        };
        let late = tokio::select! {
            paced = pacing => panic!("{paced:?}"),
            late = listening => late,
        };
        assert!(late < 5_000_000, "{late} ns");
    }
}
