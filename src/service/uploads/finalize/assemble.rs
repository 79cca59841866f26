//! Step 2: one object of many parts, all of them, in order, of the planned sizes.

use std::collections::{HashMap, HashSet};

use super::{ClientHints, NamedPart};
use crate::domain::part::{PartNumber, PartPlan, ReceivedPart};
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
        hints: &ClientHints,
    ) -> Result<()> {
        match transfer {
            Transfer::Put | Transfer::Redirected => Ok(()),
            Transfer::Multipart { plan, store_upload_id } => {
                self.assemble_multipart(upload.id, plan, store_upload_id, hints).await
            }
            Transfer::OpenMultipart { store_upload_id } => {
                self.assemble_open(upload, store_upload_id, &hints.parts).await
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
        hints: &ClientHints,
    ) -> Result<()> {
        let received = match self.storage.list_parts(id, store_upload_id).await {
            Ok(received) => received,
            // Completed by an owner that crashed after it: sealing finds the object or says that it is gone.
            Err(StorageError::UploadNotFound) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let parts = check_parts(plan, &received, hints)?;
        match self.storage.complete_multipart(id, store_upload_id, &parts).await {
            Err(StorageError::UploadNotFound) => Ok(()),
            other => Ok(other?),
        }
    }

    /// As many parts as were declared, of whatever lengths. What they come to is not known before, so it is here that it
    /// has to fit.
    async fn assemble_open(&self, upload: &Upload, store_upload_id: &str, named: &[NamedPart]) -> Result<()> {
        let received = match self.storage.list_parts(upload.id, store_upload_id).await {
            Ok(received) => received,
            Err(StorageError::UploadNotFound) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let last = upload.last_part.ok_or(ServiceError::Vanished)?;
        check_etags(&received, named)?;
        let parts: Vec<_> = received.into_iter().filter(|part| part.number <= last).collect();
        let arrived: HashSet<_> = parts.iter().map(|part| part.number.get()).collect();
        check_complete((1..=last.get()).filter(|number| !arrived.contains(number)))?;
        let (size, most) = (parts.iter().map(|part| part.size).sum::<u64>(), self.limits.max_blob_size);
        if size > most {
            return Err(ServiceError::SizeInvalid(format!(
                "{size} bytes were uploaded; a blob may have at most {most} here; the upload has been discarded"
            )));
        }
        self.reserve(upload, size).await?;
        match self.storage.complete_multipart(upload.id, store_upload_id, &parts).await {
            Err(StorageError::UploadNotFound) => Ok(()),
            other => Ok(other?),
        }
    }
}

/// The planned parts as the store has them. Parts beyond the plan are left out, and so vanish with the rest.
fn check_parts(plan: &PartPlan, received: &[ReceivedPart], hints: &ClientHints) -> Result<Vec<ReceivedPart>> {
    check_etags(received, &hints.parts)?;
    let received: HashMap<_, _> = received.iter().map(|part| (part.number, part)).collect();
    let mut parts = Vec::with_capacity(usize::from(plan.part_count()));
    let mut missing = Vec::new();
    for planned in plan.parts() {
        match received.get(&planned.number) {
            Some(part) if part.size == planned.size => parts.push((*part).clone()),
            _ => missing.push(planned.number.get()),
        }
    }
    // Those that nobody has asked for a place for.
    missing.extend(plan.part_count() + 1..=hints.part_count.map_or(0, PartNumber::get));
    check_complete(missing)?;
    Ok(parts)
}

/// Whether the parts that the client names are those that the store has.
fn check_etags(received: &[ReceivedPart], named: &[NamedPart]) -> Result<()> {
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
    Ok(())
}

/// Names what is missing, if anything is.
fn check_complete(missing: impl IntoIterator<Item = u16>) -> Result<()> {
    let mut missing: Vec<_> = missing.into_iter().map(|number| number.to_string()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let more = missing.len().saturating_sub(PARTS_NAMED);
    let and_more = if more == 0 { String::new() } else { format!(" and {more} more") };
    missing.truncate(PARTS_NAMED);
    Err(ServiceError::Invalid(format!(
        "missing or of the wrong size: part {}{and_more}; ask for their URLs again, send them, then finalize again",
        missing.join(", ")
    )))
}
