//! The page and what it loads, as `clients/portal/scripts/build.js` has built them: part of this program. A file's name has
//! its hash in it, so that browsers keep it for good.

use std::sync::LazyLock;

use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY, SET_COOKIE,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use super::sign_in::pre_session;
use crate::http::browser_session::{PRE_SESSION, cookie};
use crate::http::error::HttpError;
use crate::http::extract::header;
use crate::http::origin::Origin;
use crate::service::Service;

/// For good: another version has another name.
const FOR_GOOD: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// Kept by the browser alone, as a cookie may come along, and asked about each time.
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("private, no-cache");
/// Files of this service run and WebAssembly that they bring, nothing that is written into a page. Bytes go to the service
/// and from the page to the store, whose origin follows there (Content Security Policy Level 3).
const POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; style-src 'self'; \
    img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; connect-src 'self'";

struct File {
    /// As the page's source has it.
    name: &'static str,
    kind: &'static str,
    text: &'static str,
}

const FILES: [File; 4] = [
    File { name: "portal.js", kind: "text/javascript", text: include_str!("built/portal.js") },
    File { name: "worker.js", kind: "text/javascript", text: include_str!("built/worker.js") },
    File { name: "portal.css", kind: "text/css", text: include_str!("built/portal.css") },
    File { name: "icon.svg", kind: "image/svg+xml", text: include_str!("built/icon.svg") },
];

/// Each by the name that it is served under. The policy is kept with the text.
static NAMED: LazyLock<Vec<(String, &File)>> = LazyLock::new(|| {
    let named = |file: &'static File| (format!("{}-{}", hash(file.text, POLICY.as_bytes()), file.name), file);
    FILES.iter().map(named).collect()
});

static PAGE: LazyLock<String> = LazyLock::new(|| {
    let page = include_str!("built/index.html").to_owned();
    NAMED.iter().fold(page, |page, (name, file)| {
        page.replace(&format!("portal/{}", file.name), &format!("portal/{name}"))
    })
});

/// The page. It comes with what it takes to sign in.
pub(in crate::http) async fn page(
    service: &Service,
    origin: Option<&Origin>,
    headers: &HeaderMap,
) -> Response {
    let (kind, policy) = (HeaderValue::from_static("text/html; charset=utf-8"), policy(service).await);
    // With another store the browser needs another policy, though the page is the same.
    let etag = format!("\"{}\"", hash(&PAGE, policy.as_bytes()));
    let mut answer = HeaderMap::from_iter([
        (CONTENT_SECURITY_POLICY, policy),
        (CACHE_CONTROL, ASK_AGAIN),
        (REFERRER_POLICY, HeaderValue::from_static("same-origin")),
        (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    ]);
    answer.extend(HeaderValue::try_from(&etag).map(|etag| (ETAG, etag)));
    let secret = cookie(headers, PRE_SESSION);
    let is_known = secret.is_some();
    answer.extend(pre_session(secret, origin));
    if is_known {
        answer.remove(SET_COOKIE);
    }
    if header(headers, &IF_NONE_MATCH).is_some_and(|known| known.contains(&etag)) {
        return (StatusCode::NOT_MODIFIED, answer).into_response();
    }
    (answer, [(CONTENT_TYPE, kind)], PAGE.as_str()).into_response()
}

/// What the page loads.
pub(in crate::http) fn file(path: &str) -> Result<Response, HttpError> {
    let asked = path.rsplit('/').next().unwrap_or_default();
    let (_, file) = NAMED.iter().find(|(name, _)| name == asked).ok_or_else(HttpError::not_found)?;
    let headers = HeaderMap::from_iter([
        (CONTENT_TYPE, HeaderValue::from_static(file.kind)),
        (CACHE_CONTROL, FOR_GOOD),
        // A worker has the policy of its own file. It hashes, and asks no store for anything.
        (CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
    ]);
    Ok((headers, file.text).into_response())
}

async fn policy(service: &Service) -> HeaderValue {
    let store = service.store_origin().await.map(|origin| format!("{POLICY} {origin}"));
    store.and_then(|policy| HeaderValue::try_from(policy).ok()).unwrap_or(HeaderValue::from_static(POLICY))
}

/// Enough of it that no two versions have one.
fn hash(text: &str, policy: &[u8]) -> String {
    hex::encode(&Sha256::new_with_prefix(text).chain_update(policy).finalize()[..8])
}
