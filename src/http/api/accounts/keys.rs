//! `/api/v2.0/users/{user}/keys`: public keys that a user signs in with. Harbor has no such thing.

use axum::Json;
use axum::http::StatusCode;
use axum::response::IntoResponse;

use crate::http::api::page::Page;
use crate::http::api::wire::{self, UserKeyRequest};
use crate::http::api::{Answer, Call, created};
use crate::http::extract::Parameters;

pub(in crate::http::api) async fn list(call: &Call) -> Answer {
    let page = Page::of(&Parameters::of(&call.parts.uri))?;
    let user = call.user().await?.id;
    let (found, total) = call.service.user_keys(user, page.limit(), page.offset()).await?;
    let found: Vec<_> = found.into_iter().map(wire::UserKey::from).collect();
    Ok(page.of_list(&found, total, &call.parts.uri))
}

pub(in crate::http::api) async fn add(call: &Call) -> Answer {
    let request: UserKeyRequest = call.json()?;
    let user = call.user().await?.id;
    let key = call.service.add_user_key(user, &request.key).await?;
    Ok(created(format!("/api/v2.0/users/{user}/keys/{}", key.id), Json(wire::UserKey::from(key))))
}

pub(in crate::http::api) async fn remove(call: &Call) -> Answer {
    let user = call.user().await?.id;
    call.service.remove_user_key(user, call.id("key")).await?;
    Ok(StatusCode::OK.into_response())
}
