//! Collect garbage: blobs that no repository has any more. Beside everything else that goes on, on any number of
//! replicas at once.
//!
//! 1. A blob leaves a repository a grace after the last manifest that referred to it was deleted, or at once when
//!    a client deletes it. With its last link it gets a tombstone. (`db/registry/links.rs`)
//! 2. A grace after that it is claimed for removal, its object is deleted, its row goes. (`db/registry/removal.rs`)
//!
//! A push may link a blob again at any moment before the claim, which takes the tombstone away. After the claim it
//! cannot: whoever finalizes as this digest waits for the removal's end and puts the blob in its place anew. The
//! claim ends by itself, and with it every right to delete: the request to the store is presigned to end before.
//! Claims are made and compared by the database's clock, requests end by the store's: the margin between the two
//! ends is what these may be apart, and the store is asked whether they are.

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::{StreamExt, stream};
use serde::Serialize;
use tokio::time::Instant;
use uuid::Uuid;

use crate::domain::blob::Removal;
use crate::domain::digest::Digest;
use crate::log_text::chain;
use crate::service::{Result, Service};
use crate::storage::BlobEntry;

/// Links looked at in one transaction: some tens of milliseconds' work.
const LINKS: u32 = 1_000;
/// Blobs claimed at once: all of them must be deleted within [`REMOVAL_TIME`].
const REMOVALS: u32 = 64;
/// Of those so many at a time: live traffic goes first.
const REMOVALS_AT_ONCE: usize = 8;
/// Life of the requests that delete: a store that needs longer is down.
const REMOVAL_TIME: Duration = Duration::from_secs(30);
/// How far the store's clock may be behind the database's. The store is asked, by a request that ended so long ago,
/// before anything is claimed: where it would still be carried out nothing is removed.
const STORE_LAG: Duration = Duration::from_secs(15);
/// From the end of the requests that delete to the claim's, when a finalizer takes the row over. Holds the store's
/// lag, the fraction of a second that its times do not have, and what this replica and a finalizer may misjudge the
/// database's clock by: 2.5 s each (`db/clock.rs`), and what a quartz drifts from one look at it to the next.
const CLOCK_MARGIN: Duration = Duration::from_secs(30);

/// Between two listings of everything published: ten million blobs are ten thousand requests, and what they look for
/// is left by a crash alone.
const SWEEP_INTERVAL: Duration = Duration::from_hours(24);

/// What a collection did, or with `dry_run` would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CollectReport {
    pub dry_run: bool,
    /// Blobs taken out of a repository that no manifest there needs any more.
    pub unlinked_blobs: u64,
    /// Blobs that no repository had any more.
    pub removed_blobs: u64,
    /// Objects at a blob's place that no row tells of: a crash left them.
    pub swept_objects: u64,
    /// What both of these had, in bytes.
    pub freed_bytes: u64,
    /// What could not be removed; the log says why.
    pub failures: u64,
}

impl CollectReport {
    /// Whether there was nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self { dry_run: self.dry_run, ..Self::default() }
    }
}

impl Service {
    /// One collection of everything there is.
    pub async fn collect(&self, dry_run: bool) -> Result<CollectReport> {
        let mut report = self.collect_unlinked(dry_run).await?;
        self.sweep_strays(&mut report).await?;
        Ok(report)
    }

    /// One collection of many, on one replica of many: only now and then is all that is published listed.
    pub async fn collect_again(&self) -> Result<CollectReport> {
        let mut report = self.collect_unlinked(false).await?;
        if self.db.claim_chore("sweep-blobs", self.clock.now(), self.before(SWEEP_INTERVAL)).await? {
            self.sweep_strays(&mut report).await?;
        }
        Ok(report)
    }

    async fn collect_unlinked(&self, dry_run: bool) -> Result<CollectReport> {
        let mut report = CollectReport { dry_run, ..CollectReport::default() };
        self.unlink_unneeded(&mut report).await?;
        self.remove_unlinked(&mut report).await?;
        Ok(report)
    }

    async fn unlink_unneeded(&self, report: &mut CollectReport) -> Result<()> {
        let before = self.before(self.limits.collect_grace);
        if report.dry_run {
            report.unlinked_blobs = self.db.count_unneeded(before).await?;
            return Ok(());
        }
        while !self.handover.is_cancelled() {
            let begun = Instant::now();
            let (found, unlinked) = self.db.unlink_unneeded(before, self.clock.now(), LINKS).await?;
            report.unlinked_blobs += unlinked;
            if found < u64::from(LINKS) || unlinked == 0 {
                break;
            }
            self.rest(begun.elapsed()).await;
        }
        Ok(())
    }

    async fn remove_unlinked(&self, report: &mut CollectReport) -> Result<()> {
        let before = self.before(self.limits.collect_grace);
        if report.dry_run {
            let (count, bytes) = self.db.count_removable(before, self.clock.now()).await?;
            report.removed_blobs = count;
            report.freed_bytes = bytes;
            return Ok(());
        }
        while !self.handover.is_cancelled() {
            self.storage.check_ends(STORE_LAG).await?;
            let (removal, deadline) = self.removal();
            let claimed = self.db.claim_removals(before, self.clock.now(), removal, REMOVALS).await?;
            let last = claimed.len() < REMOVALS as usize;
            let (removed, bytes) = self.remove_claimed(claimed, removal, deadline, report).await;
            report.removed_blobs += removed;
            report.freed_bytes += bytes;
            if last {
                break;
            }
        }
        Ok(())
    }

    /// What a crash left at a blob's place before there was a row of it, or after it was gone.
    async fn sweep_strays(&self, report: &mut CollectReport) -> Result<()> {
        let mut cursor = None;
        while !self.handover.is_cancelled() {
            let page = self.storage.blob_entries(cursor).await?;
            let old = self.before(self.limits.sweep_grace);
            let entries: Vec<_> = page.entries.into_iter().filter(|entry| entry.modified <= old).collect();
            let digests: Vec<_> = entries.iter().map(|entry| entry.digest).collect();
            let known = self.db.known_blobs(&digests).await?;
            let strays: Vec<_> = entries.into_iter().filter(|entry| !known.contains(&entry.digest)).collect();
            for strays in strays.chunks(REMOVALS as usize) {
                self.sweep_some(strays, report).await?;
            }
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        Ok(())
    }

    async fn sweep_some(&self, strays: &[BlobEntry], report: &mut CollectReport) -> Result<()> {
        if !report.dry_run {
            self.storage.check_ends(STORE_LAG).await?;
        }
        let (removal, deadline) = self.removal();
        let mut claimed = Vec::with_capacity(strays.len());
        for stray in strays {
            let now = self.clock.now();
            // One that somebody is putting there now gets its row in a moment.
            if self.db.is_placing(&stray.digest, now).await? {
                continue;
            }
            if report.dry_run {
                report.swept_objects += 1;
                report.freed_bytes += stray.size;
            } else if self.db.claim_stray(&stray.digest, stray.size, now, removal).await? {
                claimed.push((stray.digest, stray.size));
            }
        }
        let (swept, bytes) = self.remove_claimed(claimed, removal, deadline, report).await;
        report.swept_objects += swept;
        report.freed_bytes += bytes;
        Ok(())
    }

    /// A right to delete from now on, and when the last request under it must end.
    fn removal(&self) -> (Removal, DateTime<Utc>) {
        let deadline = self.after(REMOVAL_TIME);
        (Removal { id: Uuid::new_v4(), until: self.after(REMOVAL_TIME + CLOCK_MARGIN) }, deadline)
    }

    /// Deletes the objects and then the rows; says how many, and their bytes. What fails is claimed again once the
    /// removal's time is over.
    async fn remove_claimed(
        &self,
        claimed: Vec<(Digest, u64)>,
        removal: Removal,
        deadline: DateTime<Utc>,
        report: &mut CollectReport,
    ) -> (u64, u64) {
        let removals = stream::iter(claimed).map(|(digest, size)| async move {
            let removed = async {
                self.storage.remove_blob(&digest, deadline).await?;
                self.db.end_removal(&digest, removal.id, self.clock.now()).await?;
                Ok::<_, crate::service::ServiceError>(())
            };
            (digest, size, removed.await)
        });
        let mut removals = removals.buffer_unordered(REMOVALS_AT_ONCE);
        let (mut count, mut bytes) = (0, 0);
        while let Some((digest, size, removed)) = removals.next().await {
            match removed {
                Ok(()) => {
                    tracing::info!(%digest, size, "blob removed");
                    count += 1;
                    bytes += size;
                }
                Err(error) => {
                    report.failures += 1;
                    tracing::warn!(%digest, error = %chain(&error), "a blob cannot be removed");
                }
            }
        }
        (count, bytes)
    }
}
