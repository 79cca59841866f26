//! `GET /api/v2.0/projects/{name_or_id}/logs` and `GET /api/v2.0/audit-logs`: the audit log, newest first.

use super::page::Page;
use super::{Answer, Call};
use crate::domain::access::ProjectName;
use crate::http::extract::Parameters;
use crate::http::wire::AuditLog;
use crate::service::ServiceError;

/// By its name also of a project that is gone: what was done there stays done.
pub(super) async fn of_project(call: &Call) -> Answer {
    let name = call.service.project_name(&call.project).await?;
    page(call, Some(&name.ok_or(ServiceError::Unknown("project"))?)).await
}

pub(super) async fn all(call: &Call) -> Answer {
    page(call, None).await
}

async fn page(call: &Call, project: Option<&ProjectName>) -> Answer {
    let page = Page::of(&Parameters::of(&call.parts.uri))?;
    let (entries, total) = call.service.audit_entries(project, page.limit(), page.offset()).await?;
    let entries: Vec<_> = entries.into_iter().map(AuditLog::from).collect();
    Ok(page.of_list(&entries, total, &call.parts.uri))
}
