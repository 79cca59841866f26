//! `GET /api/v2.0/projects/{name_or_id}/logs` and `GET /api/v2.0/audit-logs`: the audit log, newest first.

use axum::Json;
use axum::http::header::LINK;
use axum::http::{HeaderName, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};

use super::invalid;
use crate::domain::access::{ProjectName, ProjectReference};
use crate::http::error::HttpError;
use crate::http::extract::Parameters;
use crate::http::wire::AuditLog;
use crate::service::Service;

const TOTAL_COUNT: HeaderName = HeaderName::from_static("x-total-count");
const DEFAULT_PAGE_SIZE: u32 = 10;
const MAX_PAGE_SIZE: u32 = 100;

pub(super) async fn of_project(
    service: &Service,
    project: &ProjectReference,
    uri: &Uri,
) -> Result<Response, HttpError> {
    let name = service
        .project_name(project)
        .await?
        .ok_or_else(|| HttpError::new(StatusCode::NOT_FOUND, "NOT_FOUND", "there is no such project"))?;
    page(service, Some(&name), uri).await
}

pub(super) async fn all(service: &Service, uri: &Uri) -> Result<Response, HttpError> {
    page(service, None, uri).await
}

async fn page(service: &Service, project: Option<&ProjectName>, uri: &Uri) -> Result<Response, HttpError> {
    let parameters = Parameters::of(uri);
    let page = number(&parameters, "page", u32::MAX)?.unwrap_or(1);
    let size = number(&parameters, "page_size", MAX_PAGE_SIZE)?.unwrap_or(DEFAULT_PAGE_SIZE);
    let offset = u64::from(page - 1) * u64::from(size);
    let (entries, total) = service.audit_entries(project, size, offset).await?;
    let has_more = offset + (entries.len() as u64) < total && !entries.is_empty();
    let entries: Vec<_> = entries.into_iter().map(AuditLog::from).collect();
    let mut response = Json(entries).into_response();
    response.headers_mut().insert(TOTAL_COUNT, HeaderValue::from(total));
    let link = |page: u32, which| format!("<{}?page={page}&page_size={size}>; rel=\"{which}\"", uri.path());
    let previous = (page > 1).then(|| link(page - 1, "prev"));
    let next = has_more.then(|| link(page.saturating_add(1), "next"));
    let links = previous.into_iter().chain(next).collect::<Vec<_>>().join(", ");
    if let Some(links) = HeaderValue::try_from(links).ok().filter(|links| !links.is_empty()) {
        response.headers_mut().insert(LINK, links);
    }
    Ok(response)
}

fn number(parameters: &Parameters, name: &str, most: u32) -> Result<Option<u32>, HttpError> {
    let Some(text) = parameters.once(name).map_err(invalid)? else { return Ok(None) };
    let number = text.bytes().all(|c| c.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    let number = number.filter(|number| (1..=most).contains(number));
    number.map(Some).ok_or_else(|| invalid(format!("{name}= is a whole number from 1 to {most}")))
}
