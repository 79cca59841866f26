//! What administrators and members ask, in the shape that Harbor gave it.

mod configurations;
mod logs;

use std::sync::Arc;

use axum::RequestExt;
use axum::extract::{RawPathParams, Request};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::Response;

use super::endpoint::Endpoint;
use super::error::HttpError;
use super::extract::header;
use super::gate::{self, Target, Visitor};
use crate::domain::access::ProjectReference;
use crate::service::Service;

/// Says that a project's name is meant, whatever it looks like.
const IS_RESOURCE_NAME: HeaderName = HeaderName::from_static("x-is-resource-name");

pub(super) async fn answer(
    service: &Arc<Service>,
    endpoint: Endpoint,
    mut request: Request,
) -> Result<Response, HttpError> {
    let visitor = Visitor::of(&request);
    let project = project(&mut request).await?;
    let target = project.as_ref().map_or(Target::None, Target::Project);
    let (caller, _permit) = gate::admit(service, visitor, endpoint, target).await?;
    match (endpoint, project) {
        (Endpoint::ReadConfigurations, _) => Ok(configurations::get(service)),
        (Endpoint::ChangeConfigurations, _) => configurations::put(service, &caller, request).await,
        (Endpoint::ListProjectLogs, Some(project)) => {
            logs::of_project(service, &project, request.uri()).await
        }
        (Endpoint::ListLogs, _) => logs::all(service, request.uri()).await,
        _ => Err(HttpError::not_found()),
    }
}

/// The project that the path names, if it names one.
async fn project(request: &mut Request) -> Result<Option<ProjectReference>, HttpError> {
    let parameters = request.extract_parts::<RawPathParams>().await;
    let parameters = parameters.map_err(|error| invalid(error.to_string()))?;
    let Some((_, text)) = parameters.iter().find(|(name, _)| *name == "name_or_id") else { return Ok(None) };
    reference(text, request.headers()).map(Some)
}

/// Digits are an id, unless a header says otherwise.
fn reference(text: &str, headers: &HeaderMap) -> Result<ProjectReference, HttpError> {
    let is_name = header(headers, &IS_RESOURCE_NAME) == Some("true");
    if !is_name && !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit()) {
        return Ok(ProjectReference::Id(text.parse().unwrap_or(i64::MAX)));
    }
    Ok(ProjectReference::Name(text.parse().map_err(|error| invalid(format!("{error}")))?))
}

fn invalid(message: impl Into<String>) -> HttpError {
    HttpError::new(StatusCode::BAD_REQUEST, "BAD_REQUEST", message)
}
