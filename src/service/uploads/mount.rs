//! Link a blob that another repository has: no byte is sent.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::time::Instant;

use crate::domain::access::{Action, Authority, Caller};
use crate::domain::digest::Digest;
use crate::domain::name::RepositoryName;
use crate::service::accounts::access::reader;
use crate::service::uploads::settle::{LOOKED_AT_FOR_READ, PATIENCE_FOR_PROOF};
use crate::service::{Result, Service, ServiceError};

/// Repositories looked at for one that the caller may read: enough to meet one of them where the caller can read
/// many, and one page of an index.
const SOURCES_LOOKED_AT: u32 = 16;

impl Service {
    /// Links a blob of `from` into `to`, or of any repository without `from` (OCI distribution 1.1, "automatic
    /// content discovery"). False where the caller has to upload it, which tells nothing of whether it exists.
    /// [`ServiceError::ScopeInsufficient`] where whoever the caller's token was issued to could read `from` with another.
    pub async fn mount(
        self: &Arc<Self>,
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
        self: &Arc<Self>,
        caller: &Caller,
        digest: &Digest,
        from: Option<&RepositoryName>,
    ) -> Result<Option<RepositoryName>> {
        let Some(from) = from else {
            return Ok(self.readable_sources(caller, &[*digest]).await?.remove(digest));
        };
        let may_read = self.actions(caller, from).await?.contains(Action::Pull);
        // A token for the target alone is what clients bring who were not asked for more.
        if !may_read && matches!(caller.authority, Authority::Token(_)) {
            let account = self.account_of(caller).await?;
            if self.account_actions(&account, &from.project()).await?.contains(Action::Pull) {
                return Err(ServiceError::ScopeInsufficient);
            }
        }
        // Asked first: whether it has the blob must not show in the time either.
        if !may_read {
            return Ok(None);
        }
        let deadline = Instant::now() + PATIENCE_FOR_PROOF;
        let has_it = self.db.find_link(from, digest).await?.is_some()
            || self.settle(from, &[*digest], LOOKED_AT_FOR_READ, deadline).await?.done > 0;
        Ok(has_it.then(|| from.clone()))
    }

    /// Those of these blobs that the caller may read in any repository, each with one of them. One statement, whatever it
    /// finds: that many repositories have a blob which the caller may not read must not show in the time that it takes to
    /// look at each.
    pub(super) async fn readable_sources(
        &self,
        caller: &Caller,
        digests: &[Digest],
    ) -> Result<HashMap<Digest, RepositoryName>> {
        if let Authority::Token(token) = &caller.authority {
            let readable = token.repositories.iter().filter(|(_, actions)| actions.contains(Action::Pull));
            let named: Vec<_> = readable.map(|(name, _)| name.clone()).collect();
            return Ok(self.db.blobs_of_any(digests, &named).await?);
        }
        Ok(self.db.readable_blobs(digests, &reader(&caller.authority), SOURCES_LOOKED_AT).await?)
    }
}
