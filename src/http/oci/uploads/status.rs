//! `GET`, `HEAD /v2/{name}/blobs/uploads/{uuid}`: where the upload stands, or where its bytes go.

use std::sync::Arc;

use axum::Json;
use axum::http::header::{ACCEPT, CACHE_CONTROL, LOCATION, RANGE};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::response::IntoResponse;
use overside_protocol::wire;

use super::{upload_location, uuid_headers};
use crate::domain::access::Caller;
use crate::domain::name::RepositoryName;
use crate::domain::upload::{Refusal, State, Transfer, Upload, UploadId};
use crate::http::error::{HttpError, failure_code, received_range};
use crate::http::extract::{Parameters, lists};
use crate::http::oci::Answer;
use crate::http::origin::Origin;
use crate::service::{Presigned, Service, SignMode, SignRequest};

pub(in crate::http) async fn status(
    service: &Arc<Service>,
    caller: &Caller,
    name: &RepositoryName,
    id: UploadId,
    request: &Parts,
) -> Answer {
    let parameters = Parameters::of(&request.uri);
    // A HEAD changes nothing, and signing may begin a multipart upload.
    if request.method == Method::GET && parameters.is_true("presigned")? {
        let signed = service.sign(caller, name, id, &sign_request(&parameters)?).await?;
        return presigned(signed, request.extensions.get());
    }
    let upload = service.upload(caller, name, id).await?;
    if lists(&request.headers, &ACCEPT, "application/json") {
        return match upload.active(service.now()) {
            Err(Refusal::Expired) => Err(crate::service::ServiceError::from(Refusal::Expired).into()),
            _ => Ok(([(CACHE_CONTROL, "no-store")], Json(state(&upload))).into_response()),
        };
    }
    match upload.active(service.now()) {
        Ok(_) | Err(Refusal::Finalizing) => {}
        Err(refusal) => return Err(crate::service::ServiceError::from(refusal).into()),
    }
    let mut response = StatusCode::NO_CONTENT.into_response();
    response.headers_mut().insert(LOCATION, upload_location(name, id));
    response.headers_mut().insert(RANGE, received_range(upload.state.received().unwrap_or_default()));
    uuid_headers(&mut response, id);
    Ok(response)
}

/// What a client asks to have signed.
pub(super) fn sign_request(parameters: &Parameters) -> Result<SignRequest, HttpError> {
    let mode = match parameters.text("mode")? {
        None => None,
        Some("put") => Some(SignMode::Put),
        Some("multipart") => Some(SignMode::Multipart),
        Some(_) => return Err(HttpError::invalid("mode= is put or multipart")),
    };
    Ok(SignRequest {
        size: parameters.number("size")?,
        digest: parameters.digest("digest")?,
        parts: parameters.parse("parts")?,
        mode,
        ..SignRequest::default()
    })
}

/// Where the bytes go, as JSON.
pub(super) fn presigned(presigned: Presigned, origin: Option<&Origin>) -> Answer {
    let body = match presigned {
        Presigned::Put { request, size } => Json(wire::PresignedUpload::Put(wire::PresignedPut {
            method: "PUT".to_owned(),
            presigned_url: Origin::complete(origin, request.url),
            headers: request.headers.into_iter().collect(),
            expires_at: request.expires_at,
            size,
        }))
        .into_response(),
        Presigned::Multipart { plan, parts, received } => {
            super::parts::render(plan, parts, received, origin.cloned())?
        }
    };
    // A URL is a secret for as long as it lives: no cache may keep it.
    Ok(([(CACHE_CONTROL, "no-store")], body).into_response())
}

fn state(upload: &Upload) -> wire::UploadState {
    wire::UploadState {
        upload_uuid: upload.id,
        repository_name: upload.repository.to_string(),
        status: upload.state.status(),
        mode: upload.state.transfer().map(Transfer::mode),
        size: upload.size,
        received_offset: upload.state.received(),
        digest: match &upload.state {
            State::Completed { digest, .. } => Some(*digest),
            State::Finalizing { claim, .. } => claim.digest(),
            _ => upload.declared_digest,
        },
        failure: match &upload.state {
            State::Failed { failure } => Some(wire::FailureState {
                code: failure_code(failure).to_owned(),
                message: failure.message.clone(),
            }),
            _ => None,
        },
        progress: upload.progress.map(|progress| wire::FinalizeProgress {
            phase: progress.phase.as_str().to_owned(),
            done: progress.done,
            total: progress.total,
        }),
        created_at: upload.created_at,
        expires_at: upload.expires_at,
    }
}
