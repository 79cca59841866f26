//! `/api/v2.0/quotas`: one a project, with the project's id.

use axum::Json;
use axum::http::StatusCode;
use axum::response::IntoResponse;

use crate::domain::project::ProjectChanges;
use crate::http::api::page::Page;
use crate::http::api::wire::{self, QuotaRequest};
use crate::http::api::{Answer, Call};
use crate::http::extract::Parameters;

pub(in crate::http::api) async fn list(call: &Call) -> Answer {
    let page = Page::of(&Parameters::of(&call.parts.uri))?;
    let (found, total) = call.service.quotas(&call.caller, page.limit(), page.offset()).await?;
    let found: Vec<_> = found.into_iter().map(wire::Quota::from).collect();
    Ok(page.of_list(&found, total, &call.parts.uri))
}

pub(in crate::http::api) async fn read(call: &Call) -> Answer {
    let quota = call.service.quota(&call.project).await?;
    Ok(Json(wire::Quota::from(quota)).into_response())
}

/// What is not said stays as it is.
pub(in crate::http::api) async fn update(call: &Call) -> Answer {
    let QuotaRequest { hard } = call.json()?;
    let changes = ProjectChanges {
        storage_limit: wire::limit(hard.storage)?,
        count_limit: wire::limit(hard.count)?,
        ..ProjectChanges::default()
    };
    call.service.update_project(&call.caller, &call.project, &changes).await?;
    Ok(StatusCode::OK.into_response())
}
