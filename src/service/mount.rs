//! Link a blob that another repository has: no byte is sent.

use super::{Result, Service, ServiceError};
use crate::domain::access::{Action, Caller};
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
        caller: &Caller,
        to: &RepositoryName,
        digest: &Digest,
        from: Option<&RepositoryName>,
    ) -> Result<bool> {
        let Some(source) = self.readable_source(caller, digest, from).await? else { return Ok(false) };
        if !self.db.link_blob(to, digest, self.clock.now()).await? {
            // On its way to its place, perhaps: sending it again costs more than a moment.
            match self.link(&source, digest).await {
                Ok(_) if self.db.link_blob(to, digest, self.clock.now()).await? => {}
                Ok(_) | Err(ServiceError::BlobUnknown | ServiceError::Busy(_)) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        tracing::info!(repository = %to, from = %source, %digest, "blob mounted");
        Ok(true)
    }

    /// A repository that has a blob and that the caller may read it from: `from`, or any. That a blob exists is
    /// no right to it, so whatever restricts reading restricts this, and this alone, among the candidates.
    async fn readable_source(
        &self,
        caller: &Caller,
        digest: &Digest,
        from: Option<&RepositoryName>,
    ) -> Result<Option<RepositoryName>> {
        let may_read = async |repository: &RepositoryName| {
            Ok::<_, ServiceError>(self.actions(caller, repository).await?.contains(Action::Pull))
        };
        let Some(from) = from else {
            for candidate in self.db.repositories_with(digest, SOURCES_LOOKED_AT).await? {
                if may_read(&candidate).await? {
                    return Ok(Some(candidate));
                }
            }
            return Ok(None);
        };
        // Asked first: whether it has the blob must not show in the time either.
        if may_read(from).await? && self.db.find_link(from, digest).await?.is_some() {
            return Ok(Some(from.clone()));
        }
        Ok(None)
    }
}
