//! `GET /api/v2.0/projects/{name_or_id}/logs` and `GET /api/v2.0/audit-logs`: the audit log, newest first. Besides Harbor's
//! page numbers, `before=` takes the id of an entry: then the page is that of the entries before it, however far back.

use overside_protocol::wire::AuditLog;

use crate::domain::audit::StoredAuditEntry;
use crate::http::api::page::Page;
use crate::http::api::{Answer, Call};
use crate::http::error::HttpError;
use crate::http::extract::Parameters;

/// By its name also of a project that is gone: what was done there stays done.
pub(in crate::http::api) async fn of_project(call: &Call) -> Answer {
    let (page, before, offset) = asked(call)?;
    let found = call.service.audit_entries_of_project(&call.project, before, page.limit(), offset).await?;
    Ok(rendered(call, page, before, found))
}

pub(in crate::http::api) async fn all(call: &Call) -> Answer {
    let (page, before, offset) = asked(call)?;
    Ok(rendered(call, page, before, call.service.audit_entries(before, page.limit(), offset).await?))
}

/// The page, the entry before which it begins, and how many of those are passed over.
fn asked(call: &Call) -> Result<(Page, Option<i64>, u64), HttpError> {
    let parameters = Parameters::of(&call.parts.uri);
    let page = Page::of(&parameters)?;
    let before = parameters.number("before")?.map(|id| i64::try_from(id).unwrap_or(i64::MAX));
    Ok((page, before, if before.is_some() { 0 } else { page.offset() }))
}

fn rendered(
    call: &Call,
    page: Page,
    before: Option<i64>,
    (entries, total): (Vec<StoredAuditEntry>, u64),
) -> axum::response::Response {
    let entries: Vec<_> = entries.into_iter().map(AuditLog::from).collect();
    if before.is_none() {
        return page.of_list(&entries, total, &call.parts.uri);
    }
    let is_full = entries.len() == page.limit() as usize;
    let last = entries.last().filter(|_| is_full).map(|entry| entry.id);
    page.of_list_before(&entries, total, &call.parts.uri, last)
}
