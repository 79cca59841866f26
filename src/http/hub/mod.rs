//! Repositories as clients of the Hugging Face Hub know them (`huggingface_hub` 2.4): files in commits, the large ones by
//! way of Git LFS straight to the bucket and from it.
//!
//! A namespace is a project. Each repository has its blobs in one of the registry's: `project/models/name`.

// Commits, and what is to be sent before them.
mod commit;
// What its endpoints take and answer, for /openapi.json.
mod described;
// Errors in its headers.
mod error;
// What a revision has.
mod read;
// Repositories, branches and tags made and deleted, and who asks.
mod repositories;
// A file's bytes.
mod resolve;
// Takes a path apart.
mod route;
// Its JSON.
mod wire;

use std::sync::Arc;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;

use super::endpoint::Endpoint;
use super::error::HttpError;
use super::extract::{INCOMPLETE, content_length, held, object};
use super::gate::{self, Target, Visitor};
use super::origin::Origin;
use crate::domain::access::{Action, Caller};
use crate::domain::hub::git::Commit;
use crate::domain::hub::{HubName, HubRepository, Revision};
use crate::domain::name::RepositoryName;
use crate::service::{Requirement, Service};
use error::{repository_not_found, revision_not_found};
use route::{Area, Route};

pub(super) use described::{described, refusal};
pub(super) use error::refused;

/// Longest body of JSON: a thousand paths with the first bytes of each.
const MAX_BODY: usize = 2 * 1024 * 1024;

type Answer = Result<Response, HttpError>;

/// One request about one repository, by somebody who may.
struct Call<'a> {
    service: &'a Arc<Service>,
    caller: &'a Caller,
    repository: HubRepository,
    request: Parts,
}

pub(super) async fn dispatch(State(service): State<Arc<Service>>, request: Request) -> Response {
    // Large, and moved about.
    Box::pin(answer(service, request)).await.unwrap_or_else(refused)
}

async fn answer(service: Arc<Service>, request: Request) -> Answer {
    let visitor = Visitor::of(&request);
    let route = Route::parse(request.uri().path())?;
    let endpoint = route.endpoint(request.method())?;
    let target = match &route {
        Route::Of(name, _) => Target::Repository(name.repository()),
        _ => Target::None,
    };
    let (caller, permit) = gate::admit(&service, visitor.clone(), endpoint, target).await?;
    let request = permit.around(request);
    let response = match route {
        Route::WhoAmI => Ok(repositories::who_am_i(&caller)),
        Route::ValidateCard => Ok(repositories::checked_card()),
        Route::Create => repositories::create(&service, &caller, &visitor, request).await,
        Route::Delete => repositories::delete(&service, &caller, &visitor, request).await,
        Route::List(kind) => repositories::list(&service, &caller, kind, request.uri()).await,
        Route::Xet => Err(no_xet()),
        Route::Of(name, area) => {
            // What there is shows in what is to be sent.
            if matches!(endpoint, Endpoint::HubPreupload | Endpoint::HubCommit) {
                may(&service, &caller, &visitor, name.repository(), Action::Pull).await?;
            }
            let found = service.find_hub_repository(&name).await?.ok_or_else(repository_not_found)?;
            let (request, body) = request.into_parts();
            let call = Call { service: &service, caller: &caller, repository: found, request };
            of_repository(&call, endpoint, area, body).await
        }
    };
    Ok(permit.into(response?))
}

async fn of_repository(call: &Call<'_>, endpoint: Endpoint, area: Area, body: Body) -> Answer {
    match area {
        Area::Info => read::revision(call, &main()).await,
        Area::Revision(at) => read::revision(call, &at).await,
        Area::AuthCheck => Ok(StatusCode::OK.into_response()),
        Area::Refs => Ok(Json(wire::Refs::from(call.service.hub_refs(call.name()).await?)).into_response()),
        Area::Tree(at, directory) => read::tree(call, &at, &directory).await,
        Area::PathsInfo(at) => read::paths_info(call, &at, body).await,
        Area::Commits(at) => read::commits(call, &at).await,
        Area::Preupload(at) => commit::preupload(call, &at, body).await,
        Area::Commit(at) => commit::commit(call, &at, body).await,
        Area::Branch(name) if endpoint == Endpoint::HubCreateBranch => {
            repositories::branch(call, &name, body).await
        }
        Area::Branch(name) => repositories::delete_branch(call, &name).await,
        Area::Tag(at) if endpoint == Endpoint::HubCreateTag => repositories::tag(call, &at, body).await,
        Area::Tag(at) => repositories::delete_tag(call, &at).await,
        Area::Resolve(at, path) => resolve::file(call, &at, &path).await,
    }
}

impl Call<'_> {
    /// The repository that has the blobs.
    const fn name(&self) -> &RepositoryName {
        self.repository.name.repository()
    }

    async fn commit_at(&self, revision: &Revision) -> Result<Commit, HttpError> {
        let found = self.service.hub_revision(self.name(), revision).await?;
        found.ok_or_else(|| revision_not_found(&shown(revision)))
    }

    /// A URL of this repository, as people and clients read it.
    fn url(&self, rest: &str) -> String {
        url_of(&self.request, &self.repository.name, rest)
    }
}

fn url_of(request: &Parts, name: &HubName, rest: &str) -> String {
    let path = format!("/{}{name}{rest}", name.kind.prefix());
    Origin::complete(request.extensions.get(), path)
}

fn shown(revision: &Revision) -> String {
    match revision {
        Revision::Commit(oid) => oid.to_string(),
        Revision::Named(name) => name.as_str().to_owned(),
        Revision::Ref(kind, name) => format!("{kind}{}", name.as_str()),
    }
}

fn main() -> Revision {
    Revision::Named(crate::domain::hub::RefName::main())
}

/// Fails unless the caller may do this in a repository besides.
async fn may(
    service: &Service,
    caller: &Caller,
    visitor: &Visitor,
    repository: &RepositoryName,
    action: Action,
) -> Result<(), HttpError> {
    let allowed = service.authorize(caller, &Requirement::Repository(repository.clone(), action)).await;
    allowed.map_err(|error| gate::challenged(service, error, None, visitor.origin().as_ref()))
}

/// A JSON object.
async fn json<T: DeserializeOwned>(
    service: &Service,
    caller: &Caller,
    request: &Parts,
    body: Body,
) -> Result<T, HttpError> {
    object(&whole(service, caller, request, body).await?)
}

async fn whole(service: &Service, caller: &Caller, request: &Parts, body: Body) -> Result<Bytes, HttpError> {
    let length = content_length(&request.headers);
    let held = held(service, caller, length, body, MAX_BODY).await;
    let held = held.map_err(|error| {
        let message = format!("a body of JSON has at most {MAX_BODY} bytes here; send fewer files at a time");
        let too_long = HttpError::new(StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID", message);
        error.into_error(too_long, HttpError::invalid(INCOMPLETE))
    })?;
    Ok(held.bytes)
}

fn no_xet() -> HttpError {
    let message = "this server speaks no Xet; set HF_HUB_DISABLE_XET=1 and send it again";
    HttpError::new(StatusCode::NOT_FOUND, "UNSUPPORTED", message)
}
