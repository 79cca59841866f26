//! `/api/v2.0/projects/{name_or_id}/webhook`

use axum::Json;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::webhook::{
    EventType, PayloadFormat, WebhookPolicy, WebhookRules, WebhookTarget, WebhookTrigger,
};
use crate::http::api::page::Page;
use crate::http::api::{Answer, Call, created};
use crate::http::error::HttpError;
use crate::http::extract::Parameters;

/// The only kind of target there is.
const HTTP: &str = "http";
/// What is shown of an `auth_header`; sent back, it leaves the header as it is.
const MASK: &str = "******";

#[derive(Debug, Deserialize, ToSchema)]
pub(in crate::http::api) struct WebhookPolicyRequest {
    name: String,
    #[serde(default)]
    description: String,
    /// True without it.
    #[serde(default = "yes")]
    enabled: bool,
    /// `PUSH_ARTIFACT`, `PULL_ARTIFACT`, `DELETE_ARTIFACT`, `QUOTA_EXCEED`
    event_types: Vec<String>,
    /// One.
    targets: Vec<WebhookTargetRequest>,
}

#[derive(Deserialize, ToSchema)]
struct WebhookTargetRequest {
    /// `http`, also for addresses of https.
    r#type: String,
    /// A URL.
    address: String,
    /// The value of `Authorization` that deliveries carry. Left out, or as it is shown: what it was; empty for none.
    #[schema(format = Password)]
    auth_header: Option<String>,
    /// Whether any certificate of the receiver will do.
    #[serde(default)]
    skip_cert_verify: bool,
    /// `Default` or `CloudEvents`; the first without it.
    #[serde(default)]
    payload_format: String,
}

/// Without the secret.
impl std::fmt::Debug for WebhookTargetRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebhookTargetRequest").field("address", &self.address).finish_non_exhaustive()
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http::api) struct WebhookPolicyShown {
    id: i64,
    project_id: i64,
    name: String,
    description: String,
    enabled: bool,
    event_types: Vec<&'static str>,
    targets: [WebhookTargetShown; 1],
    /// Who made it.
    creator: String,
    creation_time: DateTime<Utc>,
    update_time: DateTime<Utc>,
}

#[derive(Debug, Serialize, ToSchema)]
struct WebhookTargetShown {
    /// `http`
    r#type: &'static str,
    address: String,
    /// `******` where there is one.
    auth_header: &'static str,
    skip_cert_verify: bool,
    payload_format: &'static str,
}

impl From<WebhookPolicy> for WebhookPolicyShown {
    fn from(policy: WebhookPolicy) -> Self {
        let WebhookRules { name, description, is_enabled, event_types, target } = policy.rules;
        Self {
            id: policy.id,
            project_id: policy.project_id,
            name,
            description,
            enabled: is_enabled,
            event_types: event_types.into_iter().map(EventType::as_str).collect(),
            targets: [WebhookTargetShown {
                r#type: HTTP,
                address: target.address.url().to_string(),
                auth_header: if target.auth_header.is_some() { MASK } else { "" },
                skip_cert_verify: target.skip_cert_verify,
                payload_format: target.format.as_str(),
            }],
            creator: policy.creator,
            creation_time: policy.created_at,
            update_time: policy.updated_at,
        }
    }
}

/// What policies may ask for.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http::api) struct WebhookEventTypes {
    event_type: Vec<&'static str>,
    notify_type: [&'static str; 1],
    payload_formats: [WebhookPayloadFormats; 1],
}

#[derive(Debug, Serialize, ToSchema)]
struct WebhookPayloadFormats {
    notify_type: &'static str,
    formats: Vec<&'static str>,
}

/// When an event of a type was last delivered.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http::api) struct WebhookLastTrigger {
    policy_name: String,
    event_type: &'static str,
    enabled: bool,
    creation_time: DateTime<Utc>,
    last_trigger_time: DateTime<Utc>,
}

impl From<WebhookTrigger> for WebhookLastTrigger {
    fn from(trigger: WebhookTrigger) -> Self {
        Self {
            policy_name: trigger.policy_name,
            event_type: trigger.event_type.as_str(),
            enabled: trigger.is_enabled,
            creation_time: trigger.created_at,
            last_trigger_time: trigger.last_delivered_at,
        }
    }
}

const fn yes() -> bool {
    true
}

pub(in crate::http::api) async fn list(call: &Call) -> Answer {
    let page = Page::of(&Parameters::of(&call.parts.uri))?;
    let (found, total) = call.service.webhook_policies(&call.project, page.limit(), page.offset()).await?;
    let found: Vec<_> = found.into_iter().map(WebhookPolicyShown::from).collect();
    Ok(page.of_list(&found, total, &call.parts.uri))
}

pub(in crate::http::api) async fn create(call: &Call) -> Answer {
    let rules = rules(call.json()?, None)?;
    let (project, id) = call.service.create_webhook_policy(&call.caller, &call.project, &rules).await?;
    Ok(created(format!("/api/v2.0/projects/{project}/webhook/policies/{id}"), ()))
}

pub(in crate::http::api) async fn read(call: &Call) -> Answer {
    let policy = call.service.webhook_policy(&call.project, call.id("webhook")).await?;
    Ok(Json(WebhookPolicyShown::from(policy)).into_response())
}

pub(in crate::http::api) async fn update(call: &Call) -> Answer {
    let request = call.json()?;
    let before = call.service.webhook_policy(&call.project, call.id("webhook")).await?;
    let rules = rules(request, Some(before.rules.target))?;
    call.service.update_webhook_policy(&call.project, call.id("webhook"), &rules).await?;
    Ok(StatusCode::OK.into_response())
}

pub(in crate::http::api) async fn delete(call: &Call) -> Answer {
    call.service.delete_webhook_policy(&call.project, call.id("webhook")).await?;
    Ok(StatusCode::OK.into_response())
}

/// The same of every project that is there.
pub(in crate::http::api) async fn events(call: &Call) -> Answer {
    call.service.project(&call.caller, &call.project).await?;
    let formats = PayloadFormat::ALL.map(PayloadFormat::as_str).to_vec();
    let types = WebhookEventTypes {
        event_type: EventType::ALL.map(EventType::as_str).to_vec(),
        notify_type: [HTTP],
        payload_formats: [WebhookPayloadFormats { notify_type: HTTP, formats }],
    };
    Ok(Json(types).into_response())
}

pub(in crate::http::api) async fn last_triggers(call: &Call) -> Answer {
    let found = call.service.webhook_triggers(&call.project).await?;
    let found: Vec<_> = found.into_iter().map(WebhookLastTrigger::from).collect();
    Ok(Json(found).into_response())
}

/// What the request asks for; of the target that there was before, the `auth_header` that is not told again.
fn rules(request: WebhookPolicyRequest, before: Option<WebhookTarget>) -> Result<WebhookRules, HttpError> {
    let WebhookPolicyRequest { name, description, enabled, event_types, targets } = request;
    let [target] = <[WebhookTargetRequest; 1]>::try_from(targets)
        .map_err(|_| HttpError::invalid("targets has one entry"))?;
    if target.r#type != HTTP {
        return Err(HttpError::invalid("targets[0].type is \"http\", also for addresses of https"));
    }
    let invalid =
        |field: &str, error: &dyn std::fmt::Display| HttpError::invalid(format!("{field}: {error}"));
    let mut types = Vec::new();
    for text in event_types {
        let event_type = text.parse().map_err(|error| invalid("event_types", &error))?;
        if !types.contains(&event_type) {
            types.push(event_type);
        }
    }
    let format = match target.payload_format.as_str() {
        "" => PayloadFormat::Default,
        text => text.parse().map_err(|error| invalid("targets[0].payload_format", &error))?,
    };
    let mut wanted = WebhookTarget {
        address: target.address.parse().map_err(|error| invalid("targets[0]", &error))?,
        auth_header: None,
        skip_cert_verify: target.skip_cert_verify,
        format,
    };
    wanted.auth_header = match (target.auth_header.as_deref(), before) {
        (Some(""), _) | (None, None) => None,
        (None | Some(MASK), Some(before)) => {
            // Or whoever may change the address could have the secret sent to themselves.
            if before.auth_header.is_some() && before.address.url().origin() != wanted.address.url().origin()
            {
                return Err(HttpError::invalid(
                    "targets[0].auth_header: say it again where the address is another server, or \"\" for none",
                ));
            }
            before.auth_header
        }
        (Some(text), _) => Some(text.parse().map_err(|error| invalid("targets[0]", &error))?),
    };
    Ok(WebhookRules { name, description, is_enabled: enabled, event_types: types, target: wanted })
}
