//! `/api/v2.0/projects`

use axum::Json;
use axum::http::StatusCode;
use axum::response::IntoResponse;

use crate::domain::access::{InvalidProjectName, ProjectName, ProjectReference};
use crate::domain::project::ProjectChanges;
use crate::http::api::page::Page;
use crate::http::api::wire::{self, Flag, ProjectRequest};
use crate::http::api::{Answer, Call, created};
use crate::http::error::HttpError;
use crate::http::extract::Parameters;

pub(in crate::http::api) async fn list(call: &Call) -> Answer {
    let parameters = Parameters::of(&call.parts.uri);
    let page = Page::of(&parameters)?;
    let part = parameters.text("name")?.unwrap_or_default();
    if part.contains('\0') {
        return Err(HttpError::invalid("name= is part of a name, without a NUL"));
    }
    let is_public = match parameters.text("public")? {
        None => None,
        Some(_) => Some(parameters.is_true("public")?),
    };
    let window = (page.limit(), page.offset());
    let (found, total) = call.service.projects(&call.caller, (part, is_public), window).await?;
    let found: Vec<_> = found.into_iter().map(wire::Project::from).collect();
    Ok(page.of_list(&found, total, &call.parts.uri))
}

pub(in crate::http::api) async fn create(call: &Call) -> Answer {
    let request: ProjectRequest = call.json()?;
    let name = request.project_name.as_deref().unwrap_or_default();
    let name: ProjectName =
        name.parse().map_err(|error: InvalidProjectName| HttpError::invalid(error.to_string()))?;
    let id = call.service.create_project(&call.caller, name, &changes(&request)?).await?;
    Ok(created(format!("/api/v2.0/projects/{id}"), ()))
}

/// Whether there is one: a project that the caller may not see is none.
pub(in crate::http::api) async fn find(call: &Call) -> Answer {
    let parameters = Parameters::of(&call.parts.uri);
    let name = parameters.text("project_name")?;
    let name = name.ok_or_else(|| HttpError::invalid("project_name= says which project"))?;
    let project = name.parse().map_or(ProjectReference::NONE, ProjectReference::Name);
    let is_there = call.service.sees_project(&call.caller, &project).await?;
    Ok(if is_there { StatusCode::OK } else { StatusCode::NOT_FOUND }.into_response())
}

pub(in crate::http::api) async fn read(call: &Call) -> Answer {
    let project = call.service.project(&call.caller, &call.project).await?;
    Ok(Json(wire::Project::from(project)).into_response())
}

pub(in crate::http::api) async fn update(call: &Call) -> Answer {
    let request: ProjectRequest = call.json()?;
    let changes = changes(&request)?;
    if let Some(name) = &request.project_name {
        let project = call.service.project(&call.caller, &call.project).await?.project;
        if project.name.as_str() != name {
            return Err(HttpError::invalid("a project keeps its name: it is part of its repositories'"));
        }
    }
    call.service.update_project(&call.caller, &call.project, &changes).await?;
    Ok(StatusCode::OK.into_response())
}

pub(in crate::http::api) async fn delete(call: &Call) -> Answer {
    call.service.delete_project(&call.project).await?;
    Ok(StatusCode::OK.into_response())
}

fn changes(request: &ProjectRequest) -> Result<ProjectChanges, HttpError> {
    if request.registry_id.is_some() {
        return Err(HttpError::invalid("registry_id: there are no proxy caches here"));
    }
    let in_metadata = request.metadata.as_ref().and_then(|metadata| metadata.public);
    let is_public = match (request.public, in_metadata) {
        (Some(one), Some(other)) if one != other => {
            return Err(HttpError::invalid("public and metadata.public say different things"));
        }
        (one, other) => one.or(other),
    };
    Ok(ProjectChanges {
        is_public: is_public.map(|Flag(is_public)| is_public),
        storage_limit: wire::limit(request.storage_limit)?,
        count_limit: wire::limit(request.count_limit)?,
    })
}
