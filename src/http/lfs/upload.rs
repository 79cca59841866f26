//! `GET …/uploads/{uuid}`: where the bytes go. `POST …/verify` and `…/complete` below it: they are in the store, and the
//! upload ends.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{StatusCode, Uri};
use serde_json::json;

use super::batch::wanted;
use super::error::of_upload;
use super::route::parse_oid;
use super::wire::{CompletionRequest, VerifyRequest};
use super::{Answer, body, describe_upload, json as answer, too_long};
use crate::domain::access::{Action, Caller};
use crate::domain::name::RepositoryName;
use crate::domain::part::{MAX_PART_COUNT, PartNumber};
use crate::domain::upload::UploadId;
use crate::http::error::HttpError;
use crate::http::extract::{INCOMPLETE, content_length, held, object};
use crate::http::gate::Visitor;
use crate::http::signed_call;
use crate::service::{ClientHints, NamedPart, Service, ServiceError};
use crate::storage::signed_call::CallPurpose;

/// Longest list of parts, in bytes: of each a number and an `ETag`, and white space.
const MAX_COMPLETION: usize = 4096 + 256 * MAX_PART_COUNT as usize;

/// As the registry answers at the session's own URL, errors and all: who asks speaks the presign protocol.
pub(super) async fn status(
    service: &Arc<Service>,
    visitor: &Visitor,
    name: &RepositoryName,
    id: UploadId,
    request: &Parts,
) -> Answer {
    let caller = admit(service, visitor, name, (CallPurpose::Send, id), &request.uri).await?;
    describe_upload(service, &caller, name, id, request).await
}

/// Comes without credentials, three times at once where it is refused, and gives up after 30 s of silence.
pub(super) async fn verify(
    service: &Arc<Service>,
    visitor: &Visitor,
    name: &RepositoryName,
    id: UploadId,
    request: Request,
) -> Answer {
    let caller = admit(service, visitor, name, (CallPurpose::Finalize, id), request.uri()).await?;
    let asked: VerifyRequest = body(request).await?;
    let blob = wanted(&asked.oid, asked.size)?;
    let finishing = service.finish(&caller, name, id, (blob.digest, Some(blob.size)), ClientHints::default());
    finishing.await.map_err(of_upload)?;
    answer(StatusCode::OK, &json!({}))
}

/// All parts are in the store. What takes longer goes on, and the client asks with `verify` next.
pub(super) async fn complete(
    service: &Arc<Service>,
    visitor: &Visitor,
    name: &RepositoryName,
    id: UploadId,
    request: Request,
) -> Answer {
    let caller = admit(service, visitor, name, (CallPurpose::Finalize, id), request.uri()).await?;
    let (parts, body) = request.into_parts();
    let held = held(service, &caller, content_length(&parts.headers), body, MAX_COMPLETION).await;
    let held =
        held.map_err(|error| error.into_error(too_long(MAX_COMPLETION), HttpError::invalid(INCOMPLETE)))?;
    let asked: CompletionRequest = object(&held.bytes)?;
    let digest = parse_oid(&asked.oid).ok_or(ServiceError::BlobUnknown)?;
    let named = asked.parts.into_iter().map(|part| {
        let number =
            PartNumber::new(part.part_number).map_err(|error| HttpError::invalid(error.to_string()))?;
        Ok(NamedPart { number, etag: part.etag })
    });
    let parts = named.collect::<Result<_, HttpError>>()?;
    let hints = ClientHints { parts, ..ClientHints::default() };
    match service.finish(&caller, name, id, (digest, None), hints).await {
        Ok(()) | Err(ServiceError::Busy(_)) => answer(StatusCode::OK, &json!({})),
        Err(error) => Err(of_upload(error)),
    }
}

/// The URL is the permission.
async fn admit(
    service: &Service,
    visitor: &Visitor,
    name: &RepositoryName,
    (purpose, id): (CallPurpose, UploadId),
    uri: &Uri,
) -> Result<Caller, HttpError> {
    tracing::Span::current().record("upload", tracing::field::display(id));
    signed_call::admit(service, visitor, uri, (purpose, id.to_string()), (name, Action::Push)).await
}
