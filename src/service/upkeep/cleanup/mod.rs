//! Clean up: expired sessions, what ended ones left, what no session knows. One replica does so at a time, and several
//! at once would be safe: every removal is of something that can no longer be needed, and may be repeated.

mod sessions;
mod sweep;
mod turn;

use std::sync::Arc;

use serde::Serialize;

use crate::log_text::chain;
use crate::service::{Result, Service, ServiceError};

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
    /// What could not be removed, and steps that failed; the log says why.
    pub failures: u64,
    /// What was left out because it failed as a whole.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failed_steps: Vec<FailedStep>,
}

/// A step of a cleaning that failed, and with what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FailedStep {
    pub step: &'static str,
    pub error: String,
}

impl CleanupReport {
    /// Whether there was nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self { dry_run: self.dry_run, ..Self::default() }
    }

    /// Takes down a step that failed.
    fn note<T>(&mut self, step: &'static str, outcome: Result<T>) -> Option<T> {
        let error = match outcome {
            Ok(done) => return Some(done),
            Err(error) => chain(&error),
        };
        tracing::warn!(step, %error, "a step of the cleaning failed; the others go on");
        self.failures += 1;
        self.failed_steps.push(FailedStep { step, error });
        None
    }
}

impl Service {
    /// Takes over finalizes whose replica died; says how many.
    pub async fn recover(self: &Arc<Self>) -> Result<usize> {
        self.take_over(TAKEN_OVER).await
    }

    /// One cleaning. What one step fails with keeps no other from its work, and is told in the report: a store may
    /// refuse one listing for ever.
    pub async fn clean(self: &Arc<Self>, dry_run: bool) -> CleanupReport {
        let mut report = CleanupReport { dry_run, ..CleanupReport::default() };
        let expired = self.expire_sessions(&mut report).await;
        report.note("end expired sessions", expired);
        if !dry_run {
            let count = |is_placed| {
                if is_placed {
                    report.placed_blobs += 1;
                } else {
                    report.failures += 1;
                }
            };
            let placed = self.place_abandoned(count).await;
            report.note("place blobs whose replica died", placed);
        }
        let discarded = self.discard_sessions(&mut report).await;
        report.note("discard what ended sessions left", discarded);
        self.sweep(&mut report).await;
        if !dry_run {
            let forgotten = self.forget_sessions(&mut report).await;
            report.note("forget old sessions", forgotten);
            report.note("sum up what projects use", self.fold_usage().await);
            let months = self.db.make_audit_months().await;
            report.note("make room for the audit log's next month", months.map_err(ServiceError::from));
            let entries = self.forget_audit_entries(sessions::ROWS).await;
            report.forgotten_audit_entries =
                report.note("forget old audit entries", entries).unwrap_or_default();
            let failures = self.db.forget_sign_ins().await;
            report.note("forget old failed sign-ins", failures.map_err(ServiceError::from));
            report.note("forget nonces of old sign-ins", self.forget_nonces().await);
            report.note("forget sessions of browsers that ended", self.forget_browser_sessions().await);
            report.note("go on with deletions of Hub repositories", self.go_on_with_hub_deletions().await);
        }
        report
    }
}
