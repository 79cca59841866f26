//! Abort an upload: the session ends and everything temporary goes.

use crate::domain::access::Caller;
use crate::domain::name::RepositoryName;
use crate::domain::upload::{Upload, UploadId};
use crate::service::{Result, Service};

impl Service {
    /// Aborts. Twice is as good as once.
    pub async fn abort(&self, caller: &Caller, repository: &RepositoryName, id: UploadId) -> Result<()> {
        let upload = self.upload(caller, repository, id).await?;
        self.abort_from(upload).await
    }

    pub(in crate::service) async fn abort_from(&self, upload: Upload) -> Result<()> {
        let (id, now) = (upload.id, self.clock.now());
        self.transition(upload, |upload| Ok(upload.abort(now)?)).await?;
        tracing::info!(upload = %id, "upload aborted");
        self.discard_or_leave(id).await;
        Ok(())
    }
}
