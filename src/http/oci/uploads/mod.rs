//! Uploads: from the session's first request to its last.

// Ends a session whose client has given it up.
pub(super) mod abort;
// Takes a chunk.
pub(super) mod append;
// Begins a session, mounts a blob, or takes one whole.
pub(super) mod begin;
// Ends a session with its blob.
pub(super) mod finalize;
// The URLs of all parts as one streamed answer.
mod parts;
// What has arrived, and where the rest goes.
pub(super) mod status;

use axum::http::header::LOCATION;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::{CONTENT_DIGEST, location};
use crate::domain::digest::Digest;
use crate::domain::name::RepositoryName;
use crate::domain::upload::UploadId;

/// What Docker's clients look for, and its name without the vendor.
const UPLOAD_UUID: [HeaderName; 2] =
    [HeaderName::from_static("docker-upload-uuid"), HeaderName::from_static("upload-uuid")];

fn upload_path(name: &RepositoryName, id: UploadId) -> String {
    format!("/v2/{name}/blobs/uploads/{id}")
}

fn upload_location(name: &RepositoryName, id: UploadId) -> HeaderValue {
    location(upload_path(name, id))
}

fn uuid_headers(response: &mut Response, id: UploadId) {
    if let Ok(value) = HeaderValue::try_from(id.to_string()) {
        for name in UPLOAD_UUID {
            response.headers_mut().insert(name, value.clone());
        }
    }
}

/// 201: the blob is there.
fn created(name: &RepositoryName, digest: &Digest) -> Response {
    let digest_header = location(digest.to_string());
    let place = location(format!("/v2/{name}/blobs/{digest}"));
    (StatusCode::CREATED, [(LOCATION, place), (CONTENT_DIGEST, digest_header)]).into_response()
}
