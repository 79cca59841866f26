//! The front doors: parse into domain types, call one service verb, render.

// The doors: users, projects and robots, in the shape of Harbor's API.
mod api;
// Whether the process, the database and the store answer.
mod health;
// Repositories, as clients of the Hugging Face Hub know them.
mod hub;
// Git LFS: batches of objects, and locks on files.
mod lfs;
// Artifacts, as clients of MLflow's artifact server know them.
mod mlflow;
// The registry, and the presign protocol on top of its uploads.
mod oci;
// What Ollama asks of a registry beside what OCI says.
mod ollama;
// Every endpoint described, for programs and for people.
mod openapi;
// The page for people.
mod portal;
// Takes the bytes of a URL that this service signed itself.
mod signed;
// Gives access tokens.
mod token;
// Resumable uploads of browsers and phones: tus 1.0.0.
mod tus;

// What every request passes: the log's line of it.
mod access_log;
// What keeps a browser from running what users put in.
mod browser;
// Sessions of browsers: their cookie, and what keeps other sites from using it.
mod browser_session;
// Who may hold how many connections, and how slow a client may be.
pub(crate) mod connections;
// What a front door says of an endpoint for the OpenAPI document.
mod description;
// A blob's bytes as an answer.
mod download;
// Every endpoint, and what it takes to be let in.
pub mod endpoint;
// Service errors as status codes and error codes.
mod error;
// Query, headers and bodies become domain types, or a refusal.
mod extract;
// Who is let in.
mod gate;
// Who asks, and where this service is found.
pub(crate) mod origin;
// The slot that a request takes while a blob's bytes move.
mod permit;
// Who is sent to the bucket for a blob's bytes.
pub(crate) mod redirects;
// Request ids that are safe to write into a log.
mod request_id;
// Requests that a signed URL permits by itself.
mod signed_call;
// Which stock clients are sent to the bucket with what they upload.
mod upload_redirects;

use std::any::Any;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, COOKIE, LOCATION};
use axum::http::{HeaderName, HeaderValue, StatusCode, Uri};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, any, on};
use axum::{Extension, Router};
use overside_protocol::wire;
use tower_http::ServiceBuilderExt;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::request_id::MakeRequestUuid;
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::trace::{DefaultOnFailure, TraceLayer};
use tracing::Level;

use crate::service::{Service, ServiceError};
use crate::storage::signed_url::SIGNED_PATH;
use connections::{Claim, OverCapacity};
use endpoint::{Door, Endpoint, HUB_API};
use error::HttpError;
use gate::Visitor;
use origin::Origin;
use permit::Permit;
use redirects::Redirects;

/// Every answer under `/v2/` carries it; clients tell a registry by it.
const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");

/// All routes over one service.
pub(crate) fn router(service: Arc<Service>, cors_origins: &[String], redirects: Redirects) -> Router {
    // Repository names have slashes in them, which no route pattern can hold: `oci` takes paths apart itself.
    let registry = Router::new()
        .route("/v2", any(oci::dispatch))
        .route("/v2/", any(oci::dispatch))
        .route("/v2/{*path}", any(oci::dispatch))
        .layer(from_fn(absolute_locations))
        .layer(SetResponseHeaderLayer::overriding(API_VERSION, HeaderValue::from_static("registry/2.0")))
        .layer(SetResponseHeaderLayer::overriding(
            HeaderName::from_static(wire::PRESIGNS),
            HeaderValue::from_static("1"),
        ));
    let discovering = Arc::clone(&service);
    let discovery =
        from_fn(move |request: Request, next: Next| tus::discovery(Arc::clone(&discovering), request, next));
    let layers = tower::ServiceBuilder::new()
        .layer(browser::not_to_be_guessed())
        .layer(browser::not_to_be_run())
        .map_request(request_id::without_unsafe)
        .set_x_request_id(MakeRequestUuid)
        .layer(
            TraceLayer::new_for_http()
                .make_span_with(access_log::request_span)
                .on_response(access_log::ResponseLine)
                .on_failure(DefaultOnFailure::new().level(Level::DEBUG)),
        )
        .propagate_x_request_id()
        .layer(CatchPanicLayer::custom(panicked));
    // The others' front doors take their paths apart themselves.
    let is_routed = |endpoint: &Endpoint| matches!(endpoint.door(), Door::Api | Door::Service);
    let others = Endpoint::ALL.iter().copied().filter(is_routed);
    let routes = others.fold(Router::new(), |routes, endpoint| {
        let answer =
            move |State(service): State<Arc<Service>>, request: Request| answer(service, endpoint, request);
        // All of them have a filter.
        let method = MethodFilter::try_from(endpoint.method()).unwrap_or(MethodFilter::GET);
        routes.route(endpoint.path(), on(method, answer))
    });
    let hub_paths = HUB_API.into_iter().filter(|path| !path.starts_with('{'));
    let routes = hub_paths.fold(routes, |routes, path| {
        let path = format!("/api/{path}");
        routes.route(&format!("{path}/{{*rest}}"), any(hub::dispatch)).route(&path, any(hub::dispatch))
    });
    routes
        .merge(registry)
        .route(mlflow::PREFIX, any(mlflow::dispatch))
        .route(mlflow::PATHS, any(mlflow::dispatch))
        .fallback(elsewhere)
        .method_not_allowed_fallback(|uri: Uri| async move { in_terms_of(&uri, other_method()) })
        .layer(Extension(Arc::new(redirects)))
        .layer(from_fn(browser_session::with_token))
        .layer(layers)
        .layer(tower::util::option_layer(browser::cross_origin(cors_origins)))
        .layer(discovery)
        .with_state(service)
}

/// What no route has: a path that begins with a repository's name, or none of ours.
async fn elsewhere(State(service): State<Arc<Service>>, request: Request) -> Response {
    match Door::of(request.uri().path()) {
        Door::Lfs => lfs::dispatch(service, request).await,
        Door::Hub => hub::dispatch(State(service), request).await,
        Door::Tus => tus::dispatch(service, request).await,
        _ => in_terms_of(request.uri(), HttpError::not_found()),
    }
}

/// The front doors beside the registry's.
async fn answer(service: Arc<Service>, endpoint: Endpoint, request: Request) -> Result<Response, HttpError> {
    let visitor = Visitor::of(&request);
    match endpoint {
        Endpoint::Alive => Ok(health::alive().into_response()),
        Endpoint::Ready => Ok(health::ready(&service).await.into_response()),
        Endpoint::OpenApi => Ok(openapi::for_programs()),
        Endpoint::Docs => Ok(openapi::for_people()),
        Endpoint::Portal => Ok(portal::page(&service, visitor.origin().as_ref(), request.headers()).await),
        Endpoint::PortalFile => portal::file(request.uri().path()),
        Endpoint::SignIn => {
            portal::sign_in(&service, visitor, request).await.map_err(HttpError::with_harbors_code)
        }
        Endpoint::SignOut => {
            portal::sign_out(&service, visitor, request).await.map_err(HttpError::with_harbors_code)
        }
        // The URL is the permission, but its bytes come through here like others.
        Endpoint::ReceivePut | Endpoint::ReceivePart => {
            let permit = Permit::take(&service, endpoint, visitor.has_body()).await?;
            signed::put(&service, permit.around(request)).await
        }
        Endpoint::MlflowServerInfo => Ok(mlflow::server_info(&service)),
        Endpoint::Token => token::get(&service, visitor, request).await,
        Endpoint::TokenByForm => token::post(&service, visitor, request).await,
        // Those of the registry are dispatched by `oci`, which takes their paths apart.
        endpoint => api::answer(&service, visitor, endpoint, request).await,
    }
}

/// A registry's `Location` is a whole URL, as distribution's is: some clients parse it by itself (Ollama).
async fn absolute_locations(request: Request, next: Next) -> Response {
    let origin = request.extensions().get::<Origin>().cloned();
    let mut response = next.run(request).await;
    let path = response.headers().get(LOCATION).and_then(|place| place.to_str().ok());
    if let (Some(origin), Some(path)) = (origin, path.filter(|path| path.starts_with('/')))
        && let Ok(url) = HeaderValue::try_from(origin.url(path))
    {
        response.headers_mut().insert(LOCATION, url);
    }
    response
}

/// The answer to a request that there is no room for.
#[must_use]
pub(crate) fn over_capacity(uri: &Uri, over_capacity: OverCapacity) -> Response {
    in_terms_of(uri, ServiceError::from(over_capacity).into())
}

/// What a request says of its sender before it is dispatched. Where nobody has to sign in, nobody can.
#[must_use]
pub(crate) fn claim(request: &hyper::Request<hyper::body::Incoming>, can_sign_in: bool) -> Claim {
    let path = request.uri().path();
    if [Endpoint::Alive, Endpoint::Ready].iter().any(|probe| probe.path() == path) {
        return Claim::Probe;
    }
    // A URL that lets its bearer in, or says so.
    let query = request.uri().query().unwrap_or_default();
    let is_signed = path.starts_with(SIGNED_PATH) || query.contains("signature=");
    let headers = request.headers();
    let is_signed = is_signed || headers.contains_key(AUTHORIZATION) || headers.contains_key(COOKIE);
    if can_sign_in && is_signed { Claim::Credentials } else { Claim::Nothing }
}

/// In the words of the front door that is asked.
fn in_terms_of(uri: &Uri, error: HttpError) -> Response {
    match Door::of(uri.path()) {
        Door::Mlflow => mlflow::refused(error),
        Door::Hub => hub::refused(error),
        Door::Tus => tus::rendered(error),
        Door::Api => error.with_harbors_code().into_response(),
        Door::Lfs => lfs::rendered(error, None),
        Door::Registry | Door::Service => error.into_response(),
    }
}

/// For routes of axum's own, which adds the `Allow` header itself.
fn other_method() -> HttpError {
    let message = "this endpoint does not take this method; the Allow header names those it takes";
    HttpError::new(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", message)
}

fn method_not_allowed(allowed: &'static str) -> HttpError {
    HttpError::new(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", format!("this endpoint takes {allowed}"))
        .with_header(axum::http::header::ALLOW, HeaderValue::from_static(allowed))
}

/// No panic is reachable from a request as far as we know; one that is found must not take the answer with it.
#[expect(clippy::needless_pass_by_value, reason = "the signature that tower-http asks for")]
fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let text = panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = text.unwrap_or("unknown"), "a request handler panicked");
    HttpError::new(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", "an internal error; the log has it")
        .into_response()
}
