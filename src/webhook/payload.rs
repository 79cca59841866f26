//! The bodies of deliveries: Harbor's JSON, and `CloudEvents` 1.0 in structured mode, as Harbor sends them (goharbor/harbor,
//! `src/pkg/notifier/formats`).

use chrono::SecondsFormat;
use serde::Serialize;

use crate::domain::webhook::{EventSubject, EventType, PayloadFormat, WebhookEvent, WebhookQueue};

#[derive(Serialize)]
struct HarborEvent<'a> {
    r#type: &'static str,
    /// Seconds since the epoch.
    occur_at: i64,
    operator: &'a str,
    event_data: EventData<'a>,
}

#[derive(Serialize)]
struct CloudEvent<'a> {
    specversion: &'static str,
    /// With the source, the same whenever the event is delivered again.
    id: String,
    source: String,
    r#type: &'static str,
    datacontenttype: &'static str,
    time: String,
    data: EventData<'a>,
    operator: &'a str,
}

#[derive(Serialize)]
struct EventData<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    resources: Option<[Resource<'a>; 1]>,
    repository: Repository<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    custom_attributes: Option<CustomAttributes<'a>>,
}

#[derive(Serialize)]
struct Resource<'a> {
    digest: String,
    tag: &'a str,
    #[serde(rename = "resource_url")]
    url: String,
}

#[derive(Serialize)]
struct Repository<'a> {
    /// Without the project.
    name: &'a str,
    namespace: &'a str,
    repo_full_name: &'a str,
    repo_type: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CustomAttributes<'a> {
    details: &'a str,
}

/// A delivery's `Content-Type` and its body.
pub fn of(
    queue: &WebhookQueue,
    event: &WebhookEvent,
    registry_host: &str,
) -> Result<(&'static str, Vec<u8>), serde_json::Error> {
    let operator = &event.occasion.operator;
    let data = data(queue, event, registry_host);
    Ok(match queue.target.format {
        PayloadFormat::Default => {
            let body = HarborEvent {
                r#type: event.event_type.as_str(),
                occur_at: event.occasion.at.timestamp(),
                operator,
                event_data: data,
            };
            ("application/json", serde_json::to_vec(&body)?)
        }
        PayloadFormat::CloudEvents => {
            let body = CloudEvent {
                specversion: "1.0",
                id: event.id.to_string(),
                source: format!("/projects/{}/webhook/policies/{}", queue.project_id, queue.policy_id),
                r#type: cloud_type(event.event_type),
                datacontenttype: "application/json",
                time: event.occasion.at.to_rfc3339_opts(SecondsFormat::Secs, true),
                data,
                operator,
            };
            ("application/cloudevents+json", serde_json::to_vec(&body)?)
        }
    })
}

fn data<'a>(queue: &'a WebhookQueue, event: &'a WebhookEvent, registry_host: &str) -> EventData<'a> {
    let full_name = queue.repository.as_str();
    let (namespace, name) = full_name.split_once('/').unwrap_or((full_name, full_name));
    let repository = Repository {
        name,
        namespace,
        repo_full_name: full_name,
        repo_type: if queue.is_public { "public" } else { "private" },
    };
    match &event.subject {
        EventSubject::Artifact { digest, tag } => {
            let digest = digest.to_string();
            let separator = if *tag == digest { '@' } else { ':' };
            let url = format!("{registry_host}/{full_name}{separator}{tag}");
            EventData {
                resources: Some([Resource { digest, tag, url }]),
                repository,
                custom_attributes: None,
            }
        }
        EventSubject::Quota { details } => {
            EventData { resources: None, repository, custom_attributes: Some(CustomAttributes { details }) }
        }
    }
}

const fn cloud_type(event_type: EventType) -> &'static str {
    match event_type {
        EventType::Push => "harbor.artifact.pushed",
        EventType::Pull => "harbor.artifact.pulled",
        EventType::Delete => "harbor.artifact.deleted",
        EventType::QuotaExceed => "harbor.quota.exceeded",
    }
}
