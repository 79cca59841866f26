//! Read and unlink published blobs.

use super::{Result, Service, ServiceError};
use crate::domain::blob::Blob;
use crate::domain::digest::Digest;
use crate::domain::name::RepositoryName;
use crate::domain::range::ByteRange;
use crate::storage::{Download, StorageError};

/// A blob and the way to its bytes.
#[expect(missing_debug_implementations, reason = "holds a stream")]
pub struct BlobContent {
    pub blob: Blob,
    pub download: Download,
}

impl Service {
    /// A blob as a repository has it.
    pub async fn blob(&self, repository: &RepositoryName, digest: &Digest) -> Result<Blob> {
        self.db.find_blob_in(repository, digest).await?.ok_or(ServiceError::BlobUnknown)
    }

    /// The way to a blob's bytes, all or a range of them.
    pub async fn blob_content(&self, blob: Blob, range: Option<ByteRange>) -> Result<BlobContent> {
        match self.storage.download(&blob.digest, range, self.limits.url_lifetime).await {
            Ok(download) => Ok(BlobContent { blob, download }),
            Err(StorageError::NotFound) => {
                tracing::error!(digest = %blob.digest, "a published blob is gone from the store");
                Err(ServiceError::BlobUnknown)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Takes a blob out of a repository. Its bytes stay: other repositories may have them.
    pub async fn unlink_blob(&self, repository: &RepositoryName, digest: &Digest) -> Result<()> {
        if self.db.unlink_blob(repository, digest).await? {
            tracing::info!(%repository, %digest, "blob unlinked");
            Ok(())
        } else {
            Err(ServiceError::BlobUnknown)
        }
    }
}
