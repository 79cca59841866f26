//! Step 2: one object of many parts, all of them, in order, of the planned sizes.

use std::collections::HashMap;

use super::NamedPart;
use crate::domain::part::{PartPlan, ReceivedPart};
use crate::domain::upload::{Transfer, Upload, UploadId};
use crate::service::{Result, Service, ServiceError};
use crate::storage::StorageError;

/// Missing parts named in an error; the rest is counted.
const PARTS_NAMED: usize = 10;

impl Service {
    pub(super) async fn assemble(
        &self,
        upload: &Upload,
        transfer: &Transfer,
        named: &[NamedPart],
    ) -> Result<()> {
        match transfer {
            Transfer::Put | Transfer::Redirected => Ok(()),
            Transfer::Multipart { plan, store_upload_id } => {
                self.assemble_multipart(upload.id, plan, store_upload_id, named).await
            }
            Transfer::Proxied(stored) => {
                // The ETags of what we stored ourselves: a part that a request without a lease overwrote
                // afterwards does not fit them, and the store refuses to complete.
                let parts = self.db.stored_parts(upload.id).await?;
                let parts: Vec<_> = parts
                    .into_iter()
                    .filter(|part| u64::from(part.number.get()) <= stored.part_count())
                    .collect();
                if stored.store_upload_id.is_some() && parts.len() as u64 != stored.part_count() {
                    return Err(ServiceError::Vanished);
                }
                match self.storage.assemble_proxied(upload.id, stored, &parts).await {
                    Err(StorageError::InvalidPart(_) | StorageError::NotFound) => Err(ServiceError::Vanished),
                    other => Ok(other?),
                }
            }
        }
    }

    async fn assemble_multipart(
        &self,
        id: UploadId,
        plan: &PartPlan,
        store_upload_id: &str,
        named: &[NamedPart],
    ) -> Result<()> {
        let received = match self.storage.list_parts(id, store_upload_id).await {
            Ok(received) => received,
            // Completed by an owner that crashed after it: sealing finds the object or says that it is gone.
            Err(StorageError::UploadNotFound) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let parts = check_parts(plan, &received, named)?;
        match self.storage.complete_multipart(id, store_upload_id, &parts).await {
            Err(StorageError::UploadNotFound) => Ok(()),
            other => Ok(other?),
        }
    }
}

/// The planned parts as the store has them. Parts beyond the plan are left out, and so vanish with the rest.
fn check_parts(plan: &PartPlan, received: &[ReceivedPart], named: &[NamedPart]) -> Result<Vec<ReceivedPart>> {
    let received: HashMap<_, _> = received.iter().map(|part| (part.number, part)).collect();
    for named in named {
        let found = received.get(&named.number).map(|part| part.etag.trim_matches('"'));
        if found.is_some_and(|found| found != named.etag.trim_matches('"')) {
            return Err(ServiceError::Invalid(format!(
                "part {} has another ETag in the store than the one named; send the part again, \
                 or finalize without naming ETags",
                named.number
            )));
        }
    }
    let mut parts = Vec::with_capacity(usize::from(plan.part_count()));
    let mut missing = Vec::new();
    for planned in plan.parts() {
        match received.get(&planned.number) {
            Some(part) if part.size == planned.size => parts.push((*part).clone()),
            _ => missing.push(planned.number.to_string()),
        }
    }
    if missing.is_empty() {
        return Ok(parts);
    }
    let more = missing.len().saturating_sub(PARTS_NAMED);
    let and_more = if more == 0 { String::new() } else { format!(" and {more} more") };
    missing.truncate(PARTS_NAMED);
    Err(ServiceError::Invalid(format!(
        "missing or of the wrong size: part {}{and_more}; ask for their URLs again, send them, then finalize again",
        missing.join(", ")
    )))
}
