//! What a registry has: blobs, manifests and their tags.

// Gives and deletes blobs.
pub(super) mod blob;
// Lists tags, blobs, referrers and repositories.
pub(super) mod listing;
// Takes, gives and deletes manifests.
pub(super) mod manifest;

use axum::http::HeaderMap;
use axum::http::header::IF_NONE_MATCH;

use crate::domain::digest::Digest;

fn quoted(digest: &Digest) -> String {
    format!("\"{digest}\"")
}

/// Whether `If-None-Match` says that the client has the content of this digest (RFC 9110 §13.1.2).
fn is_known(headers: &HeaderMap, digest: &Digest) -> bool {
    let lines = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|etag| {
        matches!(etag.trim().trim_start_matches("W/"), "*")
            || etag.trim().trim_start_matches("W/") == quoted(digest)
    })
}
