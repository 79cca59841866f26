//! What lies in the store, held against the sessions.

use std::collections::{HashMap, HashSet};

use super::CleanupReport;
use crate::domain::upload::{Transfer, Upload, UploadId};
use crate::log_text::chain;
use crate::service::{Result, Service};
use crate::storage::{TempEntry, TempKind, TempListing, TempOwner};

impl Service {
    /// Listings one after the other; where one fails the next one goes on.
    pub(super) async fn sweep(&self, report: &mut CleanupReport) {
        let mut listing = Some(TempListing::default());
        while let Some(now) = listing {
            let swept = self.sweep_listing(now, report).await;
            report.note(now.purpose(), swept);
            listing = now.next();
        }
    }

    async fn sweep_listing(&self, listing: TempListing, report: &mut CleanupReport) -> Result<()> {
        let mut cursor = None;
        while !self.handover.is_cancelled() {
            let page = self.storage.temp_entries(listing, cursor).await?;
            // Sessions are read after the listing: one that is alive now may have been the owner then, and
            // one that has ended never comes back to life.
            let owners: HashSet<_> = page.entries.iter().filter_map(owner).collect();
            let owners: Vec<_> = owners.into_iter().collect();
            let sessions = self.db.find_uploads(&owners).await?;
            // After the sessions: a blob's row comes with its session's completion, and lets go for good.
            let held = self.db.held_uploads(&owners).await?;
            let sessions: HashMap<_, _> = sessions.into_iter().map(|session| (session.id, session)).collect();
            for entry in page.entries {
                if !self.is_left_over(&entry, &sessions, &held).await? {
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
        sessions: &HashMap<UploadId, Upload>,
        held: &HashSet<UploadId>,
    ) -> Result<bool> {
        let old = entry.modified <= self.before(self.limits.sweep_grace);
        let id = match entry.owner {
            TempOwner::Nobody => return Ok(old),
            TempOwner::Placing(digest) => return Ok(!self.db.is_placing(&digest, self.clock.now()).await?),
            TempOwner::Upload(id) => id,
        };
        if held.contains(&id) {
            return Ok(false);
        }
        Ok(match (sessions.get(&id), &entry.kind) {
            (None, _) => old,
            (Some(session), _) if session.state.status().is_terminal() => true,
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

const fn owner(entry: &TempEntry) -> Option<UploadId> {
    match entry.owner {
        TempOwner::Upload(id) => Some(id),
        TempOwner::Placing(_) | TempOwner::Nobody => None,
    }
}

fn known_multipart(session: &Upload) -> Option<&str> {
    match session.state.transfer()? {
        Transfer::Multipart { store_upload_id, .. } | Transfer::OpenMultipart { store_upload_id } => {
            Some(store_upload_id)
        }
        Transfer::Proxied(stored) => stored.store_upload_id.as_deref(),
        Transfer::Put | Transfer::Redirected => None,
    }
}
