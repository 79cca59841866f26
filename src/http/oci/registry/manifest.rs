//! `/v2/{name}/manifests/{reference}`: manifests by tag and by digest, byte by byte as they were pushed.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, LOCATION};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::domain::access::Caller;
use crate::domain::digest::Digest;
use crate::domain::manifest::MAX_MANIFEST_SIZE;
use crate::domain::media_type::MediaType;
use crate::domain::name::RepositoryName;
use crate::domain::reference::{InvalidReference, Reference, Tag};
use crate::http::download::{is_known, quoted};
use crate::http::error::HttpError;
use crate::http::extract::{HeldBody, INCOMPLETE, Parameters, content_length, held};
use crate::http::oci::{Answer, CONTENT_DIGEST, location};
use crate::http::permit::keeping;
use crate::http::upload_redirects::{come_again, follows};
use crate::service::{Service, ServiceError};

/// What a stored manifest is served as whose type a browser could run.
const NEUTRAL_TYPE: HeaderValue = HeaderValue::from_static("application/octet-stream");
const SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
/// One for each `tag=` (distribution-spec's coming version, "Pushing Manifests").
pub(in crate::http::oci) const TAG: HeaderName = HeaderName::from_static("oci-tag");
/// As many `tag=` as one request may carry. Each is a header of the answer, of which hyper and Python's `http.client`
/// read no more than 100.
const MAX_TAGS: usize = 50;

pub(in crate::http::oci) async fn get(
    service: &Arc<Service>,
    caller: &Caller,
    name: &RepositoryName,
    reference: Result<Reference, InvalidReference>,
    headers: &HeaderMap,
) -> Answer {
    let reference = existing(reference)?;
    if let Reference::Digest(digest) = &reference
        && is_known(headers, digest)
    {
        // The bytes are known, and need not be read to say so.
        return head(service, name, Ok(reference), headers).await;
    }
    let (manifest, memory) = service.manifest_to_send(caller, name, &reference).await?;
    if is_known(headers, &manifest.digest) {
        return Ok(described(StatusCode::NOT_MODIFIED, &manifest.digest, &manifest.media_type));
    }
    let mut response = described(StatusCode::OK, &manifest.digest, &manifest.media_type);
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(manifest.payload.len()));
    *response.body_mut() = keeping(Body::from(manifest.payload), memory);
    Ok(response)
}

pub(in crate::http::oci) async fn head(
    service: &Arc<Service>,
    name: &RepositoryName,
    reference: Result<Reference, InvalidReference>,
    headers: &HeaderMap,
) -> Answer {
    let manifest = service.manifest_description(name, &existing(reference)?).await?;
    if is_known(headers, &manifest.digest) {
        return Ok(described(StatusCode::NOT_MODIFIED, &manifest.digest, &manifest.media_type));
    }
    let mut response = described(StatusCode::OK, &manifest.digest, &manifest.media_type);
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(manifest.size));
    Ok(response)
}

pub(in crate::http::oci) async fn put(
    service: &Arc<Service>,
    caller: &Caller,
    name: &RepositoryName,
    reference: Result<Reference, InvalidReference>,
    request: Request,
) -> Answer {
    let reference = reference.map_err(|error| match error {
        InvalidReference::Digest(error) => HttpError::from(error),
        InvalidReference::Tag(error) => invalid(error.to_string()),
    })?;
    let parameters = Parameters::of(request.uri());
    let tags = parameters.all("tag").map(str::parse::<Tag>).collect::<Result<BTreeSet<_>, _>>();
    let tags = tags.map_err(|error| invalid(error.to_string()))?;
    if tags.len() > MAX_TAGS {
        return Err(invalid(format!("a manifest takes at most {MAX_TAGS} tag= at once")));
    }
    let content_type = content_type(request.headers())?;
    let follows = follows(request.headers());
    let too_large = || {
        let message = format!("a manifest has at most {MAX_MANIFEST_SIZE} bytes");
        HttpError::new(StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID", message)
    };
    let length = content_length(request.headers());
    let body = held(service, caller, length, request.into_body(), MAX_MANIFEST_SIZE).await;
    let HeldBody { bytes: payload, memory: _memory } =
        body.map_err(|error| error.into_error(too_large(), invalid(INCOMPLETE)))?;
    let pushed = service.push_manifest(caller, name, reference, tags.clone(), content_type, payload).await;
    let pushed = pushed.map_err(|error| come_again(follows, error))?;
    let place = location(format!("/v2/{name}/manifests/{}", pushed.digest));
    let digest = location(pushed.digest.to_string());
    let mut response = (StatusCode::CREATED, [(LOCATION, place), (CONTENT_DIGEST, digest)]).into_response();
    if let Some(subject) = pushed.subject {
        response.headers_mut().insert(SUBJECT, location(subject.to_string()));
    }
    for tag in tags {
        response.headers_mut().append(TAG, location(tag.to_string()));
    }
    Ok(response)
}

pub(in crate::http::oci) async fn delete(
    service: &Arc<Service>,
    caller: &Caller,
    name: &RepositoryName,
    reference: Result<Reference, InvalidReference>,
) -> Answer {
    service.delete_manifest(caller, name, &existing(reference)?).await?;
    Ok(StatusCode::ACCEPTED.into_response())
}

/// What cannot be a tag is none that is there.
fn existing(reference: Result<Reference, InvalidReference>) -> Result<Reference, HttpError> {
    reference.map_err(|error| match error {
        InvalidReference::Digest(error) => error.into(),
        InvalidReference::Tag(_) => ServiceError::ManifestUnknown.into(),
    })
}

/// Without its parameters: `charset=utf-8` is what JSON is anyway.
fn content_type(headers: &HeaderMap) -> Result<Option<MediaType>, HttpError> {
    let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default();
    let media_type = text.split(';').next().unwrap_or_default().trim();
    media_type.parse().map(Some).map_err(|error| invalid(format!("Content-Type: {error}")))
}

fn invalid(message: impl Into<String>) -> HttpError {
    HttpError::new(StatusCode::BAD_REQUEST, "MANIFEST_INVALID", message)
}

fn described(status: StatusCode, digest: &Digest, media_type: &MediaType) -> Response {
    let mut response = status.into_response();
    let headers = response.headers_mut();
    // Earlier versions took any type, `text/html` included.
    let content_type =
        if media_type.is_of_manifests() { location(media_type.to_string()) } else { NEUTRAL_TYPE };
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(CONTENT_DIGEST, location(digest.to_string()));
    headers.insert(ETAG, location(quoted(digest)));
    response
}
