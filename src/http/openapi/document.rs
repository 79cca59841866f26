//! The OpenAPI document (OpenAPI Specification 3.1.1), made of the table of endpoints.

use overside_protocol::wire::ErrorEnvelope;
use serde_json::{Map, Value, json};

use super::{parts, small_doors};
use crate::domain::access::Action;
use crate::http::description::{Description, Schemas, of, refer};
use crate::http::endpoint::{Endpoint, Need};
use crate::http::{api, hub, lfs, mlflow, oci, portal, tus};
use crate::service::ProjectRight;

pub(super) fn document() -> Value {
    let mut schemas =
        [of::<ErrorEnvelope>().schemas, lfs::refused(), mlflow::refusal().schemas, hub::refusal().schemas]
            .concat();
    let mut paths = Map::new();
    for endpoint in Endpoint::ALL {
        let Some(mut description) = described(*endpoint) else { continue };
        schemas.append(&mut description.schemas);
        let path = paths.entry(endpoint.path()).or_insert_with(|| json!({}));
        path[endpoint.method().as_str().to_ascii_lowercase()] = operation(*endpoint, description);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Overside",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "The upload control plane for content-addressed storage, and an OCI registry.",
            "description": parts::INTRODUCTION,
            "license": { "name": env!("CARGO_PKG_LICENSE"), "identifier": env!("CARGO_PKG_LICENSE") },
        },
        "tags": parts::DOORS.map(|(name, _, what, _)| json!({ "name": name, "description": what })),
        "paths": paths,
        "components": {
            "schemas": settled(schemas),
            "parameters": parts::parameters(),
            "headers": parts::headers(),
            "responses": parts::refusals(),
            "securitySchemes": parts::security_schemes(),
        },
    })
}

/// By its front door.
pub(super) fn described(endpoint: Endpoint) -> Option<Description> {
    let doors = [
        oci::described,
        lfs::described,
        mlflow::described,
        tus::described,
        portal::described,
        hub::described,
        api::described,
        small_doors::described,
    ];
    doors.iter().find_map(|described| described(endpoint))
}

fn operation(endpoint: Endpoint, description: Description) -> Value {
    let Description { summary, note, mut parameters, body, mut answers, schemas: _ } = description;
    let (door, _, _, refusal) = parts::door(endpoint.path());
    let named = endpoint.path().split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let mut all: Vec<_> = named.map(|name| refer("parameters", name)).collect();
    if endpoint.path().contains("{name_or_id}") {
        all.push(refer("parameters", "is_name"));
    }
    all.append(&mut parameters);
    if let Some(refusal) = refusal {
        answers.insert("default".to_owned(), refer("responses", refusal));
    }
    let id = format!("{endpoint:?}");
    let mut operation = json!({
        "operationId": id[..1].to_ascii_lowercase() + &id[1..],
        "tags": [door],
        "summary": summary,
        "description": format!("{note} Permission: {}.", permission(endpoint.need())).trim_start(),
        "parameters": all,
        "responses": answers,
        "security": security(endpoint),
    });
    if let Some(body) = body {
        operation["requestBody"] = body;
    }
    operation
}

/// In the words of `docs/access.md`.
const fn permission(need: Need) -> &'static str {
    match need {
        Need::Nothing => "none",
        Need::Client => "to sign in, or a token",
        Need::Account => "to sign in",
        Need::Administrator => "administrators",
        Need::Repository(Action::Pull) => "to pull from the repository",
        Need::Repository(Action::Push) => "to push to the repository",
        Need::Repository(Action::Delete) => "to delete in the repository",
        Need::Catalog => "to sign in, or a token for the catalog",
        Need::Project(ProjectRight::See) => "to see the project",
        Need::Project(ProjectRight::SeeInside) => "members of the project",
        Need::Project(ProjectRight::Manage) => "admins of the project",
        Need::Robot => "admins of the robot's project",
        Need::User => "the user, or administrators",
    }
}

/// `{}` is for whoever did not sign in: what is public is for them as well.
fn security(endpoint: Endpoint) -> Value {
    match (endpoint, endpoint.need()) {
        // Whoever signs in is told more.
        (Endpoint::Token | Endpoint::ListProjects, _)
        | (_, Need::Repository(Action::Pull) | Need::Project(ProjectRight::See)) => {
            json!([{}, { "basic": [] }, { "bearer": [] }])
        }
        (_, Need::Nothing) => json!([]),
        _ => json!([{ "basic": [] }, { "bearer": [] }]),
    }
}

/// A field that may be missing is left out and never `null`, which serde's attributes say and `utoipa` does not read.
fn settled(schemas: Schemas) -> Map<String, Value> {
    let settled = schemas.into_iter().map(|(name, schema)| {
        let mut schema = json!(schema);
        let required = schema["required"].clone();
        let is_required =
            |field: &str| required.as_array().is_some_and(|all| all.iter().any(|one| one == field));
        if let Some(fields) = schema.get_mut("properties").and_then(Value::as_object_mut) {
            fields.iter_mut().filter(|(field, _)| !is_required(field)).for_each(|(_, field)| not_null(field));
        }
        (name, schema)
    });
    settled.collect()
}

fn not_null(field: &mut Value) {
    if let [kind, null] = field["type"].as_array().map_or(&[][..], Vec::as_slice)
        && null == "null"
    {
        field["type"] = kind.clone();
    } else if let [one, null] = field["oneOf"].as_array().map_or(&[][..], Vec::as_slice)
        && null["type"] == "null"
    {
        *field = one.clone();
    }
}
