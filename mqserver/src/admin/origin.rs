//! Whether a request was made by a page of ours.

use axum::http::HeaderMap;
use axum::http::header::ORIGIN;
use axum::http::uri::{Authority, Uri};

/// The origin that a browser names, if it is the host that was asked. The scheme may be either:
/// what ends TLS before us changes it.
pub(super) fn own(headers: &HeaderMap, host: &Authority) -> Option<Uri> {
    if headers.get("sec-fetch-site").is_some_and(|site| site != "same-origin") {
        return None;
    }
    let origin: Uri = headers.get(ORIGIN)?.to_str().ok()?.parse().ok()?;
    let web = matches!(origin.scheme_str(), Some("http" | "https"));
    (web && origin.authority() == Some(host)).then_some(origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_page_of_the_same_host_and_port_is_ours() {
        let host: Authority = "127.0.0.1:8080".parse().unwrap();
        for (origin, site, ours) in [
            (Some("http://127.0.0.1:8080"), None, true),
            (Some("http://127.0.0.1:8080"), Some("same-origin"), true),
            (Some("https://127.0.0.1:8080"), None, true),
            (Some("http://127.0.0.1:8080"), Some("cross-site"), false),
            (Some("http://127.0.0.1:8080"), Some("same-site"), false),
            (Some("http://127.0.0.1:3000"), None, false),
            (Some("http://127.0.0.1"), None, false),
            (Some("http://evil.example.org"), None, false),
            (Some("null"), None, false),
            (None, Some("same-origin"), false),
        ] {
            let mut headers = HeaderMap::new();
            origin.map(|origin| headers.insert(ORIGIN, origin.parse().unwrap()));
            site.map(|site: &str| headers.insert("sec-fetch-site", site.parse().unwrap()));
            assert_eq!(own(&headers, &host).is_some(), ours, "{origin:?} {site:?}");
        }
    }
}
