//! The registry's endpoints (OCI distribution 1.1.1), and the presign protocol on top of the uploads.

// Writes pushes, pulls and deletions to the audit log.
mod audited;
// What its endpoints take and answer, for /openapi.json.
mod described;
// Blobs, manifests and tags.
mod registry;
// Takes a path apart.
mod route;
// From a session's first request to its last.
mod uploads;

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::response::{IntoResponse, Response};

use super::download::CONTENT_DIGEST;
use super::endpoint::Endpoint;
use super::error::HttpError;
use super::gate::{self, Target, Visitor};
use super::{method_not_allowed, ollama};
use crate::domain::access::Caller;
use crate::service::Service;
use audited::Audited;
use registry::{blob, listing, manifest};
use route::Route;
use uploads::{abort, append, begin, finalize, status};

/// What all paths of a registry begin with.
pub(super) const PREFIX: &str = super::endpoint::REGISTRY;

pub(super) use described::described;
pub(super) use registry::blob::get as read_blob;
pub(super) use uploads::status::status as describe_upload;

type Answer = Result<Response, HttpError>;

pub(super) async fn dispatch(State(service): State<Arc<Service>>, request: Request) -> Answer {
    let visitor = Visitor::of(&request);
    let route = match Route::parse(request.uri().path()) {
        Ok(route) => route,
        // A path that is none is nobody's secret, but who is not let in learns nothing at all.
        Err(error) => {
            gate::admit(&service, visitor, Endpoint::Base, Target::None).await?;
            return Err(error);
        }
    };
    if let Route::Upload(_, id) = &route {
        tracing::Span::current().record("upload", tracing::field::display(id));
    }
    let endpoint = route.endpoint(request.method()).map_err(method_not_allowed)?;
    let target = route.repository().map_or(Target::None, Target::Repository);
    let (caller, permit) = gate::admit(&service, visitor, endpoint, target).await?;
    let request = permit.around(request);
    let repository = route.repository().cloned();
    let audited = Audited::of(endpoint, &route, request.uri(), request.headers());
    let answered = {
        let (service, caller) = (Arc::clone(&service), caller.clone());
        // Large, and moved about.
        Box::pin(async move { answer(&service, &caller, endpoint, route, request).await })
    };
    let answer = match audited {
        Some(audited) => audited.carry_out(&service, caller.clone(), answered).await,
        None => answered.await,
    };
    if let Err(error) = &answer
        && let Some((details, repository)) = error.exceeded_quota().zip(repository)
    {
        service.tell_of_quota(&caller, &repository, details).await;
    }
    Ok(permit.into(answer?))
}

async fn answer(
    service: &Arc<Service>,
    caller: &Caller,
    endpoint: Endpoint,
    route: Route,
    request: Request,
) -> Answer {
    match (endpoint, route) {
        (Endpoint::Base, _) => Ok(Json(serde_json::json!({})).into_response()),
        (Endpoint::Catalog, _) => listing::catalog(service, caller, request.uri()).await,
        (Endpoint::BeginUpload, Route::Uploads(name)) => begin::begin(service, caller, name, request).await,
        (Endpoint::DescribeUpload, Route::Upload(name, id)) => {
            status::status(service, caller, &name, id, &request.into_parts().0).await
        }
        (Endpoint::Append, Route::Upload(name, id)) => {
            append::append(service, caller, &name, id, request).await
        }
        (Endpoint::Finalize, Route::Upload(name, id)) => {
            finalize::finalize(service, caller, &name, id, request).await
        }
        (Endpoint::Abort, Route::Upload(name, id)) => abort::abort(service, caller, &name, id).await,
        (Endpoint::ReadBlob, Route::Blob(name, digest)) => {
            let request = request.into_parts().0;
            let response = blob::get(service, &name, &digest, &request).await?;
            Ok(ollama::with_location(service, caller, (&name, &digest), &request, response))
        }
        (Endpoint::DescribeBlob, Route::Blob(name, digest)) => {
            blob::head(service, &name, &digest, request.headers()).await
        }
        (Endpoint::DeleteBlob, Route::Blob(name, digest)) => blob::delete(service, &name, &digest).await,
        (Endpoint::ReadManifest, Route::Manifest(name, reference)) => {
            manifest::get(service, caller, &name, reference, request.headers()).await
        }
        (Endpoint::DescribeManifest, Route::Manifest(name, reference)) => {
            manifest::head(service, &name, reference, request.headers()).await
        }
        (Endpoint::PushManifest, Route::Manifest(name, reference)) => {
            manifest::put(service, caller, &name, reference, request).await
        }
        (Endpoint::DeleteManifest, Route::Manifest(name, reference)) => {
            manifest::delete(service, caller, &name, reference).await
        }
        (Endpoint::ListTags, Route::Tags(name)) => listing::tags(service, &name, request.uri()).await,
        (Endpoint::ListBlobs, Route::Blobs(name)) => listing::blobs(service, &name, request.uri()).await,
        (Endpoint::ListReferrers, Route::Referrers(name, subject)) => {
            listing::referrers(service, &name, &subject, request.uri()).await
        }
        // `Route::endpoint` pairs them, and each with a route of its own.
        _ => Err(HttpError::not_found()),
    }
}

/// A path of ours as a header. Names, UUIDs and digests are all ASCII.
fn location(path: String) -> HeaderValue {
    HeaderValue::try_from(path).unwrap_or(HeaderValue::from_static("/v2/"))
}
