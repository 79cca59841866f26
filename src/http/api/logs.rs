//! `GET /api/v2.0/projects/{name_or_id}/logs` and `GET /api/v2.0/audit-logs`: the audit log, newest first.

use super::page::Page;
use super::{Answer, Call};
use crate::domain::audit::StoredAuditEntry;
use crate::http::extract::Parameters;
use crate::wire::AuditLog;

/// By its name also of a project that is gone: what was done there stays done.
pub(super) async fn of_project(call: &Call) -> Answer {
    let page = Page::of(&Parameters::of(&call.parts.uri))?;
    let found = call.service.audit_entries_of_project(&call.project, page.limit(), page.offset()).await?;
    Ok(rendered(call, page, found))
}

pub(super) async fn all(call: &Call) -> Answer {
    let page = Page::of(&Parameters::of(&call.parts.uri))?;
    Ok(rendered(call, page, call.service.audit_entries(page.limit(), page.offset()).await?))
}

fn rendered(
    call: &Call,
    page: Page,
    (entries, total): (Vec<StoredAuditEntry>, u64),
) -> axum::response::Response {
    let entries: Vec<_> = entries.into_iter().map(AuditLog::from).collect();
    page.of_list(&entries, total, &call.parts.uri)
}
