//! Step 6: what is temporary goes. What cannot be removed now is left to the cleaner, which finds it by the session's row.

use crate::domain::upload::{Transfer, UploadId};
use crate::log_text::chain;
use crate::service::{Result, Service, ServiceError};
use crate::storage::{Sealed, Staged};

impl Service {
    /// Removes what a completed session left.
    pub(super) async fn discard_completed(&self, id: UploadId, transfer: &Transfer, sealed: &Sealed) {
        let discarded = async {
            self.storage.discard_published(id, transfer, sealed).await?;
            self.db.mark_discarded(&[id], self.clock.now()).await?;
            Ok::<_, ServiceError>(())
        };
        if let Err(error) = discarded.await {
            tracing::warn!(upload = %id, %error, "temporary objects are left to the cleaner");
        }
    }

    /// Removes what a session left that ended in any way.
    pub(in crate::service) async fn discard_or_leave(&self, id: UploadId) {
        if let Err(error) = self.discard(id).await {
            tracing::warn!(upload = %id, %error, "temporary objects are left to the cleaner");
        }
    }

    pub(super) async fn discard(&self, id: UploadId) -> Result<()> {
        self.storage.discard(id).await?;
        self.db.mark_discarded(&[id], self.clock.now()).await?;
        Ok(())
    }

    /// Removes a staged copy that is not published.
    pub(super) async fn unstage_or_leave(&self, upload: UploadId, staged: &Staged) {
        if let Err(error) = self.storage.unstage(staged).await {
            tracing::warn!(%upload, error = %chain(&error), "what was staged is left to the cleaner");
        }
    }
}
