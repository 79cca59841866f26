//! The blobs of a batch, to be read: the database is asked once for all of them.

use std::collections::HashMap;
use std::sync::Arc;

use crate::domain::blob::{Blob, Placement};
use crate::domain::digest::Digest;
use crate::domain::name::RepositoryName;
use crate::service::{Result, Service};

impl Service {
    /// Those of these blobs that a repository has, whether or not they can be read just now.
    pub async fn blobs_of_batch(
        &self,
        repository: &RepositoryName,
        digests: &[Digest],
    ) -> Result<HashMap<Digest, Blob>> {
        let links = self.db.find_links(repository, digests).await?;
        let blobs = links.into_iter().map(|link| link.blob);
        let there = blobs.filter(|blob| blob.placement != Placement::Lost);
        Ok(there.map(|blob| (blob.digest, blob)).collect())
    }

    /// Where the store itself has a blob's bytes for a client; none where they come through this service, or where the
    /// blob is still on its way to its place.
    pub async fn blob_url(self: &Arc<Self>, blob: &Blob) -> Result<Option<String>> {
        if blob.placement != Placement::Placed {
            return Ok(None);
        }
        let url = self.storage.download_url(blob, self.settings().url_lifetime()).await?;
        if url.is_some() {
            self.look_behind(blob);
        }
        Ok(url)
    }
}
