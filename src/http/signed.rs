//! The receiving end of self-signed URLs: a presigned PUT on the filesystem backend leads here.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::header::ETAG;
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};

use super::error::HttpError;
use super::extract::{Parameters, bytes, content_length, header};
use crate::domain::digest::Digest;
use crate::domain::part::PartNumber;
use crate::domain::upload::UploadId;
use crate::service::Service;
use crate::storage::signed_url::{Grant, GrantTerms, SignatureError};

const CHECKSUM: HeaderName = HeaderName::from_static("x-amz-checksum-sha256");

pub(super) async fn put_blob(
    State(service): State<Arc<Service>>,
    Path(upload): Path<String>,
    request: Request,
) -> Result<Response, HttpError> {
    receive(&service, &upload, None, request).await
}

pub(super) async fn put_part(
    State(service): State<Arc<Service>>,
    Path((upload, part)): Path<(String, String)>,
    request: Request,
) -> Result<Response, HttpError> {
    receive(&service, &upload, Some(&part), request).await
}

async fn receive(
    service: &Arc<Service>,
    upload: &str,
    part: Option<&str>,
    request: Request,
) -> Result<Response, HttpError> {
    let grant = parse(upload, part, &request).ok_or_else(|| HttpError::from(forged()))?;
    tracing::Span::current().record("upload", tracing::field::display(grant.upload));
    let parameters = Parameters::of(request.uri());
    let signature = parameters.text("signature")?.unwrap_or_default();
    let length = content_length(request.headers());
    let digest = header(request.headers(), &CHECKSUM).and_then(Digest::from_base64);
    let etag = service.receive(&grant, signature, length, digest, bytes(request.into_body())).await?;
    Ok((StatusCode::OK, [(ETAG, etag)]).into_response())
}

/// What the URL claims to grant. A claim that cannot be read was never signed.
fn parse(upload: &str, part: Option<&str>, request: &Request) -> Option<Grant> {
    let parameters = Parameters::of(request.uri());
    let upload: UploadId = upload.parse().ok()?;
    let part: Option<PartNumber> = part.map(str::parse).transpose().ok()?;
    let expires = parameters.number("expires").ok()??;
    let terms = GrantTerms {
        expires: i64::try_from(expires).ok()?,
        length: parameters.number("length").ok()?,
        digest: parameters.digest("digest").ok()?,
    };
    Some(Grant { upload, part, terms })
}

fn forged() -> crate::service::ServiceError {
    SignatureError::Mismatch.into()
}
