//! The page's files, which are part of the program, and the headers of all that is answered.

use axum::Router;
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::response::Response;
use axum::routing::get;

macro_rules! files {
    ($($path:literal $kind:literal $file:literal)*) => {
        /// Path, media type and content of each.
        const FILES: &[(&str, &str, &[u8])] =
            &[$(($path, $kind, include_bytes!(concat!("../../page/", $file)))),*];
    };
}

files! {
    "/" "text/html; charset=utf-8" "index.html"
    "/style.css" "text/css; charset=utf-8" "style.css"
    "/icon.svg" "image/svg+xml" "icon.svg"
    "/app.js" "text/javascript; charset=utf-8" "app.js"
    "/api.js" "text/javascript; charset=utf-8" "api.js"
    "/ask.js" "text/javascript; charset=utf-8" "ask.js"
    "/browse.js" "text/javascript; charset=utf-8" "browse.js"
    "/dom.js" "text/javascript; charset=utf-8" "dom.js"
    "/events.js" "text/javascript; charset=utf-8" "events.js"
    "/inactive.js" "text/javascript; charset=utf-8" "inactive.js"
    "/invite.js" "text/javascript; charset=utf-8" "invite.js"
    "/lists.js" "text/javascript; charset=utf-8" "lists.js"
    "/overview.js" "text/javascript; charset=utf-8" "overview.js"
    "/plot.js" "text/javascript; charset=utf-8" "plot.js"
    "/queue.js" "text/javascript; charset=utf-8" "queue.js"
    "/users.js" "text/javascript; charset=utf-8" "users.js"
}

/// Is there a file at the path?
pub(super) fn has(path: &str) -> bool {
    FILES.iter().any(|(place, ..)| *place == path)
}

pub(super) fn router() -> Router {
    FILES.iter().fold(Router::new(), |router, (path, kind, content)| {
        router.route(path, get(move || async move { ([(header::CONTENT_TYPE, *kind)], *content) }))
    })
}

/// Scripts and styles are files of ours and nothing else; nothing is fetched from elsewhere; no site
/// shows the page in a frame. With trusted types a browser refuses to take text for HTML at all.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
                      connect-src 'self'; img-src 'self' data:; frame-ancestors 'none'; \
                      base-uri 'none'; form-action 'self'; require-trusted-types-for 'script'; \
                      trusted-types 'none'";

const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Adds what keeps a browser from being too helpful.
pub(super) async fn harden(mut response: Response) -> Response {
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_page_is_part_of_the_program() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("page");
        for file in std::fs::read_dir(folder).unwrap() {
            let file = file.unwrap();
            let name = file.file_name().into_string().unwrap();
            let path = if name == "index.html" { "/".to_owned() } else { format!("/{name}") };
            assert!(file.path().is_dir() || has(&path), "{name}");
        }
    }
}
