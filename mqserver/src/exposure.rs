//! What strangers could do to a server, as it is configured: said at the start, and a reason not to
//! start unless the operator insists.

use mqlib::directory::Registration;
use std::net::SocketAddr;

/// An address that is listened on, and whether it speaks TLS only.
pub type Listener = (SocketAddr, bool);

/// Is the address reached from this machine only?
pub fn is_private(address: &SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

/// What is careless about listening there, in sentences for the operator; nothing if nobody but
/// this machine can connect.
pub fn careless(listeners: &[Listener], registration: Registration) -> Vec<String> {
    let public: Vec<_> = listeners.iter().filter(|(address, _)| !is_private(address)).collect();
    let mut found: Vec<String> = public
        .iter()
        .filter(|(_, has_tls)| !has_tls)
        .map(|(address, _)| {
            format!("{address} is reached from other machines, and passwords go there in clear")
        })
        .collect();
    if let Some((address, _)) = public.first()
        && registration == Registration::Open
    {
        found.push(format!("whoever reaches {address} may register, without an invitation"));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_the_loopback_both_clear_text_and_open_registration_are_careless() {
        use Registration::{Closed, Invite, Open};
        for (address, has_tls, registration, count) in [
            ("127.0.0.1:1", false, Open, 0),
            ("127.9.9.9:1", false, Open, 0),
            ("[::1]:1", false, Open, 0),
            ("[::ffff:127.0.0.1]:1", false, Open, 0),
            ("0.0.0.0:1", false, Open, 2),
            ("[::]:1", false, Invite, 1),
            ("192.0.2.1:1", false, Closed, 1),
            ("192.0.2.1:1", true, Open, 1),
            ("192.0.2.1:1", true, Invite, 0),
        ] {
            let listener = (address.parse().unwrap(), has_tls);
            let found = careless(&[listener], registration);
            assert_eq!(found.len(), count, "{address} {has_tls} {registration:?}: {found:?}");
        }
    }
}
