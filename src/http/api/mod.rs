//! Users, projects and what belongs to them, in the shape of Harbor's API where it has one (goharbor/harbor,
//! `api/v2.0/swagger.yaml`).

// Who is there, who somebody is, and what they may do.
mod accounts;
// Writes changes to the audit log.
mod audited;
// What its endpoints take and answer, for /openapi.json.
mod described;
// One page of a listing.
mod page;
// Quotas, the audit log and settings.
mod upkeep;
// Harbor's JSON.
mod wire;

use std::sync::Arc;

use axum::extract::{FromRequestParts, RawPathParams, Request};
use axum::http::header::LOCATION;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use overside_protocol::wire::IS_NAME;
use serde::de::DeserializeOwned;

use super::endpoint::{Endpoint, Need};
use super::error::HttpError;
use super::extract::{header, object, says_json, whole};
use super::gate::{self, Target, Visitor};
use crate::domain::access::{Caller, ProjectReference};
use crate::domain::account::User;
use crate::service::Service;
use accounts::{keys, members, projects, robots, tokens, users, webhooks};
use upkeep::{configurations, logs, quotas};

/// What all paths of this API begin with.
pub(super) const PREFIX: &str = super::endpoint::API;
/// Longest body: a robot with a description and permissions takes two kilobytes.
const MAX_BODY: usize = 64 * 1024;
/// Whoever asks, where a path names a user.
const OWN: &str = "current";
/// Nothing has this id.
const NO_ID: i64 = -1;

pub(super) use described::described;

type Answer = Result<Response, HttpError>;

/// A request whose sender has been let in.
struct Call {
    service: Arc<Service>,
    caller: Caller,
    /// The project that the path or the body names, where the endpoint is about one.
    project: ProjectReference,
    path: Vec<(String, String)>,
    parts: Parts,
    body: Bytes,
}

/// Its errors have Harbor's codes, whatever they come from.
pub(super) async fn answer(
    service: &Arc<Service>,
    visitor: Visitor,
    endpoint: Endpoint,
    request: Request,
) -> Answer {
    let answered = async {
        let call = admit(service, visitor, endpoint, request).await?;
        let Some(action) = audited::action(endpoint, &call).await else {
            return dispatch(endpoint, &call).await;
        };
        // To its entry in the log, also when the client is gone.
        let work = async move {
            let response = dispatch(endpoint, &call).await?;
            call.service.record_all(&call.caller, vec![action]).await;
            Ok(response)
        };
        service.outlive(work).await?
    };
    answered.await.map_err(HttpError::with_harbors_code)
}

/// What the request is about is read first, as far as that takes no look at the database; what cannot be read is
/// nothing that is there.
async fn admit(
    service: &Arc<Service>,
    visitor: Visitor,
    endpoint: Endpoint,
    request: Request,
) -> Result<Call, HttpError> {
    let (mut parts, body) = request.into_parts();
    let path = RawPathParams::from_request_parts(&mut parts, &()).await;
    let path = path.map_err(|_| HttpError::not_found())?;
    let path: Vec<_> = path.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let body = whole(body, MAX_BODY).await.map_err(|broken| {
        broken.map_or_else(
            || {
                HttpError::new(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "",
                    format!("a body has at most {MAX_BODY} bytes"),
                )
            },
            HttpError::invalid,
        )
    })?;
    let project = match endpoint {
        Endpoint::CreateRobot => robots::project(&body),
        _ => project(&path, header(&parts.headers, &IS_NAME) == Some("true")),
    };
    let target = match endpoint.need() {
        Need::Project(_) => Target::Project(&project),
        Need::Robot => Target::Robot(id(&path, "robot")),
        Need::User if parameter(&path, "user") == Some(OWN) => Target::Oneself,
        Need::User => Target::User(id(&path, "user")),
        _ => Target::None,
    };
    let (caller, _permit) = gate::admit(service, visitor, endpoint, target).await?;
    Ok(Call { service: Arc::clone(service), caller, project, path, parts, body })
}

async fn dispatch(endpoint: Endpoint, call: &Call) -> Answer {
    match endpoint {
        Endpoint::ListProjects => projects::list(call).await,
        Endpoint::CreateProject => projects::create(call).await,
        Endpoint::FindProject => projects::find(call).await,
        Endpoint::ReadProject => projects::read(call).await,
        Endpoint::UpdateProject => projects::update(call).await,
        Endpoint::DeleteProject => projects::delete(call).await,
        Endpoint::ListMembers => members::list(call).await,
        Endpoint::AddMember => members::add(call).await,
        Endpoint::ReadMember => members::read(call).await,
        Endpoint::UpdateMember => members::update(call).await,
        Endpoint::RemoveMember => members::remove(call).await,
        Endpoint::ListWebhooks => webhooks::list(call).await,
        Endpoint::CreateWebhook => webhooks::create(call).await,
        Endpoint::ReadWebhook => webhooks::read(call).await,
        Endpoint::UpdateWebhook => webhooks::update(call).await,
        Endpoint::DeleteWebhook => webhooks::delete(call).await,
        Endpoint::ListWebhookEvents => webhooks::events(call).await,
        Endpoint::ListWebhookTriggers => webhooks::last_triggers(call).await,
        Endpoint::ListRobots => robots::list(call).await,
        Endpoint::CreateRobot => robots::create(call).await,
        Endpoint::ReadRobot => robots::read(call).await,
        Endpoint::UpdateRobot => robots::update(call).await,
        Endpoint::RotateRobot => robots::rotate(call).await,
        Endpoint::DeleteRobot => robots::delete(call).await,
        Endpoint::ListQuotas => quotas::list(call).await,
        Endpoint::ReadQuota => quotas::read(call).await,
        Endpoint::UpdateQuota => quotas::update(call).await,
        Endpoint::ReadCurrentUser => users::current(call).await,
        Endpoint::ListTokens => tokens::list(call).await,
        Endpoint::CreateToken => tokens::create(call).await,
        Endpoint::RevokeToken => tokens::revoke(call).await,
        Endpoint::ListUserKeys => keys::list(call).await,
        Endpoint::AddUserKey => keys::add(call).await,
        Endpoint::RemoveUserKey => keys::remove(call).await,
        Endpoint::ListUsers => users::list(call).await,
        Endpoint::CreateUser => users::create(call).await,
        Endpoint::ReadUser => users::read(call).await,
        Endpoint::DeleteUser => users::delete(call).await,
        Endpoint::ChangePassword => users::change_password(call).await,
        Endpoint::SetAdministrator => users::set_administrator(call).await,
        Endpoint::ReadConfigurations => Ok(configurations::read(&call.service)),
        Endpoint::ChangeConfigurations => configurations::change(call).await,
        Endpoint::ListProjectLogs => logs::of_project(call).await,
        Endpoint::ListLogs => logs::all(call).await,
        // Other front doors answer them; a story asks for every endpoint.
        _ => Err(HttpError::not_found()),
    }
}

impl Call {
    /// A number in the path.
    fn id(&self, name: &str) -> i64 {
        id(&self.path, name)
    }

    /// The user in the path.
    async fn user(&self) -> Result<User, HttpError> {
        Ok(if parameter(&self.path, "user") == Some(OWN) {
            self.service.own_user(&self.caller).await?
        } else {
            self.service.user(self.id("user")).await?
        })
    }

    /// The body, which is JSON and says so.
    fn json<T: DeserializeOwned>(&self) -> Result<T, HttpError> {
        says_json(&self.parts.headers)?;
        object(&self.body)
    }
}

/// By name, or by id: of digits alone, unless the request says that they are a name.
fn project(path: &[(String, String)], is_name: bool) -> ProjectReference {
    let by_name = || Some(ProjectReference::Name(parameter(path, "name_or_id")?.parse().ok()?));
    for name in ["quota", "name_or_id"] {
        if let Some(id) = number(path, name)
            && !(is_name && name == "name_or_id")
        {
            return ProjectReference::Id(id);
        }
    }
    by_name().unwrap_or(ProjectReference::NONE)
}

fn id(path: &[(String, String)], name: &str) -> i64 {
    number(path, name).unwrap_or(NO_ID)
}

/// Of digits; one that is too large is that of nothing.
fn number(path: &[(String, String)], name: &str) -> Option<i64> {
    let text = parameter(path, name)?;
    let is_number = !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(NO_ID))
}

fn parameter<'a>(path: &'a [(String, String)], name: &str) -> Option<&'a str> {
    path.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

/// 201, and where it is.
fn created(path: String, body: impl IntoResponse) -> Response {
    // Made of ids.
    let location = HeaderValue::try_from(path).unwrap_or(HeaderValue::from_static(PREFIX));
    (StatusCode::CREATED, [(LOCATION, location)], body).into_response()
}
