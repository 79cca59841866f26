//! Room in a project for what is uploaded to it, before it is.

use crate::domain::upload::Upload;
use crate::service::{Result, Service, ServiceError};

impl Service {
    /// Has at least so many bytes held for a session, before they move; says how many are, and `u64::MAX` where
    /// nothing limits the project.
    pub(in crate::service) async fn reserve(&self, upload: &Upload, bytes: u64) -> Result<u64> {
        if upload.reserved >= bytes {
            return Ok(upload.reserved);
        }
        self.reserve_between(upload, bytes, bytes).await
    }

    /// As [`Self::reserve`], with up to `most` where there is room for them.
    pub(in crate::service) async fn reserve_between(
        &self,
        upload: &Upload,
        least: u64,
        most: u64,
    ) -> Result<u64> {
        let project = upload.repository.project();
        Ok(self.db.reserve(upload.id, &project, least, most).await?.unwrap_or(u64::MAX))
    }

    /// Gives back what is held for a session beyond so many bytes.
    pub(in crate::service) async fn release_beyond(&self, upload: &Upload, bytes: u64) {
        if let Err(error) = self.db.release_beyond(upload.id, bytes).await {
            tracing::warn!(upload = %upload.id, %error, "what was held ahead stays held until the upload ends");
        }
    }

    /// A URL without a length takes whatever is sent to it: none is given out where room is limited.
    pub(in crate::service) async fn check_unsized(&self, upload: &Upload) -> Result<()> {
        let project = upload.repository.project();
        if !self.db.is_storage_limited(&project).await? {
            return Ok(());
        }
        Err(ServiceError::SizeInvalid(format!(
            "project {project} has a limit on its bytes; ask with size=, the blob's length in bytes"
        )))
    }
}
