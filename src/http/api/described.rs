//! What the OpenAPI document says of this API's endpoints.

use overside_protocol::wire::AuditLog;
use serde_json::{Map, Value, json};

use super::accounts::robots::{Robot, RobotChanges, RobotCreated, RobotRequest, RobotSecret};
use super::accounts::webhooks::{
    WebhookEventTypes, WebhookLastTrigger, WebhookPolicyRequest, WebhookPolicyShown,
};
use super::wire::{
    AccessToken, AdministratorRequest, Member, MemberRequest, PasswordRequest, Project, ProjectRequest,
    Quota, QuotaRequest, TokenRequest, User, UserKey, UserKeyRequest, UserRequest,
};
use crate::domain::settings::{Kind, Setting};
use crate::http::description::{Description, Shape, list_of, of, shaped};
use crate::http::endpoint::Endpoint;

/// None for those of other front doors.
pub(in crate::http) fn described(endpoint: Endpoint) -> Option<Description> {
    let to = Description::new;
    Some(match endpoint {
        Endpoint::ReadConfigurations => to("What may be changed at run time").shows(settings(true)),
        Endpoint::ChangeConfigurations => {
            to("Changes settings: all that are named, or none").takes(settings(false)).does()
        }
        Endpoint::ListProjectLogs => to("Who did what in a project, the last first")
            .query::<i64>("before", "An entry's id: the page is of those before it")
            .lists(list_of::<AuditLog>()),
        Endpoint::ListLogs => to("Who did what, the last first")
            .query::<i64>("before", "An entry's id: the page is of those before it")
            .lists(list_of::<AuditLog>()),
        Endpoint::ListProjects => to("Projects that the caller may see")
            .query::<String>("name", "A part of the name")
            .query::<bool>("public", "Only public ones, or only private ones")
            .lists(list_of::<Project>()),
        Endpoint::CreateProject => to("Makes a project").takes(of::<ProjectRequest>()).makes([]),
        Endpoint::FindProject => to("Whether there is a project that the caller may see")
            .needs::<String>("project_name", "Its name")
            .answers(200, "There is", &[], [])
            .answers(404, "There is none", &[], []),
        Endpoint::ReadProject => to("A project").shows(of::<Project>()),
        Endpoint::UpdateProject => to("Changes a project")
            .note("What is left out stays as it is.")
            .takes(of::<ProjectRequest>())
            .does(),
        Endpoint::DeleteProject => to("Removes a project that has nothing in it").does(),
        Endpoint::ListMembers => to("Who is in a project").lists(list_of::<Member>()),
        Endpoint::AddMember => to("Takes a user into a project").takes(of::<MemberRequest>()).makes([]),
        Endpoint::ReadMember => to("Who is in a project, one of them").shows(of::<Member>()),
        Endpoint::UpdateMember => to("Gives a member another role").takes(of::<MemberRequest>()).does(),
        Endpoint::RemoveMember => to("Takes a member out of a project").does(),
        Endpoint::ListWebhooks => {
            to("Whom a project tells of what happens in it").lists(list_of::<WebhookPolicyShown>())
        }
        Endpoint::CreateWebhook => {
            to("Has a URL told of what happens in a project").takes(of::<WebhookPolicyRequest>()).makes([])
        }
        Endpoint::ReadWebhook => to("A webhook policy").shows(of::<WebhookPolicyShown>()),
        Endpoint::UpdateWebhook => to("Changes a webhook policy")
            .note("All of it, but for an `auth_header` that is left out.")
            .takes(of::<WebhookPolicyRequest>())
            .does(),
        Endpoint::DeleteWebhook => {
            to("Removes a webhook policy").note("With the events that wait for it.").does()
        }
        Endpoint::ListWebhookEvents => {
            to("What webhook policies may ask for").shows(of::<WebhookEventTypes>())
        }
        Endpoint::ListWebhookTriggers => {
            to("When events of a project were last delivered").shows(list_of::<WebhookLastTrigger>())
        }
        Endpoint::ListRobots => to("Robots of projects that the caller manages")
            .query::<String>("project", "Only those of the project of this name")
            .lists(list_of::<Robot>()),
        Endpoint::CreateRobot => to("Makes a robot in the project that the body names")
            .takes(of::<RobotRequest>())
            .makes([of::<RobotCreated>()]),
        Endpoint::ReadRobot => to("A robot").shows(of::<Robot>()),
        Endpoint::UpdateRobot => to("Describes or disables a robot").takes(of::<RobotChanges>()).does(),
        Endpoint::RotateRobot => to("Gives a robot another secret, which is shown once")
            .may_take([of::<RobotSecret>()])
            .shows(of::<RobotSecret>()),
        Endpoint::DeleteRobot => to("Removes a robot").does(),
        Endpoint::ListQuotas => to("What projects have that the caller is in").lists(list_of::<Quota>()),
        Endpoint::ReadQuota => to("What a project has, and its limits").shows(of::<Quota>()),
        Endpoint::UpdateQuota => to("Changes a project's limits")
            .note("What is left out stays as it is.")
            .takes(of::<QuotaRequest>())
            .does(),
        Endpoint::ReadCurrentUser => to("The caller").shows(of::<User>()),
        Endpoint::ListUsers => {
            to("Users").query::<String>("q", "`username=NAME`: the one of this name").lists(list_of::<User>())
        }
        Endpoint::CreateUser => to("Makes a user").takes(of::<UserRequest>()).makes([]),
        Endpoint::ReadUser => to("A user").shows(of::<User>()),
        Endpoint::DeleteUser => to("Removes a user").does(),
        Endpoint::ChangePassword => to("Gives a user another password").takes(of::<PasswordRequest>()).does(),
        Endpoint::SetAdministrator => {
            to("Makes a user an administrator, or no longer").takes(of::<AdministratorRequest>()).does()
        }
        Endpoint::ListTokens => to("A user's personal access tokens").lists(list_of::<AccessToken>()),
        Endpoint::CreateToken => to("Makes a personal access token, whose secret is shown once")
            .takes(of::<TokenRequest>())
            .makes([of::<AccessToken>()]),
        Endpoint::RevokeToken => to("Ends a personal access token").does(),
        Endpoint::ListUserKeys => to("Public keys that a user signs in with").lists(list_of::<UserKey>()),
        Endpoint::AddUserKey => {
            to("Lets a user sign in with a key").takes(of::<UserKeyRequest>()).makes([of::<UserKey>()])
        }
        Endpoint::RemoveUserKey => to("Takes a user's key away").does(),
        _ => return None,
    })
}

/// The answers of this API.
impl Description {
    fn shows(self, body: Shape) -> Self {
        self.answers(200, "As it is", &[], [body])
    }

    fn lists(self, entries: Shape) -> Self {
        self.query::<u32>("page", "Counts from 1")
            .query::<u32>("page_size", "Entries on a page: 10 without it, at most 100")
            .answers(200, "A page of them", &["Link", "X-Total-Count"], [entries])
    }

    fn does(self) -> Self {
        self.answers(200, "Done", &[], [])
    }

    fn makes(self, body: impl IntoIterator<Item = Shape>) -> Self {
        self.answers(201, "Made; `Location` has its id", &["Location"], body)
    }
}

/// One field for each setting: as they are shown, or as they are changed.
fn settings(shown: bool) -> Shape {
    let fields = Setting::ALL.iter().map(|setting| {
        let (kind, unit) = match setting.kind() {
            Kind::Limit => ("integer", "-1 for no limit."),
            Kind::Bytes => ("integer", "Bytes; -1 for no limit."),
            Kind::Lifetime { .. } => ("string", "A duration, `15m`."),
            Kind::OneOf(_) => ("string", ""),
        };
        let mut value = json!({ "type": kind });
        if let Kind::OneOf(words) = setting.kind() {
            value["enum"] = words.into();
        }
        let description = format!("{} {unit}", setting.doc().trim());
        let schema = if shown {
            json!({
                "type": "object",
                "description": description.trim(),
                "properties": { "value": value, "editable": { "type": "boolean" } },
                "required": ["editable", "value"],
            })
        } else {
            json!({ "oneOf": [value, { "type": "null" }], "description": description.trim() })
        };
        (setting.name().to_owned(), schema)
    });
    let fields: Map<String, Value> = fields.collect();
    let required: Vec<_> = fields.keys().filter(|_| shown).cloned().collect();
    shaped(
        "application/json",
        json!({ "type": "object", "properties": fields, "required": required, "additionalProperties": false }),
    )
}
