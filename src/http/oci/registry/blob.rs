//! `HEAD`, `GET`, `DELETE /v2/{name}/blobs/{digest}`: from the bucket where there is one, else streamed.

use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
    IF_RANGE, LOCATION, RANGE,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::{is_known, quoted};
use crate::domain::blob::Blob;
use crate::domain::digest::Digest;
use crate::domain::name::RepositoryName;
use crate::domain::range::RangeRequest;
use crate::http::browser::ATTACHMENT;
use crate::http::error::HttpError;
use crate::http::extract::header;
use crate::http::oci::{Answer, CONTENT_DIGEST, location};
use crate::http::redirects::{Asked, Redirects};
use crate::http::upload_redirects::{come_again, follows};
use crate::service::Service;
use crate::storage::Download;

pub(in crate::http::oci) async fn head(
    service: &Arc<Service>,
    name: &RepositoryName,
    digest: &Digest,
    headers: &HeaderMap,
) -> Answer {
    // What a client asks before it pushes a manifest.
    let blob = service.blob_to_refer_to(name, digest).await;
    let blob = blob.map_err(|error| come_again(follows(headers), error))?;
    let status = if is_known(headers, digest) { StatusCode::NOT_MODIFIED } else { StatusCode::OK };
    let mut response = described(status, &blob);
    if status == StatusCode::OK {
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(blob.size));
    }
    Ok(response)
}

pub(in crate::http) async fn get(
    service: &Arc<Service>,
    name: &RepositoryName,
    digest: &Digest,
    request: &Parts,
) -> Answer {
    let headers = &request.headers;
    let blob = service.blob(name, digest).await;
    let blob = blob.map_err(|error| come_again(follows(headers), error))?;
    if is_known(headers, digest) {
        return Ok(described(StatusCode::NOT_MODIFIED, &blob));
    }
    let asked = match header(headers, &RANGE) {
        // A range of another version is no range (RFC 9110 §13.1.5).
        Some(range) if header(headers, &IF_RANGE).is_none_or(|etag| etag == quoted(digest)) => {
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
            return Err(error.with_header(CONTENT_RANGE, location(format!("bytes */{}", blob.size))));
        }
    };
    let redirects = request.extensions.get::<Arc<Redirects>>();
    let asked = Asked::of(headers, &request.extensions);
    let stays = |url: &str| redirects.is_some_and(|redirects| redirects.keeps(&asked, url));
    let content = service.blob_content(blob, range, stays).await?;
    let mut response = match content.download {
        Download::Url(url) => {
            // The store answers the range; the client sends its header there again.
            let mut response = (StatusCode::TEMPORARY_REDIRECT, [(LOCATION, location(url))]).into_response();
            response.headers_mut().insert(CONTENT_DIGEST, location(digest.to_string()));
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
        response.headers_mut().insert(CONTENT_RANGE, location(value));
    }
    Ok(response)
}

pub(in crate::http::oci) async fn delete(
    service: &Arc<Service>,
    name: &RepositoryName,
    digest: &Digest,
) -> Answer {
    service.unlink_blob(name, digest).await?;
    Ok(StatusCode::ACCEPTED.into_response())
}

/// What is known of a blob without its bytes. Content never changes under a digest. Whatever its bytes are, a browser
/// keeps them and shows nothing: see [`crate::http::browser`].
fn described(status: StatusCode, blob: &Blob) -> Response {
    let mut response = status.into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(CONTENT_DISPOSITION, ATTACHMENT);
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(CONTENT_DIGEST, location(blob.digest.to_string()));
    headers.insert(ETAG, location(quoted(&blob.digest)));
    response
}
