//! `GET`, `PUT /api/v2.0/configurations`: what an administrator changes while the service runs.

use axum::Json;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value as JsonValue, json};

use super::invalid;
use crate::domain::access::Caller;
use crate::domain::settings::{InvalidSetting, Setting, Value};
use crate::http::error::HttpError;
use crate::http::extract::whole;
use crate::service::Service;

/// All settings, and much room to spare.
const MAX_BODY: usize = 64 * 1024;

pub(super) fn get(service: &Service) -> Response {
    let settings = service.settings();
    let shown = Setting::ALL.iter().map(|setting| {
        let value = match settings.get(*setting) {
            Value::Number(number) => number.into(),
            value => JsonValue::from(value.to_string()),
        };
        (setting.name().to_owned(), json!({ "value": value, "editable": true }))
    });
    Json(shown.collect::<Map<_, _>>()).into_response()
}

/// All that is named is changed, or nothing is.
pub(super) async fn put(service: &Service, caller: &Caller, request: Request) -> Result<Response, HttpError> {
    let body = whole(request.into_body(), MAX_BODY).await;
    let body = body.map_err(|broken| invalid(broken.unwrap_or("the body is too long")))?;
    let asked: Map<String, JsonValue> =
        serde_json::from_slice(&body).map_err(|error| invalid(format!("the JSON body: {error}")))?;
    let changes =
        asked.into_iter().map(|(name, value)| change(&name, value)).collect::<Result<Vec<_>, _>>()?;
    service.change_settings(caller, &changes).await?;
    Ok(StatusCode::OK.into_response())
}

/// `null` for what holds by default.
fn change(name: &str, value: JsonValue) -> Result<(Setting, Option<Value>), HttpError> {
    let setting: Setting = name.parse().map_err(|error| refused(&error))?;
    let text = match value {
        JsonValue::Null => return Ok((setting, None)),
        JsonValue::String(text) => text,
        JsonValue::Number(number) => number.to_string(),
        _ => return Err(invalid(format!("{name} is a number or a text"))),
    };
    Ok((setting, Some(setting.parse(&text).map_err(|error| refused(&error))?)))
}

fn refused(error: &InvalidSetting) -> HttpError {
    invalid(error.to_string())
}
