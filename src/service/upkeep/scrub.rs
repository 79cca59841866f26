//! Compare the blobs that the database tells of with the objects that the store has. Nothing is removed: a blob whose
//! object is missing or wrong is marked as lost, so that the next push of it is asked for the bytes.

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use serde::Serialize;

use crate::domain::blob::{Blob, Placement};
use crate::domain::digest::Digest;
use crate::service::bodies::NOBODY;
use crate::service::uploads::finalize::read_back::HASHERS_AT_ONCE;
use crate::service::uploads::progress::ProgressCounter;
use crate::service::{Result, Service, ServiceError};
use crate::storage::{Sealed, StorageError};

/// Rows read at once: some hundred kilobytes.
const PAGE: u32 = 1_000;
/// Objects asked for at once: enough to hide a round trip, few beside live traffic.
const LOOKS_AT_ONCE: usize = 16;

/// How to compare.
#[derive(Debug, Clone, Copy, Default)]
pub struct ScrubTerms {
    /// Reads every object and hashes it, instead of asking for its size.
    pub is_deep: bool,
    /// Marks what is missing or wrong as lost, and, where bytes are read, what was lost and is there as found.
    pub is_repairing: bool,
}

/// What is wrong with one blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Inconsistency {
    /// No object, or one of another size.
    Missing,
    /// The object's bytes are not what its digest says.
    WrongBytes,
    /// Known to be gone already; nobody has pushed it again since.
    Lost,
}

/// What a comparison came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ScrubReport {
    pub checked_blobs: u64,
    pub missing_blobs: u64,
    pub wrong_blobs: u64,
    pub lost_blobs: u64,
    /// Lost blobs whose object is there and right.
    pub found_blobs: u64,
    /// Blobs whose object could not be looked at; the log says why.
    pub failures: u64,
    /// What a later run goes on after, where this one was to stop early.
    pub last: Option<Digest>,
}

impl ScrubReport {
    /// Whether every blob that was looked at can be read.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.missing_blobs == 0 && self.wrong_blobs == 0 && self.lost_blobs == 0 && self.failures == 0
    }

    fn count(&mut self, outcome: Result<Option<Inconsistency>>, blob: &Blob) -> Option<Inconsistency> {
        self.checked_blobs += 1;
        let inconsistency = match outcome {
            Ok(inconsistency) => inconsistency,
            Err(error) => {
                self.failures += 1;
                tracing::warn!(digest = %blob.digest, %error, "a blob cannot be looked at");
                return None;
            }
        };
        match inconsistency {
            Some(Inconsistency::Missing) => self.missing_blobs += 1,
            Some(Inconsistency::WrongBytes) => self.wrong_blobs += 1,
            Some(Inconsistency::Lost) => self.lost_blobs += 1,
            None if blob.placement == Placement::Lost => self.found_blobs += 1,
            None => {}
        }
        inconsistency
    }
}

impl Service {
    /// Looks at every blob after `after`; calls `found` for each flaw, and with what was done so far after each page.
    pub async fn scrub(
        self: &Arc<Self>,
        terms: ScrubTerms,
        after: Option<Digest>,
        mut found: impl FnMut(Inconsistency, &Blob),
        mut progress: impl FnMut(&ScrubReport),
    ) -> Result<ScrubReport> {
        let mut report = ScrubReport { last: after, ..ScrubReport::default() };
        let at_once = if terms.is_deep { HASHERS_AT_ONCE } else { LOOKS_AT_ONCE };
        loop {
            let blobs = self.db.placed_blobs(report.last.as_ref(), PAGE).await?;
            let Some(last) = blobs.last().map(|blob| blob.digest) else { return Ok(report) };
            let looks = blobs.into_iter().map(|blob| async move {
                let outcome = self.examine(&blob, terms).await;
                (blob, outcome)
            });
            let mut looks = stream::iter(looks).buffer_unordered(at_once);
            while let Some((blob, outcome)) = looks.next().await {
                if let Some(inconsistency) = report.count(outcome, &blob) {
                    found(inconsistency, &blob);
                }
            }
            report.last = Some(last);
            progress(&report);
        }
    }

    async fn examine(self: &Arc<Self>, blob: &Blob, terms: ScrubTerms) -> Result<Option<Inconsistency>> {
        let was_lost = blob.placement == Placement::Lost;
        if was_lost && !terms.is_deep {
            return Ok(Some(Inconsistency::Lost));
        }
        // Read before the object is: what is placed anew meanwhile is not taken for this one.
        let placed_at = self.db.placed_at(&blob.digest).await?;
        let placed = Blob { placement: Placement::Placed, ..blob.clone() };
        let inconsistency = if !self.storage.has_blob(&placed).await? {
            Some(Inconsistency::Missing)
        } else if terms.is_deep {
            match self
                .read_back(
                    &Sealed::placed(&placed),
                    blob.digest.algorithm(),
                    &ProgressCounter::new(NOBODY.into(), blob.size),
                )
                .await
            {
                Ok(found) if found == blob.digest => None,
                Ok(_) => Some(Inconsistency::WrongBytes),
                // Removed or shortened meanwhile.
                Err(ServiceError::Storage(StorageError::NotFound | StorageError::Precondition)) => {
                    Some(Inconsistency::Missing)
                }
                Err(error) => return Err(error),
            }
        } else {
            None
        };
        if terms.is_repairing {
            let now = self.clock.now();
            match (inconsistency, placed_at) {
                (None, None) if was_lost => self.db.mark_found(&blob.digest, now).await?,
                (Some(_), Some(placed_at)) => {
                    self.db.mark_lost(&blob.digest, placed_at, now).await?;
                }
                (None | Some(_), _) => {}
            }
        }
        Ok(if was_lost && inconsistency.is_some() { Some(Inconsistency::Lost) } else { inconsistency })
    }
}
