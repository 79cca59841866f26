//! Link a blob that another repository has: no byte is sent.

use super::{Result, Service};
use crate::domain::digest::Digest;
use crate::domain::name::RepositoryName;

/// Repositories looked at for one that the caller may read: enough to meet one of them where the caller can read
/// many, and one page of an index.
const SOURCES_LOOKED_AT: u32 = 16;

impl Service {
    /// Links a blob of `from` into `to`, or of any repository without `from` (OCI distribution 1.1, "automatic
    /// content discovery"). False where the caller has to upload it, which tells nothing of whether it exists.
    pub async fn mount(
        &self,
        to: &RepositoryName,
        digest: &Digest,
        from: Option<&RepositoryName>,
    ) -> Result<bool> {
        let Some(source) = self.readable_source(digest, from).await? else { return Ok(false) };
        if !self.db.link_blob(to, digest, self.clock.now()).await? {
            return Ok(false);
        }
        tracing::info!(repository = %to, from = %source, %digest, "blob mounted");
        Ok(true)
    }

    /// A repository that has a blob and that the caller may read it from: `from`, or any. That a blob exists is
    /// no right to it, so whatever restricts reading restricts this, and this alone, among the candidates.
    async fn readable_source(
        &self,
        digest: &Digest,
        from: Option<&RepositoryName>,
    ) -> Result<Option<RepositoryName>> {
        let candidates = match from {
            Some(from) => {
                let found = self.db.find_link(from, digest).await?;
                found.map(|_| from.clone()).into_iter().collect()
            }
            None => self.db.repositories_with(digest, SOURCES_LOOKED_AT).await?,
        };
        // Whoever reaches this server may read all of it.
        Ok(candidates.into_iter().next())
    }
}
