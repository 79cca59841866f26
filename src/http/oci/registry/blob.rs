//! `HEAD`, `GET`, `DELETE /v2/{name}/blobs/{digest}`: from the bucket where there is one, else streamed.

use std::sync::Arc;

use axum::http::header::CONTENT_LENGTH;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::IntoResponse;

use crate::domain::digest::Digest;
use crate::domain::name::RepositoryName;
use crate::http::download::{self, described, is_known};
use crate::http::oci::Answer;
use crate::http::upload_redirects::{come_again, follows};
use crate::service::Service;

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
    download::send(service, blob, request).await
}

pub(in crate::http::oci) async fn delete(
    service: &Arc<Service>,
    name: &RepositoryName,
    digest: &Digest,
) -> Answer {
    service.unlink_blob(name, digest).await?;
    Ok(StatusCode::ACCEPTED.into_response())
}
