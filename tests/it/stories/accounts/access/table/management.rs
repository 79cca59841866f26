//! The endpoints below `/api/`: what each is asked about, put there beforehand where somebody should be let in.

use overside::domain::account::UserName;
use overside::domain::ssh_key::SshKey;
use overside::http::endpoint::Endpoint;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use uuid::Uuid;

use super::super::{NOWHERE, Town, Visitor};
use crate::support::accounts::PASSWORD;
use crate::support::api::{Answer, Repository};

/// Nothing has this id.
const NO_ID: i64 = 1_000_000;

/// One request of somebody's.
struct Asked<'a> {
    town: &'a Town,
    endpoint: Endpoint,
    project: &'a str,
}

pub async fn request(
    town: &Town,
    endpoint: Endpoint,
    project: &str,
    visitor: &Visitor,
    is_let_in: bool,
) -> RequestBuilder {
    let asked = Asked { town, endpoint, project };
    let path = asked.path(is_let_in).await;
    let request = visitor.http.request(endpoint.method(), town.url(&path));
    match asked.body().await {
        Value::Null => request,
        body => request.json(&body),
    }
}

impl Asked<'_> {
    /// What the operator does beforehand, and is answered.
    async fn prepare(&self, method: Method, path: &str, body: Value) -> Value {
        let url = self.town.url(&format!("/api/v2.0/{path}"));
        let answer = Answer::to(self.town.visitor("operator").http.request(method, url).json(&body)).await;
        assert!(matches!(answer.status, 200 | 201 | 409), "{path}: {} {}", answer.status, answer.text());
        serde_json::from_slice(&answer.body).unwrap_or_default()
    }

    async fn look_up(&self, path: &str) -> Value {
        self.prepare(Method::GET, path, Value::Null).await
    }

    async fn user(&self, name: &str) -> i64 {
        let name: UserName = name.parse().expect("a name");
        let users = self.look_up("users?page_size=100").await;
        let users = users.as_array().expect("users").clone();
        let found = users.iter().find(|user| user["username"] == name.as_str());
        found.map_or(NO_ID, |user| user["user_id"].as_i64().expect("an id"))
    }

    /// Somebody who is there to be changed or to go.
    async fn spare_user(&self) -> i64 {
        let body = json!({ "username": "spare", "password": PASSWORD });
        self.prepare(Method::POST, "users", body).await;
        self.user("spare").await
    }

    /// A member of the project who is there to be changed or to go.
    async fn spare_member(&self) -> i64 {
        self.spare_user().await;
        let path = format!("projects/{}/members", self.project);
        let body = json!({ "role_id": 3, "member_user": { "username": "spare" } });
        self.prepare(Method::POST, &path, body).await;
        let members = self.look_up(&format!("{path}?page_size=100")).await;
        let members = members.as_array().expect("members").clone();
        let found = members.iter().find(|member| member["entity_name"] == "spare");
        found.and_then(|member| member["id"].as_i64()).expect("an id")
    }

    async fn spare_robot(&self) -> i64 {
        if self.project == NOWHERE {
            return NO_ID;
        }
        let made = self.prepare(Method::POST, "robots", robot(self.project)).await;
        made["id"].as_i64().expect("an id")
    }

    async fn spare_webhook(&self) -> i64 {
        if self.project == NOWHERE {
            return NO_ID;
        }
        let path = format!("projects/{}/webhook/policies", self.project);
        self.prepare(Method::POST, &path, webhook("spare")).await;
        let webhooks = self.look_up(&format!("{path}?page_size=100")).await;
        let webhooks = webhooks.as_array().expect("webhooks").clone();
        let found = webhooks.iter().find(|webhook| webhook["name"] == "spare");
        found.and_then(|webhook| webhook["id"].as_i64()).expect("an id")
    }

    async fn project_id(&self) -> i64 {
        if self.project == NOWHERE {
            return NO_ID;
        }
        let project = self.look_up(&format!("projects/{}", self.project)).await;
        project["project_id"].as_i64().expect("an id")
    }

    async fn path(&self, is_let_in: bool) -> String {
        let path = self.endpoint.path().replace("{name_or_id}", self.project);
        let path = match self.endpoint {
            // Not one that could go: who should not be let in would take it away.
            Endpoint::DeleteProject if is_let_in && self.project != NOWHERE => {
                let operator = self.town.visitor("operator").http.clone();
                let name = format!("{}/app", self.project);
                let mut repository = Repository::of(self.town.server.base_url(), &name);
                repository.http = operator;
                repository.push(b"in the way").await;
                path
            }
            Endpoint::FindProject => format!("{path}?project_name={}", self.project),
            _ => path,
        };
        let member = match self.endpoint {
            Endpoint::ReadMember | Endpoint::UpdateMember | Endpoint::RemoveMember
                if self.project != NOWHERE =>
            {
                self.spare_member().await
            }
            _ => NO_ID,
        };
        let webhook = if path.contains("{webhook}") { self.spare_webhook().await } else { NO_ID };
        let robot = if path.contains("{robot}") { self.spare_robot().await } else { NO_ID };
        let user = match self.endpoint {
            // What users may do with themselves.
            Endpoint::ReadUser
            | Endpoint::ChangePassword
            | Endpoint::ListTokens
            | Endpoint::CreateToken
            | Endpoint::RevokeToken
            | Endpoint::ListUserKeys
            | Endpoint::AddUserKey
            | Endpoint::RemoveUserKey => self.user("guest").await,
            Endpoint::DeleteUser | Endpoint::SetAdministrator => self.spare_user().await,
            _ => NO_ID,
        };
        let quota = if path.contains("{quota}") { self.project_id().await } else { NO_ID };
        path.replace("{member}", &member.to_string())
            .replace("{webhook}", &webhook.to_string())
            .replace("{robot}", &robot.to_string())
            .replace("{user}", &user.to_string())
            .replace("{quota}", &quota.to_string())
            .replace("{token}", &Uuid::nil().to_string())
            .replace("{key}", &NO_ID.to_string())
    }

    async fn body(&self) -> Value {
        match self.endpoint {
            Endpoint::CreateProject => json!({ "project_name": fresh(), "public": false }),
            Endpoint::UpdateProject => json!({ "metadata": {} }),
            Endpoint::AddMember => {
                self.spare_user().await;
                json!({ "role_id": 3, "member_user": { "username": "spare" } })
            }
            Endpoint::CreateWebhook => webhook(&fresh()),
            Endpoint::UpdateWebhook => webhook("spare"),
            Endpoint::UpdateMember => json!({ "role_id": 3 }),
            Endpoint::CreateRobot => robot(self.project),
            Endpoint::UpdateRobot => json!({ "description": "changed" }),
            Endpoint::RotateRobot | Endpoint::ChangeConfigurations => json!({}),
            Endpoint::UpdateQuota => json!({ "hard": { "storage": -1 } }),
            Endpoint::CreateToken => json!({ "name": fresh() }),
            Endpoint::AddUserKey => json!({ "key": key() }),
            Endpoint::CreateUser => json!({ "username": fresh(), "password": PASSWORD }),
            Endpoint::ChangePassword => json!({ "old_password": PASSWORD, "new_password": PASSWORD }),
            Endpoint::SetAdministrator => json!({ "sysadmin_flag": false }),
            _ => Value::Null,
        }
    }
}

/// One that nobody has.
fn key() -> String {
    let bytes = [Uuid::new_v4(), Uuid::new_v4()].map(|half| *half.as_bytes()).concat();
    SshKey::from_bytes(&bytes).expect("32 bytes").to_string()
}

fn fresh() -> String {
    format!("fresh-{}", Uuid::new_v4().simple())
}

fn webhook(name: &str) -> Value {
    json!({
        "name": name,
        "event_types": ["PUSH_ARTIFACT"],
        "targets": [{ "type": "http", "address": "http://ci.example/hook" }],
    })
}

fn robot(project: &str) -> Value {
    let access = json!([{ "resource": "repository", "action": "pull" }]);
    let permissions = json!([{ "kind": "project", "namespace": project, "access": access }]);
    json!({ "name": fresh(), "duration": 1, "level": "project", "permissions": permissions })
}
