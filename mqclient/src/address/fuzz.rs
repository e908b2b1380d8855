//! A fuzz target: the server's URL, as a user gives it.
//!
//! `cargo test` runs it on its corpus and some random inputs; `mqtest/fuzz/run` for long.

use super::Address;

#[test]
fn server_url() {
    bolero::check!().with_iterations(2000).for_each(|input: &[u8]| {
        let url = String::from_utf8_lossy(input);
        let Ok(address) = Address::parse(&url) else { return };
        let (scheme, _) = url.split_once("://").unwrap();
        let host = address.host;
        let (name, _port) = host.rsplit_once(':').unwrap();
        assert!(!name.is_empty() && !host.contains(['/', '?', '#', '@']), "{host}");
        let again = Address::parse(&format!("{scheme}://{host}/mq")).unwrap();
        assert_eq!(again.host, host);
    });
}
