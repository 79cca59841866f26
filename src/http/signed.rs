//! The receiving end of self-signed URLs: a presigned PUT on the filesystem backend leads here.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::header::ETAG;
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};

use super::connections::Connection;
use super::error::HttpError;
use super::extract::{bytes, content_length, header};
use crate::domain::digest::Digest;
use crate::service::{Service, ServiceError};
use crate::storage::signed_url::{Grant, SignatureError};

const CHECKSUM: HeaderName = HeaderName::from_static("x-amz-checksum-sha256");

/// One PUT of a whole blob, or of a part.
pub(super) async fn put(service: &Arc<Service>, request: Request) -> Result<Response, HttpError> {
    let uri = request.uri();
    let (grant, signature) = Grant::read(uri.path(), uri.query().unwrap_or_default())
        .ok_or(ServiceError::Signature(SignatureError::Mismatch))?;
    tracing::Span::current().record("upload", tracing::field::display(grant.upload));
    if let Some(connection) = request.extensions().get::<Arc<Connection>>()
        && service.auth().is_some()
    {
        let owner = service.signed_for(&grant, &signature).await?;
        connection.identify(owner.as_deref()).map_err(ServiceError::from)?;
    }
    let length = content_length(request.headers());
    let sha256 = header(request.headers(), &CHECKSUM).and_then(Digest::from_base64);
    let etag = service.receive(&grant, &signature, length, sha256, bytes(request.into_body())).await?;
    Ok((StatusCode::OK, [(ETAG, etag)]).into_response())
}
