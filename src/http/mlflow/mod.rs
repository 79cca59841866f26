//! Artifacts, as clients of MLflow's artifact server know them (MLflow 3.17, `mlflow/server/handlers.py` and
//! `mlflow/store/artifact/http_artifact_repo.py`): files by their paths, the large ones straight to the bucket and from it.
//!
//! The first segment of a path is the project. All of a project's artifacts are in one repository of it.

// What its endpoints take and answer, for /openapi.json.
mod described;
// Lists a directory.
mod list;
// Takes a path apart.
mod route;
// Large files, in parts.
mod parts;
// The JSON of requests and answers.
mod wire;

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};

use super::download;
use super::endpoint::Endpoint;
use super::error::HttpError;
use super::extract::{bytes, content_length, header, user_agent};
use super::gate::{self, Target, Visitor};
use super::origin::Origin;
use crate::domain::access::Caller;
use crate::domain::media_type::MediaType;
use crate::service::{FileName, Service};
use crate::storage::Download;
pub(super) use described::{described, refusal};
use route::{Area, Place};
use wire::{Refused, ServerInfo};

/// What all paths of the artifacts begin with. They have slashes in them, which no route pattern can hold.
pub(super) const PREFIX: &str = super::endpoint::MLFLOW;
pub(super) const PATHS: &str = "/api/2.0/mlflow-artifacts/{*path}";

type Answer = Result<Response, HttpError>;

/// What a client may count on. The older ones, which do not ask, have to be told by their environment.
pub(super) fn server_info(service: &Service) -> Response {
    let is_direct = service.takes_open_parts();
    let info = ServerInfo {
        store_type: None,
        workspaces_enabled: false,
        multipart_uploads_enabled: is_direct,
        multipart_downloads_enabled: is_direct,
    };
    Json(info).into_response()
}

pub(super) async fn dispatch(State(service): State<Arc<Service>>, request: Request) -> Response {
    // Large, and moved about.
    Box::pin(answer(service, request)).await.unwrap_or_else(refused)
}

/// An error in MLflow's shape, whose clients show its message.
pub(super) fn refused(error: HttpError) -> Response {
    let (status, code, message, headers) = error.into_parts();
    let mut response =
        (status, Json(Refused { error_code: error_code(status, &code), message })).into_response();
    response.headers_mut().extend(headers);
    response
}

/// By the names of MLflow (`mlflow/protos/databricks.proto`, `ErrorCode`).
fn error_code(status: StatusCode, code: &str) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "UNAUTHENTICATED",
        StatusCode::FORBIDDEN => "PERMISSION_DENIED",
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED if code == "UNSUPPORTED" => {
            "ENDPOINT_NOT_FOUND"
        }
        StatusCode::NOT_FOUND | StatusCode::GONE => "RESOURCE_DOES_NOT_EXIST",
        StatusCode::CONFLICT => "RESOURCE_CONFLICT",
        StatusCode::TOO_MANY_REQUESTS => "REQUEST_LIMIT_EXCEEDED",
        StatusCode::NOT_IMPLEMENTED => "NOT_IMPLEMENTED",
        StatusCode::SERVICE_UNAVAILABLE => "TEMPORARILY_UNAVAILABLE",
        status if status.is_client_error() => "INVALID_PARAMETER_VALUE",
        _ => "INTERNAL_ERROR",
    }
}

async fn answer(service: Arc<Service>, request: Request) -> Answer {
    let visitor = Visitor::of(&request);
    let area = Area::of(request.uri().path())?;
    let endpoint = area.endpoint(request.method())?;
    let place = area.place(request.uri())?;
    let target = Target::Repository(&place.repository);
    let (caller, permit) = gate::admit(&service, visitor, endpoint, target).await?;
    let request = permit.around(request);
    let response = dispatch_to(&service, &caller, endpoint, place, request).await?;
    Ok(permit.into(response))
}

async fn dispatch_to(
    service: &Arc<Service>,
    caller: &Caller,
    endpoint: Endpoint,
    place: Place,
    request: Request,
) -> Answer {
    match endpoint {
        Endpoint::ListArtifacts => list::list(service, &place).await,
        Endpoint::ReadArtifact => {
            let path = place.file()?;
            let blob = service.file_to_read(caller, &place.repository, path).await?;
            download::send(service, blob, &request.into_parts().0).await
        }
        Endpoint::PresignArtifact => presign(service, caller, &place, request).await,
        Endpoint::PutArtifact => put(service, caller, place, request).await,
        Endpoint::DeleteArtifacts => {
            service.delete_files(caller, &place.repository, &place.directory).await?;
            Ok(done())
        }
        Endpoint::BeginArtifact => parts::begin(service, caller, place, request).await,
        Endpoint::CompleteArtifact => parts::complete(service, caller, place, request).await,
        Endpoint::AbortArtifact => parts::abort(service, caller, place, request).await,
        // `Area::endpoint` knows no other.
        _ => Err(HttpError::not_found()),
    }
}

/// Where an answer has nothing to say.
fn done() -> Response {
    Json(serde_json::json!({})).into_response()
}

async fn put(service: &Arc<Service>, caller: &Caller, place: Place, request: Request) -> Answer {
    let path = place.file()?.clone();
    let headers = request.headers();
    let kind = header(headers, &axum::http::header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.split(';').next()).and_then(|kind| kind.trim().parse().ok());
    let name = FileName {
        repository: place.repository,
        path,
        media_type: kind.unwrap_or_else(MediaType::octet_stream),
    };
    let (length, agent) = (content_length(headers), user_agent(headers).map(str::to_owned));
    service.put_file(caller, name, length, agent.as_deref(), bytes(request.into_body())).await?;
    Ok(done())
}

/// Where a file's bytes are to be had without this service. Without a size the client asks this service for them.
async fn presign(service: &Arc<Service>, caller: &Caller, place: &Place, request: Request) -> Answer {
    let blob = service.file_to_read(caller, &place.repository, place.file()?).await?;
    let request = request.into_parts().0;
    let content = download::content(service, blob, None, &request).await?;
    let size = content.blob.size;
    let presigned = match content.download {
        Download::Url(url) => wire::PresignedFile { url, headers: wire::NoHeaders {}, file_size: Some(size) },
        Download::Stream(_) => {
            let own = request.uri.path().replacen(route::PRESIGNED, route::ARTIFACTS, 1);
            let url = Origin::complete(request.extensions.get(), own);
            wire::PresignedFile { url, headers: wire::NoHeaders {}, file_size: None }
        }
    };
    // A URL is a secret for as long as it lives: no cache may keep it.
    Ok(([(CACHE_CONTROL, "no-store")], Json(presigned)).into_response())
}
