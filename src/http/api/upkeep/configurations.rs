//! `GET`, `PUT /api/v2.0/configurations`: what an administrator changes while the service runs.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value as JsonValue, json};

use crate::domain::settings::{InvalidSetting, Setting, Value};
use crate::http::api::{Answer, Call};
use crate::http::error::HttpError;
use crate::service::Service;

pub(in crate::http::api) fn read(service: &Service) -> Response {
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
pub(in crate::http::api) async fn change(call: &Call) -> Answer {
    let asked: Map<String, JsonValue> = call.json()?;
    let changes =
        asked.into_iter().map(|(name, value)| setting(&name, value)).collect::<Result<Vec<_>, _>>()?;
    call.service.change_settings(&call.caller, &changes).await?;
    Ok(StatusCode::OK.into_response())
}

/// `null` for what holds by default.
fn setting(name: &str, value: JsonValue) -> Result<(Setting, Option<Value>), HttpError> {
    let setting: Setting = name.parse().map_err(|error| refused(&error))?;
    let text = match value {
        JsonValue::Null => return Ok((setting, None)),
        JsonValue::String(text) => text,
        JsonValue::Number(number) => number.to_string(),
        _ => return Err(HttpError::invalid(format!("{name} is a number or a text"))),
    };
    Ok((setting, Some(setting.parse(&text).map_err(|error| refused(&error))?)))
}

fn refused(error: &InvalidSetting) -> HttpError {
    HttpError::invalid(error.to_string())
}
