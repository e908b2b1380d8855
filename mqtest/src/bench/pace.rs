//! The pace of an open loop: posts fall due one after the other, evenly, whatever the server does.
//!
//! The clients take turns. A post counts from when it was due, so that a server that stalls does not
//! hide it by holding up the load. The runtime's own timers tick in milliseconds, which is longer
//! than what is to be measured: this is a timer of the kernel's, and a thread that waits for it.

use super::clock::Clock;
use anyhow::Context;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use std::os::fd::OwnedFd;
use tokio::sync::mpsc::UnboundedSender;

/// The shortest time between two ticks, in ns; at a higher rate several posts fall due at a tick.
const SHORTEST: f64 = 50_000.0;

/// Tells the clients when they are to post, until one of them is gone.
pub(crate) fn pace(
    clock: Clock,
    rate: f64,
    clients: Vec<UnboundedSender<u64>>,
) -> anyhow::Result<()> {
    let timer = timer((1e9 / rate).max(SHORTEST)).context("cannot make a timer")?;
    let thread = std::thread::Builder::new().name("pace".into());
    let tell = move || {
        let start = clock.now();
        let mut turns = clients.iter().cycle();
        let mut posts = 0_u64;
        // How many ticks have passed says the clock.
        while rustix::io::read(&timer, &mut [0; 8]).is_ok() {
            while let Some(at) = due(posts, rate, clock.now() - start) {
                if turns.next().is_none_or(|client| client.send(start + at).is_err()) {
                    return;
                }
                posts += 1;
            }
        }
    };
    thread.spawn(tell).context("cannot start a thread for the pace")?;
    Ok(())
}

/// When the post after `posts` was due, if it was.
fn due(posts: u64, rate: f64, now: u64) -> Option<u64> {
    let at = (posts as f64 * 1e9 / rate) as u64;
    (at <= now).then_some(at)
}

fn timer(nanos: f64) -> std::io::Result<OwnedFd> {
    let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC)?;
    let (seconds, nanos) = (nanos as i64 / 1_000_000_000, nanos as i64 % 1_000_000_000);
    let tick = Timespec { tv_sec: seconds, tv_nsec: nanos as _ };
    let ticks = Itimerspec { it_interval: tick, it_value: tick };
    timerfd_settime(&timer, TimerfdTimerFlags::empty(), &ticks)?;
    Ok(timer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn posts_fall_due_evenly() {
        assert_eq!(due(0, 1000.0, 0), Some(0));
        assert_eq!(due(1, 1000.0, 999_999), None);
        assert_eq!(due(1, 1000.0, 1_500_000), Some(1_000_000));
        assert_eq!(due(1000, 1000.0, u64::MAX), Some(1_000_000_000));
    }

    #[tokio::test]
    async fn the_clients_take_turns_until_one_is_gone() {
        let (first, mut of_first) = tokio::sync::mpsc::unbounded_channel();
        let (second, mut of_second) = tokio::sync::mpsc::unbounded_channel();
        pace(Clock::start(), 100_000.0, vec![first, second]).unwrap();
        let mut last = 0;
        for turn in 0..50 {
            let time = if turn % 2 == 0 { of_first.recv().await } else { of_second.recv().await };
            let time = time.unwrap();
            assert!(turn == 0 || time > last);
            last = time;
        }
        drop(of_first);
        while of_second.recv().await.is_some() {}
    }
}
