//! The registry's endpoints (OCI distribution 1.1.1), and the presign protocol on top of the uploads.

mod abort;
mod append;
mod begin;
mod blob;
mod finalize;
mod listing;
mod manifest;
mod parts;
mod route;
mod status;

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::header::IF_NONE_MATCH;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};

use super::error::HttpError;
use super::method_not_allowed;
use crate::domain::digest::Digest;
use crate::domain::name::RepositoryName;
use crate::domain::upload::UploadId;
use crate::service::Service;
use route::Route;

const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// What Docker's clients look for, and its name without the vendor.
const UPLOAD_UUID: [HeaderName; 2] =
    [HeaderName::from_static("docker-upload-uuid"), HeaderName::from_static("upload-uuid")];

type Answer = Result<Response, HttpError>;

pub(super) async fn dispatch(State(service): State<Arc<Service>>, request: Request) -> Answer {
    let route = Route::parse(request.uri().path())?;
    if let Route::Upload(_, id) = &route {
        tracing::Span::current().record("upload", tracing::field::display(id));
    }
    let method = request.method().clone();
    match (route, method) {
        (Route::Base, Method::GET | Method::HEAD) => Ok(Json(serde_json::json!({})).into_response()),
        (Route::Uploads(name), Method::POST) => begin::begin(&service, name, request).await,
        (Route::Uploads(_), _) => Err(method_not_allowed("POST")),
        (Route::Upload(name, id), Method::GET) => {
            status::status(&service, &name, id, request.uri(), request.headers()).await
        }
        (Route::Upload(name, id), Method::PATCH) => append::append(&service, &name, id, request).await,
        (Route::Upload(name, id), Method::PUT) => finalize::finalize(&service, &name, id, request).await,
        (Route::Upload(name, id), Method::DELETE) => abort::abort(&service, &name, id).await,
        (Route::Upload(..), _) => Err(method_not_allowed("GET, PATCH, PUT, DELETE")),
        (Route::Blob(name, digest), Method::GET) => {
            blob::get(&service, &name, &digest, request.headers()).await
        }
        (Route::Blob(name, digest), Method::HEAD) => {
            blob::head(&service, &name, &digest, request.headers()).await
        }
        (Route::Blob(name, digest), Method::DELETE) => blob::delete(&service, &name, &digest).await,
        (Route::Blob(..), _) => Err(method_not_allowed("GET, HEAD, DELETE")),
        (Route::Manifest(name, reference), Method::GET) => {
            manifest::get(&service, &name, reference, request.headers()).await
        }
        (Route::Manifest(name, reference), Method::HEAD) => {
            manifest::head(&service, &name, reference, request.headers()).await
        }
        (Route::Manifest(name, reference), Method::PUT) => {
            manifest::put(&service, &name, reference, request).await
        }
        (Route::Manifest(name, reference), Method::DELETE) => {
            manifest::delete(&service, &name, reference).await
        }
        (Route::Manifest(..), _) => Err(method_not_allowed("GET, HEAD, PUT, DELETE")),
        (Route::Tags(name), Method::GET | Method::HEAD) => {
            listing::tags(&service, &name, request.uri()).await
        }
        (Route::Catalog, Method::GET | Method::HEAD) => listing::catalog(&service, request.uri()).await,
        (Route::Referrers(name, subject), Method::GET | Method::HEAD) => {
            listing::referrers(&service, &name, &subject, request.uri()).await
        }
        (Route::Base | Route::Tags(_) | Route::Catalog | Route::Referrers(..), _) => {
            Err(method_not_allowed("GET, HEAD"))
        }
    }
}

/// A path of ours as a header. Names, UUIDs and digests are all ASCII.
fn location(path: String) -> HeaderValue {
    HeaderValue::try_from(path).unwrap_or(HeaderValue::from_static("/v2/"))
}

fn quoted(digest: &Digest) -> String {
    format!("\"{digest}\"")
}

/// Whether `If-None-Match` says that the client has the content of this digest (RFC 9110 §13.1.2).
fn is_known(headers: &HeaderMap, digest: &Digest) -> bool {
    let lines = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|etag| {
        matches!(etag.trim().trim_start_matches("W/"), "*")
            || etag.trim().trim_start_matches("W/") == quoted(digest)
    })
}

fn upload_location(name: &RepositoryName, id: UploadId) -> HeaderValue {
    location(format!("/v2/{name}/blobs/uploads/{id}"))
}

fn uuid_headers(response: &mut Response, id: UploadId) {
    if let Ok(value) = HeaderValue::try_from(id.to_string()) {
        for name in UPLOAD_UUID {
            response.headers_mut().insert(name, value.clone());
        }
    }
}

/// 201: the blob is there.
fn created(name: &RepositoryName, digest: &Digest) -> Response {
    let digest_header = location(digest.to_string());
    let place = location(format!("/v2/{name}/blobs/{digest}"));
    (StatusCode::CREATED, [(axum::http::header::LOCATION, place), (CONTENT_DIGEST, digest_header)])
        .into_response()
}
