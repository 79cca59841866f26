//! `/api/v2.0/users/{user}/tokens`: what a user's programs sign in with. Harbor has no such thing.

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::IntoResponse;
use uuid::Uuid;

use crate::http::api::page::Page;
use crate::http::api::wire::{self, TokenRequest};
use crate::http::api::{Answer, Call, created, parameter};
use crate::http::extract::Parameters;

pub(in crate::http::api) async fn list(call: &Call) -> Answer {
    let page = Page::of(&Parameters::of(&call.parts.uri))?;
    let user = call.user().await?.id;
    let (found, total) = call.service.access_tokens(user, page.limit(), page.offset()).await?;
    let found: Vec<_> = found.into_iter().map(wire::AccessToken::from).collect();
    Ok(page.of_list(&found, total, &call.parts.uri))
}

pub(in crate::http::api) async fn create(call: &Call) -> Answer {
    let request: TokenRequest = call.json()?;
    let user = call.user().await?.id;
    let (row, token) = call.service.create_access_token(user, &request.name, request.duration).await?;
    let path = format!("/api/v2.0/users/{user}/tokens/{}", row.id);
    let body = wire::AccessToken::shown_once(row, &token);
    Ok(created(path, ([(CACHE_CONTROL, "no-store")], Json(body))))
}

pub(in crate::http::api) async fn revoke(call: &Call) -> Answer {
    let user = call.user().await?.id;
    // What is no UUID is no token's.
    let id = parameter(&call.path, "token").and_then(|id| Uuid::try_parse(id).ok()).unwrap_or_default();
    call.service.revoke_access_token(user, id).await?;
    Ok(StatusCode::OK.into_response())
}
