//! What keeps a browser from running what users have put in: manifests are served as the type that whoever pushed them
//! chose, blobs may be anything, and names turn up in error messages. A page among them would be a page of this
//! registry's, and could use the password that the browser remembers for it.

use axum::http::HeaderValue;
use axum::http::header::{CONTENT_SECURITY_POLICY, X_CONTENT_TYPE_OPTIONS};
use tower_http::set_header::SetResponseHeaderLayer;

/// Nothing runs, nothing is loaded, and nobody shows it in a frame (Content Security Policy Level 3, "sandbox").
const POLICY: HeaderValue = HeaderValue::from_static("sandbox; default-src 'none'; frame-ancestors 'none'");
/// The type is the one that is named (WHATWG Fetch, "X-Content-Type-Options").
const NO_SNIFFING: HeaderValue = HeaderValue::from_static("nosniff");
/// To be kept, not to be shown (RFC 6266).
pub(super) const ATTACHMENT: HeaderValue = HeaderValue::from_static("attachment");

/// On every answer: browsers do not look into a body to find out what it is.
pub(super) fn not_to_be_guessed() -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::overriding(X_CONTENT_TYPE_OPTIONS, NO_SNIFFING)
}

/// On every answer that has no policy of its own.
pub(super) fn not_to_be_run() -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::if_not_present(CONTENT_SECURITY_POLICY, POLICY)
}
