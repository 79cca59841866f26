//! `/api/repos/…`, lists of repositories, branches and tags, and `/api/whoami-v2`.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};

use super::route::{author, ref_name};
use super::wire::{
    AccessToken, Auth, BranchRequest, CardCheck, Created, RepositoryRequest, Summary, TagRequest, WhoAmI,
};
use super::{Answer, Call, json, main, may, shown, url_of, whole};
use crate::domain::access::{Action, Authority, Caller};
use crate::domain::hub::{HubName, HubRepository, RefKind, RefName, RepositoryKind, Revision};
use crate::domain::name::RepositoryName;
use crate::http::error::HttpError;
use crate::http::extract::{Parameters, json as optional_json};
use crate::http::gate::Visitor;
use crate::service::{Service, ServiceError};

/// Stands for whoever asks where nobody signs in.
const ANYBODY: &str = "anybody";

pub(super) fn who_am_i(caller: &Caller) -> Response {
    let name = caller.name().unwrap_or(ANYBODY).to_owned();
    let access_token = AccessToken { display_name: name.clone(), role: "write" };
    let who = WhoAmI {
        kind: "user",
        id: name.clone(),
        fullname: name.clone(),
        name,
        is_pro: false,
        orgs: Vec::new(),
        auth: Auth { kind: "access_token", access_token },
    };
    Json(who).into_response()
}

/// What a card says is for those who read it.
pub(super) fn checked_card() -> Response {
    Json(CardCheck { errors: Vec::new(), warnings: Vec::new() }).into_response()
}

pub(super) async fn create(
    service: &Arc<Service>,
    caller: &Caller,
    visitor: &Visitor,
    request: Request,
) -> Answer {
    let (request, name) = named(service, caller, request).await?;
    may(service, caller, visitor, name.repository(), Action::Push).await?;
    let is_made = service.create_hub_repository(caller, &name).await?;
    let created = Created {
        url: url_of(&request, &name, ""),
        name: name.full_name().to_owned(),
        id: name.full_name().to_owned(),
        error: (!is_made).then_some("You already created this repo"),
    };
    let status = if is_made { StatusCode::OK } else { StatusCode::CONFLICT };
    Ok((status, Json(created)).into_response())
}

pub(super) async fn delete(
    service: &Arc<Service>,
    caller: &Caller,
    visitor: &Visitor,
    request: Request,
) -> Answer {
    let (_, name) = named(service, caller, request).await?;
    may(service, caller, visitor, name.repository(), Action::Delete).await?;
    if !service.delete_hub_repository(caller, &name).await? {
        return Err(super::repository_not_found());
    }
    Ok(StatusCode::OK.into_response())
}

/// The repository that a body names, and the request without that.
async fn named(service: &Service, caller: &Caller, request: Request) -> Result<(Parts, HubName), HttpError> {
    let (request, body) = request.into_parts();
    let asked: RepositoryRequest = json(service, caller, &request, body).await?;
    let kind = asked.kind.as_deref().unwrap_or("model");
    let kind = RepositoryKind::ALL.into_iter().find(|known| known.singular() == kind);
    let kind = kind.ok_or_else(|| HttpError::invalid("type is model, dataset or space"))?;
    let full_name = match (&asked.organization, caller.name()) {
        (Some(project), _) => format!("{project}/{}", asked.name),
        (None, _) if asked.name.contains('/') => asked.name,
        (None, Some(user)) => format!("{user}/{}", asked.name),
        (None, None) => {
            return Err(HttpError::invalid(
                "name the repository NAMESPACE/NAME, where the namespace is a project",
            ));
        }
    };
    let name = HubName::new(kind, &full_name)
        .map_err(|error| HttpError::invalid(format!("{full_name:.200}: {error}")))?;
    Ok((request, name))
}

/// Of a project that the caller may read; of any other there are none.
pub(super) async fn list(service: &Arc<Service>, caller: &Caller, kind: RepositoryKind, uri: &Uri) -> Answer {
    let parameters = Parameters::of(uri);
    let mut listed = Vec::new();
    if let Some(project) = author(&parameters)?
        && service.actions(caller, &project).await?.contains(Action::Pull)
    {
        let is_private = is_private(service, &project).await?;
        let found = service.hub_repositories(&project, kind).await?;
        listed.extend(found.iter().map(|repository| summary(repository, is_private)));
    }
    Ok(Json(listed).into_response())
}

pub(super) fn summary(repository: &HubRepository, is_private: bool) -> Summary {
    let id = repository.name.full_name();
    Summary {
        id: id.to_owned(),
        author: id.split('/').next().unwrap_or_default().to_owned(),
        private: is_private,
        gated: false,
        disabled: false,
        downloads: 0,
        likes: 0,
        tags: Vec::new(),
        created_at: repository.created_at,
    }
}

/// Whether it takes signing in to read it.
pub(super) async fn is_private(service: &Service, repository: &RepositoryName) -> Result<bool, ServiceError> {
    let nobody = Caller { authority: Authority::Anonymous, address: None };
    Ok(service.auth().is_some() && !service.actions(&nobody, repository).await?.contains(Action::Pull))
}

pub(super) async fn branch(call: &Call<'_>, name: &RefName, body: Body) -> Answer {
    let body = whole(call.service, call.caller, &call.request, body).await?;
    let asked: BranchRequest = optional_json(&body)?;
    let from = match asked.starting_point {
        None => main(),
        Some(text) => text.parse().map_err(|_| super::revision_not_found(&text))?,
    };
    point(call, (RefKind::Branch, name), &from).await
}

pub(super) async fn tag(call: &Call<'_>, at: &Revision, body: Body) -> Answer {
    let asked: TagRequest = json(call.service, call.caller, &call.request, body).await?;
    point(call, (RefKind::Tag, &ref_name(&asked.tag)?), at).await
}

/// Has a new reference point to what a revision names.
async fn point(call: &Call<'_>, reference: (RefKind, &RefName), at: &Revision) -> Answer {
    let commit = call.commit_at(at).await?;
    if call.service.create_hub_ref(call.caller, call.name(), reference, &commit.oid).await? {
        return Ok(StatusCode::OK.into_response());
    }
    let message = format!(
        "{} is there already, or the repository has as many branches and tags as it may; delete one first",
        reference.1.as_str()
    );
    Err(HttpError::new(StatusCode::CONFLICT, "DENIED", message))
}

pub(super) async fn delete_branch(call: &Call<'_>, name: &RefName) -> Answer {
    if *name == RefName::main() {
        return Err(HttpError::new(StatusCode::FORBIDDEN, "DENIED", "every repository has its branch main"));
    }
    unpoint(call, (RefKind::Branch, name)).await
}

pub(super) async fn delete_tag(call: &Call<'_>, at: &Revision) -> Answer {
    match at {
        Revision::Named(name) | Revision::Ref(RefKind::Tag, name) => {
            unpoint(call, (RefKind::Tag, name)).await
        }
        other => Err(super::revision_not_found(&shown(other))),
    }
}

async fn unpoint(call: &Call<'_>, reference: (RefKind, &RefName)) -> Answer {
    if call.service.delete_hub_ref(call.caller, call.name(), reference).await? {
        return Ok(StatusCode::OK.into_response());
    }
    Err(super::revision_not_found(reference.1.as_str()))
}
