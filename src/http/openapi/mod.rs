//! `GET /openapi.json` and `GET /docs`: every endpoint described, for programs and for people. Method, path and need are
//! the table's, the types those of the wire; what else there is to say each front door says of its own endpoints.

mod document;
mod page;
mod parts;
mod small_doors;
#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use super::browser;

/// It changes with the version that runs, and replicas of two versions may take turns.
const LIFETIME: HeaderValue = HeaderValue::from_static("public, max-age=300");

static DOCUMENT: LazyLock<Value> = LazyLock::new(document::document);
static JSON: LazyLock<String> = LazyLock::new(|| DOCUMENT.to_string());
static PAGE: LazyLock<String> = LazyLock::new(|| page::page(&DOCUMENT));

pub(super) fn for_programs() -> Response {
    let kind = HeaderValue::from_static("application/json");
    ([(CONTENT_TYPE, kind), (CACHE_CONTROL, LIFETIME)], JSON.as_str()).into_response()
}

pub(super) fn for_people() -> Response {
    let kind = HeaderValue::from_static("text/html; charset=utf-8");
    let policy = browser::policy_with_style(page::STYLE);
    ([(CONTENT_TYPE, kind), (CACHE_CONTROL, LIFETIME), (CONTENT_SECURITY_POLICY, policy)], PAGE.as_str())
        .into_response()
}
