//! Begins an upload, appends to it, says where it stands, ends it.

use std::sync::Arc;

use axum::body::HttpBody;
use axum::extract::Request;
use axum::http::header::{CACHE_CONTROL, LOCATION};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::error::refused;
use super::headers::{
    CONCAT, DEFER_LENGTH, EXPIRES, LENGTH, METADATA, OFFSET, check_media_type, checksum, length, metadata,
    number,
};
use super::{Answer, PREFIX, route};
use crate::domain::access::Caller;
use crate::domain::digest::Digest;
use crate::domain::name::RepositoryName;
use crate::domain::upload::{Refusal, State, Upload, UploadId};
use crate::http::download::CONTENT_DIGEST;
use crate::http::error::HttpError;
use crate::http::extract::{bytes, content_length, user_agent};
use crate::http::origin::Origin;
use crate::service::{NewResumable, ResumableChunk, Service, ServiceError};

pub(super) async fn create(
    service: &Arc<Service>,
    caller: &Caller,
    repository: RepositoryName,
    request: Request,
) -> Answer {
    let headers = request.headers();
    if headers.contains_key(CONCAT) {
        return Err(HttpError::invalid("uploads are not concatenated here: leave parallelUploads at 1"));
    }
    let (length, (note, digest)) = (length(headers)?, metadata(headers)?);
    let has_body = content_length(headers) != Some(0) && !request.body().is_end_stream();
    if has_body {
        check_media_type(headers)?;
    }
    let chunk = ResumableChunk {
        offset: 0,
        length: content_length(headers).or((!has_body).then_some(0)),
        checksum: checksum(headers)?,
        whole_length: None,
        is_first: true,
    };
    let new = NewResumable { repository, length, digest, note };
    let begun = service.begin_resumable(caller, new, user_agent(headers)).await.map_err(refused)?;
    tracing::Span::current().record("upload", tracing::field::display(begun.id));
    let url = format!("{PREFIX}{}{}{}", begun.repository, route::UPLOADS, begun.id);
    let url = Origin::complete(request.extensions().get(), url);
    let (mut upload, mut digest) = (begun, None);
    // Nothing is a whole upload, where that is what was begun.
    if has_body || length == Some(0) {
        let body = bytes(request.into_body());
        let appended = service.append_resumable(caller, upload, chunk, body).await;
        (upload, digest) = appended.map_err(refused)?;
    }
    let mut response = StatusCode::CREATED.into_response();
    let url = HeaderValue::try_from(url).unwrap_or(HeaderValue::from_static(PREFIX));
    response.headers_mut().insert(LOCATION, url);
    progress(&mut response, &upload, digest);
    Ok(response)
}

pub(super) async fn append(
    service: &Arc<Service>,
    caller: &Caller,
    repository: &RepositoryName,
    id: UploadId,
    request: Request,
) -> Answer {
    let headers = request.headers();
    check_media_type(headers)?;
    let missing = || HttpError::invalid("a chunk says by Upload-Offset where it goes");
    let chunk = ResumableChunk {
        offset: number(headers, &OFFSET)?.ok_or_else(missing)?,
        length: content_length(headers),
        checksum: checksum(headers)?,
        whole_length: number(headers, &LENGTH)?,
        is_first: false,
    };
    let upload = find(service, caller, repository, id).await?;
    let appended = service.append_resumable(caller, upload, chunk, bytes(request.into_body())).await;
    let (upload, digest) = appended.map_err(refused)?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    progress(&mut response, &upload, digest);
    Ok(response)
}

/// Whoever has lost the answer to the last chunk learns here what became of it.
pub(super) async fn describe(
    service: &Arc<Service>,
    caller: &Caller,
    repository: &RepositoryName,
    id: UploadId,
) -> Answer {
    let upload = find(service, caller, repository, id).await?;
    match upload.active(service.now()) {
        Ok(_) | Err(Refusal::Finalizing | Refusal::Completed(_)) => {}
        Err(refusal) => return Err(refused(refusal.into())),
    }
    let digest = service.finish_received(caller, &upload).await.map_err(refused)?;
    let mut response = StatusCode::OK.into_response();
    progress(&mut response, &upload, digest);
    let headers = response.headers_mut();
    match upload.size {
        Some(size) => headers.insert(LENGTH, size.into()),
        None => headers.insert(DEFER_LENGTH, HeaderValue::from_static("1")),
    };
    if let Some(note) = upload.note().filter(|note| !note.is_empty()) {
        headers.extend(HeaderValue::try_from(note).ok().map(|note| (METADATA, note)));
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

pub(super) async fn terminate(
    service: &Arc<Service>,
    caller: &Caller,
    repository: &RepositoryName,
    id: UploadId,
) -> Answer {
    find(service, caller, repository, id).await?;
    service.abort(caller, repository, id).await.map_err(|error| match error {
        // There is nothing left to give up, which a client would try again at a 409.
        ServiceError::Refused(Refusal::Completed(_)) => refused(error).with_status(StatusCode::GONE),
        error => refused(error),
    })?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// An upload that was begun here: those of other front doors have another course.
async fn find(
    service: &Arc<Service>,
    caller: &Caller,
    repository: &RepositoryName,
    id: UploadId,
) -> Result<Upload, HttpError> {
    let upload = service.upload(caller, repository, id).await?;
    if upload.note().is_some() { Ok(upload) } else { Err(ServiceError::UploadUnknown.into()) }
}

/// Where the next chunk goes and until when, or what the whole is.
fn progress(response: &mut Response, upload: &Upload, digest: Option<Digest>) {
    let headers = response.headers_mut();
    headers.insert(OFFSET, upload.offset().into());
    let is_open = digest.is_none() && !matches!(upload.state, State::Completed { .. });
    let expires = upload.expires_at.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    headers.extend(HeaderValue::try_from(expires).ok().filter(|_| is_open).map(|expires| (EXPIRES, expires)));
    let digest = digest.and_then(|digest| HeaderValue::try_from(digest.to_string()).ok());
    headers.extend(digest.map(|digest| (CONTENT_DIGEST, digest)));
}
