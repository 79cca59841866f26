//! Git LFS: batches of objects, whose bytes go straight to the store, and locks on files (git-lfs, `docs/api/`).

// A batch of objects: where the bytes go, or come from.
mod batch;
// What its endpoints take and answer, for /openapi.json.
mod described;
// Errors in its JSON.
mod error;
// Locks on files.
mod locks;
// An object's bytes, by a signed URL.
mod read;
// Takes a path apart.
mod route;
// Ends an upload, by a signed URL.
mod upload;
// Its JSON.
mod wire;

use std::sync::Arc;

use axum::extract::Request;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tower_http::request_id::RequestId;

use super::endpoint::Endpoint;
use super::error::HttpError;
use super::extract::{object, whole};
use super::gate::{self, Target, Visitor};
use super::method_not_allowed;
use super::oci::{describe_upload, read_blob};
use super::permit::Permit;
use crate::domain::hub::{HubName, RepositoryKind};
use crate::service::Service;
use route::Route;

pub(super) use described::{described, refused};
pub(super) use error::rendered;

/// What stands between a repository's name and what is asked for.
pub(super) const PREFIX: &str = super::endpoint::LFS;
const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/vnd.git-lfs+json");
/// Longest body but those of batches and of completed uploads: a path of 1,024 bytes, each escaped in six, and room.
const MAX_BODY: usize = 16 * 1024;

type Answer = Result<Response, HttpError>;

/// Answers a path that no other front door has.
pub(super) async fn dispatch(service: Arc<Service>, request: Request) -> Response {
    let request_id = request.extensions().get::<RequestId>();
    let request_id = request_id.and_then(|id| id.header_value().to_str().ok()).map(str::to_owned);
    match answered(&service, request).await {
        Ok(response) => response,
        Err(error) => rendered(error, request_id),
    }
}

async fn answered(service: &Arc<Service>, request: Request) -> Answer {
    let visitor = Visitor::of(&request);
    let path = request.uri().path();
    // A model of the Hub is asked for by the path that a repository of the same name has.
    let hub = HubName::of_git_path(path.split(PREFIX).next().unwrap_or_default());
    let is_hub = match &hub {
        Some(hub) if path.ends_with("/objects/batch") => {
            hub.kind != RepositoryKind::Models || service.find_hub_repository(hub).await?.is_some()
        }
        _ => false,
    };
    let (name, route) = Route::parse(path, hub.filter(|_| is_hub))?;
    let endpoint = route.endpoint(request.method()).map_err(method_not_allowed)?;
    let route = match route {
        // The URL is the permission.
        Route::Object(digest) => {
            let request = request.into_parts().0;
            read::admit(service, &visitor, &name, digest, &request.uri).await?;
            let permit = Permit::take(service, endpoint, false).await?;
            return Ok(permit.into(read_blob(service, &name, &digest, &request).await?));
        }
        Route::Upload(id) => {
            let request = request.into_parts().0;
            return Ok(upload::status(service, &visitor, &name, id, &request).await.into_response());
        }
        Route::Verify(id) => return upload::verify(service, &visitor, &name, id, request).await,
        Route::Complete(id) => return upload::complete(service, &visitor, &name, id, request).await,
        route => route,
    };
    let (caller, _permit) =
        gate::admit(service, visitor.clone(), endpoint, Target::Repository(&name)).await?;
    match (endpoint, route) {
        (Endpoint::LfsBatch, _) => batch::answer(service, &caller, &visitor, (&name, is_hub), request).await,
        (Endpoint::LfsListLocks, _) => locks::list(service, &name, request.uri()).await,
        (Endpoint::LfsCreateLock, _) => locks::create(service, &caller, &name, request).await,
        (Endpoint::LfsVerifyLocks, _) => locks::verify(service, &caller, &name, request).await,
        (Endpoint::LfsUnlock, Route::Unlock(id)) => locks::unlock(service, &caller, &name, id, request).await,
        // `Route::endpoint` pairs them, and each with a route of its own.
        _ => Err(HttpError::not_found()),
    }
}

/// A small JSON body.
async fn body<T: DeserializeOwned>(request: Request) -> Result<T, HttpError> {
    let body = whole(request.into_body(), MAX_BODY).await;
    let body = body.map_err(|broken| broken.map_or_else(|| too_long(MAX_BODY), HttpError::invalid))?;
    object(&body)
}

fn too_long(most: usize) -> HttpError {
    let message = format!("a body has at most {most} bytes here");
    HttpError::new(StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID", message)
}

/// No cache keeps what has URLs in it, which are secrets while they live.
fn json(status: StatusCode, body: &impl Serialize) -> Answer {
    let body = serde_json::to_vec(body).map_err(|error| {
        HttpError::new(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", format!("the answer's JSON: {error}"))
    })?;
    let headers = [(CONTENT_TYPE, MEDIA_TYPE), (CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    Ok((status, headers, body).into_response())
}
