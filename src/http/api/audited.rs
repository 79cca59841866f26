//! What the audit log has of requests that change something here.

use serde_json::Value;

use super::{Call, id};
use crate::domain::access::ProjectName;
use crate::domain::account::RobotName;
use crate::domain::audit::{AuditedAction, Operation, ResourceType};
use crate::domain::ssh_key::SshKeyLine;
use crate::http::endpoint::Endpoint;

/// What the request does if it succeeds; looked up before it does, while what it takes away is there. None for what
/// changes nothing, or writes its own entries.
pub(super) async fn action(endpoint: Endpoint, call: &Call) -> Option<AuditedAction> {
    use {Operation as Does, ResourceType as Kind};
    let (operation, resource_type) = match endpoint {
        Endpoint::CreateProject => (Does::Create, Kind::Project),
        Endpoint::UpdateProject => (Does::Update, Kind::Project),
        Endpoint::DeleteProject => (Does::Delete, Kind::Project),
        Endpoint::AddMember => (Does::Create, Kind::Member),
        Endpoint::UpdateMember => (Does::Update, Kind::Member),
        Endpoint::RemoveMember => (Does::Delete, Kind::Member),
        Endpoint::CreateRobot => (Does::Create, Kind::Robot),
        Endpoint::UpdateRobot | Endpoint::RotateRobot => (Does::Update, Kind::Robot),
        Endpoint::DeleteRobot => (Does::Delete, Kind::Robot),
        Endpoint::CreateWebhook => (Does::Create, Kind::Webhook),
        Endpoint::UpdateWebhook => (Does::Update, Kind::Webhook),
        Endpoint::DeleteWebhook => (Does::Delete, Kind::Webhook),
        Endpoint::UpdateQuota => (Does::Update, Kind::Quota),
        Endpoint::CreateUser => (Does::Create, Kind::User),
        Endpoint::ChangePassword | Endpoint::SetAdministrator => (Does::Update, Kind::User),
        Endpoint::DeleteUser => (Does::Delete, Kind::User),
        Endpoint::CreateToken => (Does::Create, Kind::AccessToken),
        Endpoint::RevokeToken => (Does::Delete, Kind::AccessToken),
        Endpoint::AddUserKey => (Does::Create, Kind::UserKey),
        Endpoint::RemoveUserKey => (Does::Delete, Kind::UserKey),
        _ => return None,
    };
    let body: Value = serde_json::from_slice(&call.body).unwrap_or_default();
    let (resource, project) = match resource_type {
        Kind::Member => (member(endpoint, call, &body).await, project(call).await),
        Kind::Webhook if endpoint == Endpoint::CreateWebhook => (text(&body["name"]), project(call).await),
        Kind::Webhook => match call.service.webhook_policy(&call.project, id(&call.path, "webhook")).await {
            Ok(policy) => (policy.rules.name, project(call).await),
            Err(_) => return None,
        },
        Kind::Robot if endpoint == Endpoint::CreateRobot => {
            let project = project(call).await?;
            let name = RobotName::new(project.clone(), &text(&body["name"])).ok()?;
            (name.to_string(), Some(project))
        }
        Kind::Robot => match call.service.robot(id(&call.path, "robot")).await {
            Ok(robot) => (robot.name.to_string(), Some(robot.name.project)),
            Err(_) => return None,
        },
        Kind::User if endpoint == Endpoint::CreateUser => (text(&body["username"]), None),
        Kind::User => (call.user().await.ok()?.name, None),
        Kind::AccessToken if endpoint == Endpoint::CreateToken => (text(&body["name"]), None),
        Kind::AccessToken => (super::parameter(&call.path, "token").unwrap_or_default().to_owned(), None),
        Kind::UserKey if endpoint == Endpoint::AddUserKey => {
            (text(&body["key"]).parse::<SshKeyLine>().ok()?.key.fingerprint(), None)
        }
        Kind::UserKey => (super::parameter(&call.path, "key").unwrap_or_default().to_owned(), None),
        Kind::Project if endpoint == Endpoint::CreateProject => {
            let name = text(&body["project_name"]);
            let project = name.parse().ok();
            (name, project)
        }
        _ => {
            let project = project(call).await;
            (project.as_ref().map(ToString::to_string).unwrap_or_default(), project)
        }
    };
    Some(AuditedAction { operation, resource_type, resource, project })
}

async fn project(call: &Call) -> Option<ProjectName> {
    call.service.project_name(&call.project).await.ok().flatten()
}

/// By the user's name, however the request names them.
async fn member(endpoint: Endpoint, call: &Call, body: &Value) -> String {
    if endpoint != Endpoint::AddMember {
        let found = call.service.member(&call.project, id(&call.path, "member")).await;
        return found.map(|member| member.user_name).unwrap_or_default();
    }
    let named = &body["member_user"];
    match named["user_id"].as_i64() {
        Some(id) => call.service.user(id).await.map(|user| user.name).unwrap_or_default(),
        None => text(&named["username"]),
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
