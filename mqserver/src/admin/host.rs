//! By which names the page may be asked for.
//!
//! A stranger's name that leads to our address (DNS rebinding) would make a stranger's page one of
//! ours. Addresses cannot be made to lead elsewhere, nor can `localhost`; other names are ours only if
//! the configuration says so.

use axum::http::HeaderMap;
use axum::http::header::HOST;
use axum::http::uri::Authority;
use std::net::IpAddr;

/// The host and port that a request names.
pub(super) fn of(headers: &HeaderMap) -> Option<Authority> {
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next()?.to_str().ok()?.parse().ok()?;
    hosts.next().is_none().then_some(host)
}

/// Is it one of ours?
pub(super) fn is_ours(host: &Authority, names: &[String]) -> bool {
    let name = host.host();
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    bare.parse::<IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || names.iter().any(|ours| ours.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_localhost_and_configured_names_are_ours_and_no_others() {
        let names = ["mq.example.org".to_owned()];
        for (host, ours) in [
            ("127.0.0.1:8080", true),
            ("192.0.2.1", true),
            ("[::1]:8080", true),
            ("LocalHost:1", true),
            ("MQ.example.org", true),
            ("mq.example.org:8080", true),
            ("evil.example.org", false),
            ("mq.example.org.evil.org", false),
            ("127.0.0.1.evil.org", false),
            ("localhost.evil.org", false),
        ] {
            assert_eq!(is_ours(&host.parse().unwrap(), &names), ours, "{host}");
        }
    }

    #[test]
    fn a_request_names_one_host() {
        let mut headers = HeaderMap::new();
        assert!(of(&headers).is_none());
        headers.append(HOST, "localhost".parse().unwrap());
        assert_eq!(of(&headers).unwrap(), "localhost");
        headers.append(HOST, "127.0.0.1".parse().unwrap());
        assert!(of(&headers).is_none());
    }
}
