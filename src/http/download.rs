//! A blob's bytes as an answer, whichever front door was asked: from the bucket where there is one, else streamed.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
    IF_NONE_MATCH, IF_RANGE, LOCATION, RANGE,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::browser::ATTACHMENT;
use super::error::HttpError;
use super::extract::header;
use super::ollama;
use super::redirects::{Asked, Redirects};
use crate::domain::blob::Blob;
use crate::domain::digest::Digest;
use crate::domain::range::{ByteRange, RangeRequest};
use crate::service::{BlobContent, Service, ServiceError};
use crate::storage::Download;

pub(super) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// All of a blob or a range of it, or the way to it, or that the client has it already.
pub(super) async fn send(service: &Arc<Service>, blob: Blob, request: &Parts) -> Result<Response, HttpError> {
    send_for(service, blob, request, Duration::ZERO).await
}

/// As [`send`]: a URL lives at least so long.
pub(super) async fn send_for(
    service: &Arc<Service>,
    blob: Blob,
    request: &Parts,
    least: Duration,
) -> Result<Response, HttpError> {
    let (headers, digest) = (&request.headers, blob.digest);
    if is_known(headers, &digest) {
        return Ok(described(StatusCode::NOT_MODIFIED, &blob));
    }
    let asked = match header(headers, &RANGE) {
        // A range of another version is no range (RFC 9110 §13.1.5).
        Some(range) if header(headers, &IF_RANGE).is_none_or(|etag| etag == quoted(&digest)) => {
            RangeRequest::parse(range, blob.size)
        }
        _ => RangeRequest::Whole,
    };
    let (status, range) = match asked {
        RangeRequest::Whole => (StatusCode::OK, None),
        RangeRequest::Part(range) => (StatusCode::PARTIAL_CONTENT, Some(range)),
        RangeRequest::Unsatisfiable => {
            let message = format!("the blob has {} bytes", blob.size);
            let error = HttpError::new(StatusCode::RANGE_NOT_SATISFIABLE, "BLOB_UNKNOWN", message);
            return Err(error.with_header(CONTENT_RANGE, text(format!("bytes */{}", blob.size))));
        }
    };
    let content = content_for(service, blob, range, request, least).await?;
    let mut response = match content.download {
        Download::Url(url) => {
            // The store answers the range; the client sends its header there again.
            let mut response = (StatusCode::TEMPORARY_REDIRECT, [(LOCATION, text(url))]).into_response();
            response.headers_mut().insert(CONTENT_DIGEST, text(digest.to_string()));
            response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            return Ok(response);
        }
        Download::Stream(bytes) => {
            let mut response = described(status, &content.blob);
            *response.body_mut() = Body::from_stream(bytes);
            response
        }
    };
    let length = range.map_or(content.blob.size, |range| range.length());
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    if let Some(range) = range {
        let value = format!("bytes {}-{}/{}", range.start, range.end - 1, content.blob.size);
        response.headers_mut().insert(CONTENT_RANGE, text(value));
    }
    Ok(response)
}

/// The way to a blob's bytes for who asks.
pub(super) async fn content(
    service: &Arc<Service>,
    blob: Blob,
    range: Option<ByteRange>,
    request: &Parts,
) -> Result<BlobContent, ServiceError> {
    content_for(service, blob, range, request, Duration::ZERO).await
}

async fn content_for(
    service: &Arc<Service>,
    blob: Blob,
    range: Option<ByteRange>,
    request: &Parts,
    least: Duration,
) -> Result<BlobContent, ServiceError> {
    let redirects = request.extensions.get::<Arc<Redirects>>();
    let asked = Asked::of(&request.headers, &request.extensions);
    let stays = |url: &str| redirects.is_some_and(|redirects| redirects.keeps(&asked, url));
    let least = least.max(ollama::least_url_lifetime(&request.headers));
    service.blob_content(blob, range, least, stays).await
}

/// What we have made of digests, numbers and URLs: all of it ASCII.
fn text(text: String) -> HeaderValue {
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}

/// What is known of a blob without its bytes. Content never changes under a digest. Whatever its bytes are, a browser
/// keeps them and shows nothing: see [`crate::http::browser`].
pub(super) fn described(status: StatusCode, blob: &Blob) -> Response {
    let mut response = status.into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(CONTENT_DISPOSITION, ATTACHMENT);
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(CONTENT_DIGEST, text(blob.digest.to_string()));
    headers.insert(ETAG, text(quoted(&blob.digest)));
    response
}

pub(super) fn quoted(digest: &Digest) -> String {
    format!("\"{digest}\"")
}

/// Whether `If-None-Match` says that the client has the content of this digest (RFC 9110 §13.1.2).
pub(super) fn is_known(headers: &HeaderMap, digest: &Digest) -> bool {
    let lines = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|etag| {
        matches!(etag.trim().trim_start_matches("W/"), "*")
            || etag.trim().trim_start_matches("W/") == quoted(digest)
    })
}
