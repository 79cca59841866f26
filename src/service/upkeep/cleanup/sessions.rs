//! What the rows alone tell: whose time is up, who is left to discard, who may be forgotten. A million at a time
//! must neither fill the memory nor stand in a live upload's way: batches, and rests between them.

use futures_util::{StreamExt, stream};
use tokio::time::Instant;

use super::CleanupReport;
use crate::domain::upload::UploadId;
use crate::log_text::chain;
use crate::service::{Result, Service};

/// Rows that one statement ends or forgets: some tens of milliseconds' work, for which SQLite's one writer and
/// PostgreSQL's disk are not there for others.
pub(super) const ROWS: u32 = 1_000;
/// Sessions whose temporary things are removed between two looks at the list.
const DISCARDS: u32 = 100;
/// Of those so many at a time: each waits for two or three answers of the store, and live traffic goes first.
const DISCARDS_AT_ONCE: usize = 8;

/// Rows that a project's usage is left as: summing them costs no more than one.
const UNFOLDED: u32 = 16;
/// Projects whose usage is folded between two looks at the list.
const FOLDS: u32 = 100;

impl Service {
    pub(super) async fn expire_sessions(&self, report: &mut CleanupReport) -> Result<()> {
        if report.dry_run {
            report.expired_sessions = self.db.count_due(self.clock.now()).await?;
            return Ok(());
        }
        while !self.handover.is_cancelled() {
            let begun = Instant::now();
            let expired = self.db.expire_uploads(self.clock.now(), ROWS).await?;
            report.expired_sessions += expired.sessions;
            report.discarded_sessions += expired.discarded;
            if expired.sessions < u64::from(ROWS) {
                break;
            }
            self.rest(begun.elapsed()).await;
        }
        Ok(())
    }

    pub(super) async fn discard_sessions(&self, report: &mut CleanupReport) -> Result<()> {
        if report.dry_run {
            // Those that would have expired first would be discarded with them.
            let ended = self.db.count_undiscarded(self.clock.now()).await?;
            report.discarded_sessions = ended + report.expired_sessions;
            return Ok(());
        }
        // What cannot be removed stays at the head of the list: it is passed over, and must not keep the
        // rest from being cleaned.
        let mut passed_over = 0;
        while !self.handover.is_cancelled() {
            let ended = self.db.undiscarded_uploads(self.clock.now(), DISCARDS, passed_over).await?;
            let found = ended.len();
            let discarding = stream::iter(ended).map(|id| self.discard_ended(id));
            let discarded: Vec<_> =
                discarding.buffer_unordered(DISCARDS_AT_ONCE).filter_map(std::future::ready).collect().await;
            // Those that a crash keeps from being marked are discarded again, which is nothing the second time.
            if !discarded.is_empty() {
                self.db.mark_discarded(&discarded, self.clock.now()).await?;
            }
            let failures = found - discarded.len();
            report.discarded_sessions += discarded.len() as u64;
            report.failures += failures as u64;
            passed_over += u32::try_from(failures).unwrap_or(DISCARDS);
            if found < DISCARDS as usize {
                break;
            }
        }
        Ok(())
    }

    /// None when something of it is still there.
    async fn discard_ended(&self, id: UploadId) -> Option<UploadId> {
        match self.storage.discard(id).await {
            Ok(()) => Some(id),
            Err(error) => {
                tracing::warn!(upload = %id, error = %chain(&error), "what an upload left cannot be removed");
                None
            }
        }
    }

    /// What projects have was kept as one row for each change: from here on it is a few.
    pub(super) async fn fold_usage(&self) -> Result<()> {
        let mut last = String::new();
        while !self.handover.is_cancelled() {
            let begun = Instant::now();
            let projects = self.db.projects_to_fold(&last, UNFOLDED, FOLDS).await?;
            for project in &projects {
                while self.db.fold_usage(project).await? && !self.handover.is_cancelled() {}
            }
            match projects.last() {
                Some(project) if projects.len() == FOLDS as usize => last = project.to_string(),
                _ => break,
            }
            self.rest(begun.elapsed()).await;
        }
        Ok(())
    }

    pub(super) async fn forget_sessions(&self, report: &mut CleanupReport) -> Result<()> {
        let before = self.before(self.limits.retention);
        while !self.handover.is_cancelled() {
            let begun = Instant::now();
            let forgotten = self.db.forget_uploads(before, ROWS).await?;
            report.forgotten_sessions += forgotten;
            if forgotten < u64::from(ROWS) {
                break;
            }
            self.rest(begun.elapsed()).await;
        }
        Ok(())
    }
}
