//! Who is there: connections counted, in all and by address.

use super::limits::DoorLimits;
use mqlib::quit::Quit;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// The connections there are.
#[derive(Debug, Default)]
pub(crate) struct Census {
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// A connection's place in the count, until it is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    census: Arc<Census>,
    address: IpAddr,
}

impl Census {
    /// A seat for a connection from `address`, if these limits allow one more.
    ///
    /// # Errors
    /// There are too many: what the peer is told.
    pub(crate) fn seat(
        self: &Arc<Self>,
        address: IpAddr,
        limits: &DoorLimits,
    ) -> Result<Seat, Quit> {
        let address = counted_as(address);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.all >= limits.connections {
            return Err(Quit::TooManyConnections);
        }
        let here = counts.by_address.entry(address).or_default();
        if *here >= limits.connections_per_address {
            return Err(Quit::TooManyFromAddress);
        }
        *here += 1;
        counts.all += 1;
        Ok(Seat { census: self.clone(), address })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut counts = self.census.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.all -= 1;
        if let Some(here) = counts.by_address.get_mut(&self.address) {
            *here -= 1;
            if *here == 0 {
                counts.by_address.remove(&self.address);
            }
        }
    }
}

/// Whoever has an IPv6 address has 2⁶⁴ of them.
fn counted_as(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)))
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Limited(Arc<Census>, DoorLimits);

    fn census(connections: usize, connections_per_address: usize) -> Limited {
        let limits = DoorLimits { connections, connections_per_address, ..DoorLimits::default() };
        Limited(Arc::default(), limits)
    }

    fn ask(Limited(census, limits): &Limited, address: &str) -> Result<Seat, Quit> {
        census.seat(address.parse().unwrap(), limits)
    }

    #[test]
    fn a_limit_that_is_lowered_takes_nobodys_seat() {
        let mut census = census(2, 2);
        let _seats = [ask(&census, "10.0.0.1").unwrap(), ask(&census, "10.0.0.2").unwrap()];
        census.1.connections = 1;
        assert_eq!(ask(&census, "10.0.0.3").unwrap_err(), Quit::TooManyConnections);
        census.1.connections = 3;
        ask(&census, "10.0.0.3").unwrap();
    }

    #[test]
    fn a_seat_that_is_left_is_free_again() {
        let census = census(2, 2);
        let first = ask(&census, "10.0.0.1").unwrap();
        let _second = ask(&census, "10.0.0.2").unwrap();
        assert_eq!(ask(&census, "10.0.0.3").unwrap_err(), Quit::TooManyConnections);
        drop(first);
        let _third = ask(&census, "10.0.0.3").unwrap();
        assert_eq!(ask(&census, "10.0.0.4").unwrap_err(), Quit::TooManyConnections);
    }

    #[test]
    fn an_address_has_its_own_count_however_it_is_written_and_an_ipv6_network_has_one() {
        for (first, same, other) in [
            ("10.0.0.1", "::ffff:10.0.0.1", "10.0.0.2"),
            ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", "2001:db8:0:2::1"),
        ] {
            let census = census(10, 1);
            let _seat = ask(&census, first).unwrap();
            assert_eq!(ask(&census, same).unwrap_err(), Quit::TooManyFromAddress, "{same}");
            ask(&census, other).unwrap();
        }
    }

    #[test]
    fn an_address_without_connections_takes_no_memory() {
        let census = census(10, 1);
        let _seat = ask(&census, "10.0.0.1").unwrap();
        assert!(ask(&census, "10.0.0.1").is_err());
        for host in 2..200 {
            drop(ask(&census, &format!("10.0.0.{host}")).unwrap());
        }
        assert_eq!(census.0.counts.lock().unwrap().by_address.len(), 1);
    }
}
