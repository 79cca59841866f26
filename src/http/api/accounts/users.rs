//! `/api/v2.0/users`

use axum::Json;
use axum::http::StatusCode;
use axum::response::IntoResponse;

use crate::domain::access::Authority;
use crate::domain::account::{self, FederatedIdentity, InvalidUserName, UserName};
use crate::http::api::page::Page;
use crate::http::api::wire::{self, AdministratorRequest, PasswordRequest, UserRequest};
use crate::http::api::{Answer, Call, created};
use crate::http::error::HttpError;
use crate::http::extract::Parameters;
use crate::service::NewUser;

pub(in crate::http::api) async fn current(call: &Call) -> Answer {
    let user = match call.caller.authority {
        Authority::Unchecked => wire::User::UNCHECKED,
        _ => call.service.own_user(&call.caller).await?.into(),
    };
    Ok(Json(user).into_response())
}

pub(in crate::http::api) async fn list(call: &Call) -> Answer {
    let parameters = Parameters::of(&call.parts.uri);
    let page = Page::of(&parameters)?;
    let (found, total) = match parameters.text("q")? {
        None => call.service.users(page.limit(), page.offset()).await?,
        Some(query) => named(call, query).await?,
    };
    let found: Vec<_> = found.into_iter().map(wire::User::from).collect();
    Ok(page.of_list(&found, total, &call.parts.uri))
}

/// Of Harbor's queries the one for a user by name.
async fn named(call: &Call, query: &str) -> Result<(Vec<account::User>, u64), HttpError> {
    let name = query.strip_prefix("username=").filter(|name| !name.starts_with('~'));
    let name = name.ok_or_else(|| HttpError::invalid("q= is q=username=NAME here, percent-encoded"))?;
    let found: Vec<_> = match name.parse() {
        Ok(name) => call.service.find_user_by_name(&name).await?.into_iter().collect(),
        Err(InvalidUserName) => Vec::new(),
    };
    let count = found.len() as u64;
    Ok((found, count))
}

pub(in crate::http::api) async fn create(call: &Call) -> Answer {
    let request: UserRequest = call.json()?;
    let name: UserName =
        request.username.parse().map_err(|error: InvalidUserName| HttpError::invalid(error.to_string()))?;
    let identity = match (request.oidc_issuer, request.oidc_subject) {
        (Some(issuer), Some(subject)) => {
            let identity = FederatedIdentity::new(issuer, subject);
            Some(identity.map_err(|error| HttpError::invalid(error.to_string()))?)
        }
        (None, None) => None,
        _ => return Err(HttpError::invalid("oidc_issuer and oidc_subject go together")),
    };
    if request.password.is_none() && identity.is_none() {
        return Err(HttpError::invalid(
            "password, or oidc_issuer and oidc_subject: a user signs in with one",
        ));
    }
    let (password, is_admin) = (request.password, request.sysadmin_flag);
    let id = call.service.create_user(NewUser { name, password, is_admin, identity }).await?;
    Ok(created(format!("/api/v2.0/users/{id}"), ()))
}

pub(in crate::http::api) async fn read(call: &Call) -> Answer {
    Ok(Json(wire::User::from(call.user().await?)).into_response())
}

pub(in crate::http::api) async fn delete(call: &Call) -> Answer {
    call.service.delete_user(&call.caller, call.id("user")).await?;
    Ok(StatusCode::OK.into_response())
}

pub(in crate::http::api) async fn change_password(call: &Call) -> Answer {
    let request: PasswordRequest = call.json()?;
    let (old, new) = (request.old_password, request.new_password);
    call.service.change_password(&call.caller, call.user().await?.id, old, new).await?;
    Ok(StatusCode::OK.into_response())
}

pub(in crate::http::api) async fn set_administrator(call: &Call) -> Answer {
    let request: AdministratorRequest = call.json()?;
    call.service.set_administrator(&call.caller, call.id("user"), request.sysadmin_flag).await?;
    Ok(StatusCode::OK.into_response())
}
