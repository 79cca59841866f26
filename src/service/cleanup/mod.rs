//! Clean up: expired sessions, what ended ones left, what no session knows. Safe with several at once:
//! every removal is of something that can no longer be needed, and may be repeated.

mod sessions;
mod sweep;

use std::sync::Arc;

use serde::Serialize;

use super::{Result, Service};

/// Abandoned finalizes taken over in one round: each is work of its own, and the next round takes more.
const TAKEN_OVER: u32 = 100;

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
    /// Entries of the audit log older than they are kept.
    pub forgotten_audit_entries: u64,
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
        self.take_over(TAKEN_OVER).await
    }

    /// One cleaning.
    pub async fn clean(self: &Arc<Self>, dry_run: bool) -> Result<CleanupReport> {
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
            self.forget_sessions(&mut report).await?;
            self.fold_usage().await?;
            report.forgotten_audit_entries = self.forget_audit_entries(sessions::ROWS).await?;
            self.db.forget_sign_ins().await?;
            self.db.sweep_activity().await?;
        }
        Ok(report)
    }
}
