//! tus 1.0.0, the resumable uploads of browsers and phones (tus.io, `protocol.md`): core, creation, creation-with-upload,
//! creation-defer-length, expiration, termination and checksum. The bytes come through this server.

// Begins an upload, appends to it, says where it stands.
mod answers;
// What its endpoints take and answer, for /openapi.json.
mod described;
// Errors as plain text, in the statuses that clients act on.
mod error;
// What requests say in headers.
mod headers;
// Takes a path apart.
mod route;

use std::sync::Arc;

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::endpoint::{Door, Endpoint};
use super::error::HttpError;
use super::gate::{self, Target, Visitor};
use super::method_not_allowed;
use crate::service::Service;

pub(super) use described::described;
pub(super) use error::rendered;
use route::Route;

/// What all paths of it begin with.
pub(super) const PREFIX: &str = super::endpoint::TUS;
const RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
const VERSION: HeaderName = HeaderName::from_static("tus-version");
const V1: HeaderValue = HeaderValue::from_static("1.0.0");
const METHOD_OVERRIDE: HeaderName = HeaderName::from_static("x-http-method-override");
const EXTENSIONS: HeaderValue = HeaderValue::from_static(
    "creation,creation-with-upload,creation-defer-length,expiration,termination,checksum",
);

type Answer = Result<Response, HttpError>;

pub(super) async fn dispatch(service: Arc<Service>, request: Request) -> Response {
    let is_head = method(&request).is_ok_and(|method| method == Method::HEAD);
    // Large, and moved about.
    let answered = Box::pin(answered(&service, request)).await;
    answered.unwrap_or_else(|error| rendered(if is_head { error::to_be_asked_again(error) } else { error }))
}

async fn answered(service: &Arc<Service>, mut request: Request) -> Answer {
    let visitor = Visitor::of(&request);
    let (name, route) = Route::parse(request.uri().path())?;
    let method = method(&request)?;
    let endpoint = route.endpoint(&method).map_err(method_not_allowed)?;
    if endpoint == Endpoint::TusDiscover {
        // Its headers are put on what answers every `OPTIONS`, which may be a preflight: see `discovery`.
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    if let Route::Upload(id) = route {
        tracing::Span::current().record("upload", tracing::field::display(id));
    }
    let (caller, permit) = gate::admit(service, visitor, endpoint, Target::Repository(&name)).await?;
    check_version(request.headers())?;
    request = permit.around(request);
    let mut response = match (endpoint, route) {
        (Endpoint::TusCreate, _) => answers::create(service, &caller, name, request).await?,
        (Endpoint::TusDescribe, Route::Upload(id)) => answers::describe(service, &caller, &name, id).await?,
        (Endpoint::TusAppend, Route::Upload(id)) => {
            answers::append(service, &caller, &name, id, request).await?
        }
        (Endpoint::TusTerminate, Route::Upload(id)) => {
            answers::terminate(service, &caller, &name, id).await?
        }
        // `Route::endpoint` pairs them, and each with a route of its own.
        _ => return Err(HttpError::not_found()),
    };
    response.headers_mut().insert(RESUMABLE, V1);
    Ok(response)
}

/// What is asked for: some proxies and browsers let only `POST` through.
fn method(request: &Request) -> Result<Method, HttpError> {
    match request.headers().get(METHOD_OVERRIDE) {
        Some(other) if *request.method() == Method::POST => Method::from_bytes(other.as_bytes())
            .map_err(|_| HttpError::invalid("X-HTTP-Method-Override names a method: PATCH, HEAD or DELETE")),
        _ => Ok(request.method().clone()),
    }
}

fn check_version(headers: &HeaderMap) -> Result<(), HttpError> {
    if headers.get(RESUMABLE) == Some(&V1) {
        return Ok(());
    }
    let message = "this server speaks tus 1.0.0: send Tus-Resumable: 1.0.0";
    Err(HttpError::new(StatusCode::PRECONDITION_FAILED, "UNSUPPORTED", message).with_header(VERSION, V1))
}

/// What the server can do, on the answer to every `OPTIONS` below [`PREFIX`]: where pages of other origins are let in,
/// that is the answer to a preflight, which does not come as far as the dispatcher.
pub(super) async fn discovery(service: Arc<Service>, request: Request, next: Next) -> Response {
    let is_asked = *request.method() == Method::OPTIONS && Door::of(request.uri().path()) == Door::Tus;
    let mut response = next.run(request).await;
    if is_asked && response.status().is_success() {
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = [
            (RESUMABLE, V1),
            (VERSION, V1),
            (HeaderName::from_static("tus-extension"), EXTENSIONS),
            (HeaderName::from_static("tus-max-size"), service.largest_resumable().into()),
            (HeaderName::from_static("tus-checksum-algorithm"), headers::CHECKSUM_ALGORITHMS),
        ];
        response.headers_mut().extend(headers);
    }
    response
}
