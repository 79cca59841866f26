//! What keeps a browser from running what users have put in: manifests are served as the type that whoever pushed them
//! chose, blobs may be anything, and names turn up in error messages. A page among them would be a page of this
//! registry's, and could use the password that the browser remembers for it.

use std::time::Duration;

use axum::http::header::{
    CONTENT_LENGTH, CONTENT_RANGE, CONTENT_SECURITY_POLICY, ETAG, LINK, LOCATION, RANGE, RETRY_AFTER,
    WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue, Method};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use overside_protocol::wire;
use sha2::{Digest, Sha256};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};
use tower_http::set_header::SetResponseHeaderLayer;

/// Nothing runs, nothing is loaded, and nobody shows it in a frame (Content Security Policy Level 3, "sandbox").
const POLICY: &str = "sandbox; default-src 'none'; frame-ancestors 'none'";
/// The type is the one that is named (WHATWG Fetch, "X-Content-Type-Options").
const NO_SNIFFING: HeaderValue = HeaderValue::from_static("nosniff");
/// To be kept, not to be shown (RFC 6266).
pub(super) const ATTACHMENT: HeaderValue = HeaderValue::from_static("attachment");

/// What scripts may read of an answer besides its body.
const EXPOSED: [HeaderName; 25] = [
    CONTENT_LENGTH,
    CONTENT_RANGE,
    ETAG,
    LINK,
    LOCATION,
    RANGE,
    RETRY_AFTER,
    WWW_AUTHENTICATE,
    HeaderName::from_static("docker-content-digest"),
    HeaderName::from_static("docker-upload-uuid"),
    HeaderName::from_static("oci-chunk-min-length"),
    HeaderName::from_static(wire::PRESIGNS),
    HeaderName::from_static("preference-applied"),
    HeaderName::from_static("tus-checksum-algorithm"),
    HeaderName::from_static("tus-extension"),
    HeaderName::from_static("tus-max-size"),
    HeaderName::from_static("tus-resumable"),
    HeaderName::from_static("tus-version"),
    HeaderName::from_static("upload-defer-length"),
    HeaderName::from_static("upload-expires"),
    HeaderName::from_static("upload-length"),
    HeaderName::from_static("upload-metadata"),
    HeaderName::from_static("upload-offset"),
    HeaderName::from_static("upload-uuid"),
    HeaderName::from_static("x-total-count"),
];
/// How long a browser asks no more: Chromium takes no longer time than this.
const PREFLIGHT_LIFETIME: Duration = Duration::from_hours(2);

/// Lets pages of these origins call the service (WHATWG Fetch, "CORS protocol"); none where there are no origins. They
/// sign in by a header as every client does: no cookie is sent, and none is taken.
pub(super) fn cross_origin(origins: &[String]) -> Option<CorsLayer> {
    let allowed = if origins.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(origins.iter().filter_map(|origin| origin.parse().ok()))
    };
    let methods = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
    ];
    (!origins.is_empty()).then(|| {
        CorsLayer::new()
            .allow_origin(allowed)
            .allow_methods(methods)
            .allow_headers(AllowHeaders::mirror_request())
            .expose_headers(EXPOSED)
            .max_age(PREFLIGHT_LIFETIME)
    })
}

/// For a page of ours: it may look as this says, and do no more than any other answer.
pub(super) fn policy_with_style(style: &str) -> HeaderValue {
    let hash = STANDARD.encode(Sha256::digest(style));
    let policy = HeaderValue::try_from(format!("{POLICY}; style-src 'sha256-{hash}'"));
    policy.unwrap_or(HeaderValue::from_static(POLICY))
}

/// On every answer: browsers do not look into a body to find out what it is.
pub(super) fn not_to_be_guessed() -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::overriding(X_CONTENT_TYPE_OPTIONS, NO_SNIFFING)
}

/// On every answer that has no policy of its own.
pub(super) fn not_to_be_run() -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::if_not_present(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY))
}
