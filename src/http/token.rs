//! `GET` and `POST /service/token`: an access token for what its caller may do of what is asked for (Docker, "Token
//! Authentication Specification" and "`OAuth2` Token Authentication").

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use overside_protocol::wire;

use super::error::HttpError;
use super::extract::{Parameters, whole};
use super::gate::{Visitor, challenged};
use super::ollama;
use crate::domain::access::{Action, Actions, TokenGrants};
use crate::domain::name::RepositoryName;
use crate::service::{Credentials, Service};

/// Repositories that one token is good for: a copy between two registries' projects asks for two or three.
const MAX_SCOPES: usize = 100;
/// A form with a name, a secret and scopes.
const MAX_FORM: usize = 128 * 1024;

pub(super) async fn get(
    service: &Arc<Service>,
    visitor: Visitor,
    request: Request,
) -> Result<Response, HttpError> {
    let parameters = Parameters::of(request.uri());
    let visitor = match ollama::signed_request(&request, &parameters)? {
        Some(signed) => visitor.with(Credentials::Key(signed)),
        None => visitor,
    };
    answer(service, visitor, &parameters).await
}

pub(super) async fn post(
    service: &Arc<Service>,
    visitor: Visitor,
    request: Request,
) -> Result<Response, HttpError> {
    let body = whole(request.into_body(), MAX_FORM).await;
    let body = body.map_err(|broken| invalid(broken.unwrap_or("the form is too long")))?;
    let parameters = Parameters::of_form(&body);
    let visitor = match parameters.once("grant_type").map_err(invalid)? {
        Some("password") => {
            let field = |name: &'static str| -> Result<String, HttpError> {
                let value = parameters.once(name).map_err(invalid)?;
                value.map(str::to_owned).ok_or_else(|| invalid(format!("grant_type=password needs {name}=")))
            };
            visitor.with(Credentials::Basic { name: field("username")?, secret: field("password")? })
        }
        // No refresh token was ever given out.
        Some("refresh_token") => {
            return Err(invalid("there are no refresh tokens here; sign in with a password or token"));
        }
        _ => return Err(invalid("grant_type= is password")),
    };
    answer(service, visitor, &parameters).await
}

async fn answer(
    service: &Arc<Service>,
    visitor: Visitor,
    parameters: &Parameters,
) -> Result<Response, HttpError> {
    let Some(auth) = service.auth() else { return Err(HttpError::not_found()) };
    if let Some(asked) = parameters.once("service").map_err(invalid)?
        && asked != auth.issuer.service
    {
        return Err(invalid(format!("service= is {}", auth.issuer.service)));
    }
    let asked = asked(parameters)?;
    let origin = visitor.origin();
    let issued = async {
        let caller = visitor.identify(service).await?;
        service.admit_token(&caller)?;
        let grants = service.grants(&caller, asked).await?;
        service.issue_token(&grants).await
    };
    // Whoever signs in wrongly is not to think that a token without rights is theirs.
    let issued = issued.await.map_err(|error| challenged(service, error, None, origin.as_ref()));
    let (token, expires_in) = issued?;
    let body = wire::Token { access_token: token.clone(), token, expires_in, issued_at: service.now() };
    Ok(([(CACHE_CONTROL, "no-store")], Json(body)).into_response())
}

/// Scopes that are asked for; of kinds and actions that are unknown here, and of what is no scope at all, nothing is
/// granted: the others are good all the same.
fn asked(parameters: &Parameters) -> Result<TokenGrants, HttpError> {
    let mut repositories: BTreeMap<RepositoryName, Actions> = BTreeMap::new();
    let mut catalog = false;
    for scope in
        parameters.all("scope").flat_map(|scopes| scopes.split(' ')).filter(|scope| !scope.is_empty())
    {
        let Some((kind, rest)) = scope.split_once(':') else { continue };
        let Some((name, actions)) = rest.rsplit_once(':') else { continue };
        match kind {
            // `repository(plugin)` is what Docker calls some.
            "repository" | "repository(plugin)" => {
                let Ok(name) = name.parse::<RepositoryName>() else { continue };
                let actions =
                    actions.split(',').fold(Actions::NONE, |all, action| match action.parse::<Action>() {
                        Ok(action) => all.with(action),
                        Err(_) if action == "*" => Actions::ALL,
                        Err(_) => all,
                    });
                let known = repositories.entry(name).or_default();
                *known = known.union(actions);
            }
            "registry" if name == "catalog" => catalog = true,
            _ => {}
        }
    }
    if repositories.len() > MAX_SCOPES {
        return Err(invalid(format!("a token is good for at most {MAX_SCOPES} repositories")));
    }
    Ok(TokenGrants { name: None, account: None, repositories: repositories.into_iter().collect(), catalog })
}

fn invalid(message: impl Into<String>) -> HttpError {
    HttpError::new(StatusCode::BAD_REQUEST, "UNSUPPORTED", message)
}
