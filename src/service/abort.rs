//! Abort an upload: the session ends and everything temporary goes.

use super::{Result, Service};
use crate::domain::access::Caller;
use crate::domain::name::RepositoryName;
use crate::domain::upload::{Upload, UploadId};

impl Service {
    /// Aborts. Twice is as good as once.
    pub async fn abort(&self, caller: &Caller, repository: &RepositoryName, id: UploadId) -> Result<()> {
        let upload = self.upload(caller, repository, id).await?;
        self.abort_from(upload).await
    }

    pub(super) async fn abort_from(&self, upload: Upload) -> Result<()> {
        let (id, now) = (upload.id, self.clock.now());
        self.transition(upload, |upload| Ok(upload.abort(now)?)).await?;
        tracing::info!(upload = %id, "upload aborted");
        self.discard_or_leave(id).await;
        Ok(())
    }

    /// Removes what an ended session left. What does not work now is the cleaner's.
    pub(super) async fn discard_or_leave(&self, id: UploadId) {
        if let Err(error) = self.discard(id).await {
            tracing::warn!(upload = %id, %error, "temporary objects are left to the cleaner");
        }
    }

    pub(super) async fn discard(&self, id: UploadId) -> Result<()> {
        self.storage.discard(id).await?;
        self.db.mark_discarded(&[id], self.clock.now()).await?;
        Ok(())
    }
}
