//! Whose turn it is to be hashed.
//!
//! A hash takes a processor for 20 ms and 19 MiB, and anyone may ask for one. So as many are made at
//! a time as there are processors, and no more of them for one address than that wait for the rest:
//! however many strangers log in from one place, whoever comes from another waits behind a few of
//! them, not behind all.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Semaphore, SemaphorePermit};

/// The order.
pub(crate) struct Turns {
    at_once: usize,
    all: Semaphore,
    /// The places that wait, each with how many do.
    places: Mutex<HashMap<IpAddr, (Arc<Semaphore>, usize)>>,
}

/// A place among those that wait; given up when it is dropped.
struct Place<'a> {
    turns: &'a Turns,
    address: IpAddr,
    queue: Arc<Semaphore>,
}

impl Turns {
    /// So many are made at a time.
    pub(crate) fn new(at_once: usize) -> Self {
        Self { at_once, all: Semaphore::new(at_once), places: Mutex::default() }
    }

    /// Does it when it is the address's turn. `None` if it never is: the server ends.
    pub(crate) async fn wait<T>(
        &self,
        address: IpAddr,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        let place = self.place(address);
        let _first: SemaphorePermit<'_> = place.queue.acquire().await.ok()?;
        let _then = self.all.acquire().await.ok()?;
        Some(work.await)
    }

    fn place(&self, address: IpAddr) -> Place<'_> {
        let address = household(address);
        let mut places = self.places();
        let queue = || (Arc::new(Semaphore::new(self.at_once)), 0);
        let (queue, waiting) = places.entry(address).or_insert_with(queue);
        *waiting += 1;
        Place { turns: self, address, queue: queue.clone() }
    }

    fn places(&self) -> MutexGuard<'_, HashMap<IpAddr, (Arc<Semaphore>, usize)>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut places = self.turns.places();
        if let Some((_, waiting)) = places.get_mut(&self.address) {
            *waiting -= 1;
            if *waiting == 0 {
                places.remove(&self.address);
            }
        }
    }
}

/// The address, or of IPv6 the network, of which a household has one or more.
fn household(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = u128::from(address) >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from(network))
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test]
    async fn who_comes_from_elsewhere_waits_behind_a_few_and_nothing_is_kept() {
        let turns = Arc::new(Turns::new(2));
        let crowd = Arc::new(AtomicUsize::new(0));
        let mut waiting = tokio::task::JoinSet::new();
        let hash = || async {
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
        };
        for last in 0..200 {
            let (turns, crowd) = (turns.clone(), crowd.clone());
            let address = format!("2001:db8::{last:x}").parse().unwrap();
            waiting.spawn(async move {
                turns.wait(address, hash()).await.unwrap();
                crowd.fetch_add(1, Ordering::Relaxed);
            });
        }
        tokio::task::yield_now().await;
        turns.wait("192.0.2.1".parse().unwrap(), hash()).await.unwrap();
        let before = crowd.load(Ordering::Relaxed);
        assert!(before <= 6, "{before} of the crowd came first");
        waiting.join_all().await;
        assert_eq!(crowd.load(Ordering::Relaxed), 200);
        assert!(turns.places().is_empty());
    }
}
