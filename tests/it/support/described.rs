//! What the service says of itself at `/openapi.json`, held against what it answers.

use overside::http::endpoint::Endpoint;
use reqwest::Method;
use serde_json::{Map, Value};

use super::api::Answer;
use super::process::Server;

#[derive(Debug)]
pub struct Document(pub Value);

impl Document {
    pub async fn of(server: &Server) -> Self {
        let url = format!("{}/openapi.json", server.base_url());
        Self(Answer::to(super::http().get(url)).await.expect(200).json())
    }

    pub fn operation(&self, endpoint: Endpoint) -> &Value {
        &self.0["paths"][endpoint.path()][endpoint.method().as_str().to_ascii_lowercase()]
    }

    /// An answer has a status that is described, and a body with just the fields that are.
    #[track_caller]
    pub fn assert_describes(&self, endpoint: Endpoint, answer: &Answer) {
        let answers = &self.operation(endpoint)["responses"];
        let described = answers.get(answer.status.to_string()).or(answers.get("default"));
        let described = described.unwrap_or_else(|| panic!("{endpoint:?}: no answer {}", answer.status));
        let kind = answer.header("content-type").unwrap_or_default();
        if endpoint.method() == Method::HEAD || answer.body.is_empty() {
            return;
        }
        let bodies = &self.resolved(described)["content"];
        let body = bodies.get(kind.split(';').next().unwrap_or_default()).or(bodies.get("*/*"));
        let body = body.unwrap_or_else(|| panic!("{endpoint:?}: {} with no body {kind}", answer.status));
        if kind.ends_with("json")
            && let Err(error) = self.fits(&body["schema"], &answer.json())
        {
            panic!("{endpoint:?}: {error} in {}", answer.text());
        }
    }

    /// The error says what does not fit.
    fn fits(&self, schema: &Value, value: &Value) -> Result<(), String> {
        let schema = self.resolved(schema);
        if let Some(choices) = schema["oneOf"].as_array() {
            let errors: Vec<_> = choices.iter().filter_map(|one| self.fits(one, value).err()).collect();
            return if errors.len() < choices.len() { Ok(()) } else { Err(errors.join("; ")) };
        }
        let kinds = [schema["type"].clone()];
        let kinds = schema["type"].as_array().map_or(&kinds[..], Vec::as_slice);
        let is = |kind: &Value| match kind.as_str() {
            Some("null") => value.is_null(),
            Some("boolean") => value.is_boolean(),
            Some("integer") => value.is_i64() || value.is_u64(),
            Some("string") => value.is_string(),
            Some("array") => value.is_array(),
            Some("object") => value.is_object(),
            _ => true,
        };
        if !kinds.iter().any(is) {
            return Err(format!("{value} is no {}", schema["type"]));
        }
        if schema["enum"].as_array().is_some_and(|words| !words.contains(value)) {
            return Err(format!("{value} is none of {}", schema["enum"]));
        }
        for item in value.as_array().into_iter().flatten() {
            self.fits(&schema["items"], item)?;
        }
        let Some(fields) = value.as_object() else { return Ok(()) };
        let (mut known, mut required) = (Map::new(), Vec::new());
        self.fields(schema, &mut known, &mut required);
        if let Some(missing) = required.iter().find(|name| !fields.contains_key(**name)) {
            return Err(format!("{missing} is missing"));
        }
        for (name, field) in fields {
            let named = known.get(name).or(schema.get("additionalProperties"));
            // Of some objects it is only said that they are one.
            if let Some(schema) = named.or(known.is_empty().then_some(&Value::Null)) {
                self.fits(schema, field).map_err(|error| format!("{name}: {error}"))?;
            } else {
                return Err(format!("{name} is not described"));
            }
        }
        Ok(())
    }

    /// Those of an object, and of all that it is made of.
    fn fields<'a>(&'a self, schema: &'a Value, known: &mut Map<String, Value>, required: &mut Vec<&'a str>) {
        let schema = self.resolved(schema);
        for part in schema["allOf"].as_array().into_iter().flatten() {
            self.fields(part, known, required);
        }
        known.extend(schema["properties"].as_object().cloned().unwrap_or_default());
        required.extend(schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str));
    }

    pub fn resolved<'a>(&'a self, value: &'a Value) -> &'a Value {
        let Some(place) = value["$ref"].as_str() else { return value };
        self.0.pointer(place.trim_start_matches('#')).unwrap_or_else(|| panic!("{place} leads nowhere"))
    }
}
