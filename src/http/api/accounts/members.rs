//! `/api/v2.0/projects/{name_or_id}/members`

use axum::Json;
use axum::http::StatusCode;
use axum::response::IntoResponse;

use crate::domain::account::InvalidUserName;
use crate::http::api::page::Page;
use crate::http::api::wire::{self, MemberRequest};
use crate::http::api::{Answer, Call, created};
use crate::http::error::HttpError;
use crate::http::extract::Parameters;
use crate::service::NewMember;

pub(in crate::http::api) async fn list(call: &Call) -> Answer {
    let page = Page::of(&Parameters::of(&call.parts.uri))?;
    let (found, total) = call.service.members(&call.project, page.limit(), page.offset()).await?;
    let found: Vec<_> = found.into_iter().map(wire::Member::from).collect();
    Ok(page.of_list(&found, total, &call.parts.uri))
}

pub(in crate::http::api) async fn add(call: &Call) -> Answer {
    let request: MemberRequest = call.json()?;
    let role = wire::role(request.role_id)?;
    let user = match request.member_user.map(|user| (user.username, user.user_id)) {
        Some((Some(name), None)) => {
            let name = name.parse();
            let name = name.map_err(|error: InvalidUserName| HttpError::invalid(error.to_string()))?;
            NewMember::Name(name)
        }
        Some((None, Some(id))) => NewMember::Id(id),
        _ => return Err(HttpError::invalid("member_user has a username or a user_id; there are no groups")),
    };
    let (project, id) = call.service.add_member(&call.project, &user, role).await?;
    Ok(created(format!("/api/v2.0/projects/{project}/members/{id}"), ()))
}

pub(in crate::http::api) async fn read(call: &Call) -> Answer {
    let member = call.service.member(&call.project, call.id("member")).await?;
    Ok(Json(wire::Member::from(member)).into_response())
}

pub(in crate::http::api) async fn update(call: &Call) -> Answer {
    let request: MemberRequest = call.json()?;
    let role = wire::role(request.role_id)?;
    call.service.update_member(&call.project, call.id("member"), role).await?;
    Ok(StatusCode::OK.into_response())
}

pub(in crate::http::api) async fn remove(call: &Call) -> Answer {
    call.service.remove_member(&call.project, call.id("member")).await?;
    Ok(StatusCode::OK.into_response())
}
