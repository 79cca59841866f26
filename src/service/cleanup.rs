//! Clean up: expired sessions, what ended ones left, what no session knows. Safe with several at once:
//! every removal is of something that can no longer be needed, and may be repeated.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;

use super::{Result, Service, ServiceError};
use crate::domain::upload::{Transfer, Upload, UploadId};
use crate::storage::{TempEntry, TempKind, TempOwner};
use crate::telemetry::chain;

/// Sessions in one bite: small enough to end soon when asked to stop.
const BATCH: u32 = 100;

/// What a cleaning did, or with `dry_run` would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CleanupReport {
    pub dry_run: bool,
    /// Sessions whose time was up.
    pub expired_sessions: u64,
    /// Blobs that came to their content-addressed path after the replica that was copying them had died, or
    /// whose temporary object nobody reads any more.
    pub placed_blobs: u64,
    /// Ended sessions whose temporary objects and multipart uploads were removed.
    pub discarded_sessions: u64,
    /// Temporary objects that belong to no living session.
    pub swept_objects: u64,
    /// Incomplete multipart uploads that belong to no living session.
    pub swept_multipart_uploads: u64,
    /// Rows of sessions long ended.
    pub forgotten_sessions: u64,
    /// What could not be removed; the log says why.
    pub failures: u64,
}

impl CleanupReport {
    /// Whether there was nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self { dry_run: self.dry_run, ..Self::default() }
    }
}

impl Service {
    /// Takes over finalizes whose replica died; says how many.
    pub async fn recover(self: &Arc<Self>) -> Result<usize> {
        self.take_over(BATCH).await
    }

    /// One cleaning.
    pub async fn clean(&self, dry_run: bool) -> Result<CleanupReport> {
        let mut report = CleanupReport { dry_run, ..CleanupReport::default() };
        self.expire_sessions(&mut report).await?;
        if !dry_run {
            let (placed, failures) = self.place_abandoned().await?;
            report.placed_blobs += placed;
            report.failures += failures;
        }
        self.discard_sessions(&mut report).await?;
        self.sweep(&mut report).await?;
        if !dry_run {
            let before = self.before(self.limits.retention);
            while !self.handover.is_cancelled() {
                let forgotten = self.db.forget_uploads(before, BATCH).await?;
                report.forgotten_sessions += forgotten;
                if forgotten < u64::from(BATCH) {
                    break;
                }
            }
        }
        Ok(report)
    }

    async fn expire_sessions(&self, report: &mut CleanupReport) -> Result<()> {
        while !self.handover.is_cancelled() {
            let now = self.clock.now();
            let limit = if report.dry_run { u32::MAX } else { BATCH };
            let due = self.db.expired_uploads(now, limit).await?;
            let last = due.len() < BATCH as usize || report.dry_run;
            for upload in due {
                let Ok(expired) = upload.clone().expire(now) else { continue };
                if report.dry_run {
                    report.expired_sessions += 1;
                // Lost means that its client or another cleaner was faster.
                } else if self.db.swap_upload(&upload, &expired, now).await? {
                    report.expired_sessions += 1;
                    tracing::debug!(upload = %upload.id, "upload expired");
                }
            }
            if last {
                break;
            }
        }
        Ok(())
    }

    async fn discard_sessions(&self, report: &mut CleanupReport) -> Result<()> {
        // What cannot be removed stays at the head of the list: it is passed over, and must not keep the
        // rest from being cleaned.
        let mut passed_over = 0;
        while !self.handover.is_cancelled() {
            let limit = if report.dry_run { u32::MAX } else { BATCH };
            let ended = self.db.undiscarded_uploads(self.clock.now(), limit, passed_over).await?;
            if report.dry_run {
                // Those that would have expired first would be discarded with them.
                report.discarded_sessions = ended.len() as u64 + report.expired_sessions;
                break;
            }
            for id in &ended {
                match self.discard(*id).await {
                    Ok(()) => report.discarded_sessions += 1,
                    Err(error) => {
                        passed_over += 1;
                        report.failures += 1;
                        tracing::warn!(upload = %id, error = %chain(&error), "what an upload left cannot be removed");
                    }
                }
            }
            if ended.len() < BATCH as usize {
                break;
            }
        }
        Ok(())
    }

    async fn sweep(&self, report: &mut CleanupReport) -> Result<()> {
        let mut cursor = None;
        while !self.handover.is_cancelled() {
            let page = self.storage.temp_entries(cursor).await?;
            // Sessions are read after the listing: one that is alive now may have been the owner then, and
            // one that has ended never comes back to life.
            let mut sessions = HashMap::new();
            for entry in page.entries {
                if !self.is_left_over(&entry, &mut sessions).await? {
                    continue;
                }
                if !report.dry_run
                    && let Err(error) = self.storage.remove_temp(&entry).await
                {
                    report.failures += 1;
                    tracing::warn!(?entry, error = %chain(&error), "a left-over cannot be removed");
                    continue;
                }
                match entry.kind {
                    TempKind::Object { .. } => report.swept_objects += 1,
                    TempKind::Multipart { .. } => report.swept_multipart_uploads += 1,
                }
            }
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        Ok(())
    }

    async fn is_left_over(
        &self,
        entry: &TempEntry,
        sessions: &mut HashMap<UploadId, Option<Upload>>,
    ) -> Result<bool> {
        let old = entry.modified <= self.before(self.limits.sweep_grace);
        let id = match entry.owner {
            TempOwner::Nobody => return Ok(old),
            TempOwner::Placing(digest) => return Ok(!self.db.is_placing(&digest, self.clock.now()).await?),
            TempOwner::Upload(id) => id,
        };
        if let std::collections::hash_map::Entry::Vacant(vacant) = sessions.entry(id) {
            vacant.insert(self.db.find_upload(id).await.map_err(ServiceError::from)?);
        }
        Ok(match (sessions.get(&id).and_then(Option::as_ref), &entry.kind) {
            (None, _) => old && !self.db.holds_blob(id).await?,
            // Once let go of, an object is never held again.
            (Some(session), _) if session.state.status().is_terminal() => !self.db.holds_blob(id).await?,
            // Two signers began a multipart upload each and one died before it could give its own up.
            // An append in flight has not told its own yet.
            (Some(session), TempKind::Multipart { store_upload_id, .. }) => {
                old && known_multipart(session) != Some(store_upload_id.as_str())
                    && session.state.lease().is_none_or(|lease| !lease.is_live(self.clock.now()))
            }
            (Some(_), TempKind::Object { .. }) => false,
        })
    }
}

fn known_multipart(session: &Upload) -> Option<&str> {
    match session.state.transfer()? {
        Transfer::Multipart { store_upload_id, .. } => Some(store_upload_id),
        Transfer::Proxied(stored) => stored.store_upload_id.as_deref(),
        Transfer::Put => None,
    }
}
