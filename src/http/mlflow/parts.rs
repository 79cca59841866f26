//! `POST /api/2.0/mlflow-artifacts/mpu/…`: a large file in parts, which its client sends to the bucket. It tells how
//! many there are, and neither their lengths nor a digest.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::IntoResponse;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde::de::DeserializeOwned;

use super::route::{Place, path_of};
use super::wire::{Abort, Complete, Create, Credential};
use super::{Answer, done};
use crate::domain::access::Caller;
use crate::domain::media_type::MediaType;
use crate::domain::part::PartNumber;
use crate::domain::upload::UploadId;
use crate::http::error::HttpError;
use crate::http::extract::{INCOMPLETE, content_length, held, object, says_json, user_agent};
use crate::http::origin::Origin;
use crate::memory::MemoryShare;
use crate::service::{ClientHints, FileName, NamedPart, OpenParts, Service, ServiceError};

/// Longest body: half of what all of them may hold together, which is what one caller may have.
const LONGEST_BODY: usize = 16 * 1024 * 1024;
/// What a client says when it is done of each part beside its URL, in bytes: number, `ETag`, punctuation.
const LONGEST_PART: usize = 256;
/// URLs in one piece of an answer: tens of kilobytes, between two looks at what else there is to do.
const PARTS_IN_PIECE: usize = 100;
/// By this beginning of a message clients know that they are to send the file as a whole
/// (`mlflow/exceptions.py`, `_UnsupportedMultipartUploadException`).
const UNSUPPORTED: &str = "Multipart upload is not supported for the current artifact repository";

pub(super) async fn begin(service: &Arc<Service>, caller: &Caller, place: Place, request: Request) -> Answer {
    let agent = user_agent(request.headers()).map(str::to_owned);
    let origin = request.extensions().get::<Origin>().cloned();
    let (create, _memory) = json::<Create>(service, caller, request).await?;
    // Refused now, and not when everything has been sent.
    name(&place, &create.path)?;
    let Ok(last) = PartNumber::new(create.num_parts) else {
        return Err(unsupported("a file has 1 to 10,000 parts"));
    };
    let begun = service.begin_open_parts(caller, place.repository.clone(), last, agent.as_deref()).await?;
    let Some(mut parts) = begun else {
        return Err(unsupported("its bytes have to come through this server"));
    };
    let first = parts.next().map(|part| credential(part, origin.as_ref()));
    let length = first.as_ref().map_or(0, |first| first.url.len()) + LONGEST_PART;
    // What the client will have to say of them when it is done must fit.
    if length.saturating_mul(usize::from(last.get())) > LONGEST_BODY {
        service.abort(caller, &place.repository, parts.upload).await?;
        return Err(unsupported("so many parts are more than a client can tell of"));
    }
    Ok(render(parts, first, origin))
}

pub(super) async fn complete(
    service: &Arc<Service>,
    caller: &Caller,
    place: Place,
    request: Request,
) -> Answer {
    let (complete, _memory) = json::<Complete>(service, caller, request).await?;
    let path = name(&place, &complete.path)?;
    let number = |part: &super::wire::SentPart| {
        PartNumber::new(part.part_number).map_err(|error| HttpError::invalid(error.to_string()))
    };
    let named =
        complete.parts.into_iter().map(|part| Ok(NamedPart { number: number(&part)?, etag: part.etag }));
    let parts = named.collect::<Result<_, HttpError>>()?;
    let file = FileName { repository: place.repository, path, media_type: MediaType::octet_stream() };
    let hints = ClientHints { parts, ..ClientHints::default() };
    service.complete_file(caller, file, upload(&complete.upload_id)?, hints).await?;
    Ok(done())
}

pub(super) async fn abort(service: &Arc<Service>, caller: &Caller, place: Place, request: Request) -> Answer {
    let (abort, _memory) = json::<Abort>(service, caller, request).await?;
    service.abort(caller, &place.repository, upload(&abort.upload_id)?).await?;
    Ok(done())
}

fn unsupported(why: &str) -> HttpError {
    HttpError::new(StatusCode::NOT_IMPLEMENTED, "UNSUPPORTED", format!("{UNSUPPORTED}: {why}"))
}

/// The path of a file in a directory: clients say where they have the file, which may be on Windows.
fn name(place: &Place, local: &str) -> Result<crate::domain::path::FilePath, HttpError> {
    let separator = if local.contains('/') { '/' } else { '\\' };
    let name = path_of(local.rsplit(separator).next().unwrap_or_default())?;
    place.directory.join(&name).map_err(|error| HttpError::invalid(error.to_string()))
}

/// What is no UUID is no upload of ours.
fn upload(id: &str) -> Result<UploadId, HttpError> {
    id.parse().map_err(|_| ServiceError::UploadUnknown.into())
}

/// A body of JSON that says so.
async fn json<T: DeserializeOwned>(
    service: &Service,
    caller: &Caller,
    request: Request,
) -> Result<(T, Option<MemoryShare>), HttpError> {
    says_json(request.headers())?;
    let length = content_length(request.headers());
    let body = held(service, caller, length, request.into_body(), LONGEST_BODY).await;
    let body = body.map_err(|error| error.into_error(too_long(), HttpError::invalid(INCOMPLETE)))?;
    Ok((object(&body.bytes)?, body.memory))
}

fn too_long() -> HttpError {
    let message = format!("a JSON body has at most {LONGEST_BODY} bytes here");
    HttpError::new(StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID", message)
}

fn credential(
    (number, request): (PartNumber, crate::storage::PresignedRequest),
    origin: Option<&Origin>,
) -> Credential {
    Credential {
        url: Origin::complete(origin, request.url),
        part_number: number.get(),
        headers: request.headers.into_iter().collect(),
    }
}

/// A [`super::wire::Created`], in pieces while its client reads it: ten thousand URLs are megabytes.
fn render(parts: OpenParts, first: Option<Credential>, origin: Option<Origin>) -> axum::response::Response {
    let mut head = format!(r#"{{"upload_id":"{}","credentials":["#, parts.upload).into_bytes();
    if let Some(first) = first {
        // Text and numbers: nothing of it cannot be written.
        let _ = serde_json::to_writer(&mut head, &first);
    }
    let rest = stream::unfold(Some((parts, origin)), |state| async move {
        // Signing is all processor time: let other requests through.
        tokio::task::yield_now().await;
        let (mut parts, origin) = state?;
        let mut piece = Vec::new();
        for part in parts.by_ref().take(PARTS_IN_PIECE) {
            piece.push(b',');
            let _ = serde_json::to_writer(&mut piece, &credential(part, origin.as_ref()));
        }
        if parts.len() > 0 {
            return Some((Bytes::from(piece), Some((parts, origin))));
        }
        piece.extend_from_slice(b"]}");
        Some((Bytes::from(piece), None))
    });
    let pieces = stream::iter([Bytes::from(head)]).chain(rest).map(Ok::<_, std::convert::Infallible>);
    // A URL is a secret for as long as it lives: no cache may keep it.
    let headers = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")];
    (headers, Body::from_stream(pieces)).into_response()
}
