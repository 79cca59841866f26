//! `/api/v2.0/robots`

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::IntoResponse;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::access::{Action, Actions, ProjectName, ProjectReference, UnknownName};
use crate::domain::account::{InvalidRobotName, Robot as RobotAccount, RobotName};
use crate::http::api::page::Page;
use crate::http::api::wire::seconds;
use crate::http::api::{Answer, Call, created};
use crate::http::error::HttpError;
use crate::http::extract::Parameters;
use crate::service::NewRobot;

/// What a robot's level and the kind of its permissions are: there are none beyond projects.
const PROJECT: &str = "project";
const REPOSITORY: &str = "repository";

#[derive(Debug, Deserialize, ToSchema)]
pub(in crate::http::api) struct RobotRequest {
    /// Without the project's: `ci`
    name: String,
    #[serde(default)]
    description: String,
    /// In days; -1 for never.
    duration: i64,
    /// `project`
    level: String,
    /// Not of a new one.
    #[serde(default)]
    disable: bool,
    /// Left out: secrets are made here.
    secret: Option<String>,
    /// One: a robot is in one project.
    permissions: Vec<Permission>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
struct Permission {
    /// `project`
    kind: String,
    /// The project's name.
    namespace: String,
    access: Vec<Access>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
struct Access {
    /// `repository`
    resource: String,
    /// `pull`, `push`, `delete`
    action: String,
    /// `allow`, as without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    effect: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http::api) struct Robot {
    id: i64,
    /// `robot$team+ci`
    name: String,
    description: String,
    /// `project`
    level: &'static str,
    /// In days; -1 for never.
    duration: i64,
    disable: bool,
    editable: bool,
    /// Seconds since the epoch; -1 for never.
    expires_at: i64,
    permissions: [Permission; 1],
    creation_time: DateTime<Utc>,
}

impl From<RobotAccount> for Robot {
    fn from(robot: RobotAccount) -> Self {
        let access = robot.actions.iter().map(|action| Access {
            resource: REPOSITORY.to_owned(),
            action: action.to_string(),
            effect: None,
        });
        Self {
            id: robot.id,
            name: robot.name.to_string(),
            description: robot.description,
            level: PROJECT,
            duration: robot.expires_at.map_or(-1, |expires_at| (expires_at - robot.created_at).num_days()),
            disable: robot.is_disabled,
            editable: true,
            expires_at: seconds(robot.expires_at),
            permissions: [Permission {
                kind: PROJECT.to_owned(),
                namespace: robot.name.project.to_string(),
                access: access.collect(),
            }],
            creation_time: robot.created_at,
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http::api) struct RobotCreated {
    id: i64,
    /// `robot$team+ci`
    name: String,
    /// Shown here and never again.
    secret: String,
    creation_time: DateTime<Utc>,
    /// Seconds since the epoch; -1 for never.
    expires_at: i64,
}

#[derive(Debug, Deserialize, ToSchema)]
pub(in crate::http::api) struct RobotChanges {
    description: Option<String>,
    disable: Option<bool>,
}

#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
pub(in crate::http::api) struct RobotSecret {
    /// Empty in a request: secrets are made here.
    #[serde(default)]
    secret: String,
}

/// The project that a robot is to be made in, whatever else is wrong with the request.
pub(in crate::http::api) fn project(body: &Bytes) -> ProjectReference {
    let named = || {
        let request: serde_json::Value = serde_json::from_slice(body).ok()?;
        let project = request.pointer("/permissions/0/namespace")?.as_str()?;
        Some(ProjectReference::Name(project.parse().ok()?))
    };
    named().unwrap_or(ProjectReference::NONE)
}

pub(in crate::http::api) async fn list(call: &Call) -> Answer {
    let parameters = Parameters::of(&call.parts.uri);
    let page = Page::of(&parameters)?;
    let project: Option<ProjectName> = parameters.parse("project")?;
    let window = (page.limit(), page.offset());
    let (found, total) = call.service.robots(&call.caller, project, window).await?;
    let found: Vec<_> = found.into_iter().map(Robot::from).collect();
    Ok(page.of_list(&found, total, &call.parts.uri))
}

pub(in crate::http::api) async fn create(call: &Call) -> Answer {
    let request: RobotRequest = call.json()?;
    let (name, actions) = permitted(&request)?;
    let (description, days) = (request.description, request.duration);
    let (robot, secret) = call.service.create_robot(NewRobot { name, description, actions, days }).await?;
    let path = format!("/api/v2.0/robots/{}", robot.id);
    let body = RobotCreated {
        id: robot.id,
        name: robot.name.to_string(),
        secret: secret.reveal().to_owned(),
        creation_time: robot.created_at,
        expires_at: seconds(robot.expires_at),
    };
    Ok(created(path, ([(CACHE_CONTROL, "no-store")], Json(body))))
}

pub(in crate::http::api) async fn read(call: &Call) -> Answer {
    let robot = call.service.robot(call.id("robot")).await?;
    Ok(Json(Robot::from(robot)).into_response())
}

/// What it may do is fixed: a robot that may something else is another one.
pub(in crate::http::api) async fn update(call: &Call) -> Answer {
    let RobotChanges { description, disable } = call.json()?;
    call.service.update_robot(call.id("robot"), description.as_deref(), disable).await?;
    Ok(StatusCode::OK.into_response())
}

pub(in crate::http::api) async fn rotate(call: &Call) -> Answer {
    let asked: RobotSecret = if call.body.is_empty() { RobotSecret::default() } else { call.json()? };
    check_secret(&asked.secret)?;
    let secret = call.service.rotate_robot(call.id("robot")).await?.reveal().to_owned();
    Ok(([(CACHE_CONTROL, "no-store")], Json(RobotSecret { secret })).into_response())
}

pub(in crate::http::api) async fn delete(call: &Call) -> Answer {
    call.service.delete_robot(call.id("robot")).await?;
    Ok(StatusCode::OK.into_response())
}

/// A robot's name, and what it is to be allowed: all that is asked for, or nothing.
fn permitted(request: &RobotRequest) -> Result<(RobotName, Actions), HttpError> {
    check_secret(request.secret.as_deref().unwrap_or_default())?;
    if request.disable {
        return Err(HttpError::invalid("disable: a robot is made to be used; disable it with PUT later"));
    }
    let [permission] = request.permissions.as_slice() else {
        return Err(HttpError::invalid("permissions has one entry: a robot is in one project"));
    };
    if request.level != PROJECT || permission.kind != PROJECT {
        return Err(HttpError::invalid("level and permissions[0].kind are \"project\""));
    }
    let project: ProjectName = permission
        .namespace
        .parse()
        .map_err(|_| HttpError::invalid("permissions[0].namespace is no project"))?;
    let name = RobotName::new(project, &request.name);
    let name = name.map_err(|error: InvalidRobotName| HttpError::invalid(error.to_string()))?;
    let mut actions = Actions::NONE;
    for access in &permission.access {
        let is_allowed = access.effect.as_deref().is_none_or(|effect| matches!(effect, "" | "allow"));
        if access.resource != REPOSITORY || !is_allowed {
            return Err(HttpError::invalid(
                "permissions[0].access: a robot may do things in \"repository\" alone",
            ));
        }
        let action: Action = access
            .action
            .parse()
            .map_err(|error: UnknownName| HttpError::invalid(format!("permissions[0].access: {error}")))?;
        actions = actions.with(action);
    }
    Ok((name, actions))
}

/// They are kept as a fast hash, which is safe for random ones alone.
fn check_secret(secret: &str) -> Result<(), HttpError> {
    if secret.is_empty() {
        Ok(())
    } else {
        Err(HttpError::invalid("secret: secrets are made here and shown once; leave it out"))
    }
}
