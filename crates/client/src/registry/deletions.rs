//! What can be taken out of a repository: tags by themselves, and manifests with every tag that means them.

use futures_util::stream::{self, StreamExt, TryStreamExt};
use overside_protocol::digest::Digest;
use overside_protocol::name::RepositoryName;
use overside_protocol::reference::{Reference, Tag};
use reqwest::StatusCode;

use crate::transport::auth::Scope;
use crate::{Client, Error, Result};

/// Tags that are looked up side by side: a registry lists them without what they mean.
const LOOKS_AT_ONCE: usize = 8;

impl Client {
    /// Deletes one tag and nothing else; false where there is none. The manifest stays, by its digest.
    ///
    /// # Errors
    ///
    /// [`Error::TagStays`] where the registry deletes no tag by itself, as it need not (distribution spec 1.1.1,
    /// "Deleting tags"). Nothing is deleted then.
    pub async fn delete_tag(&self, repository: &RepositoryName, tag: &Tag) -> Result<bool> {
        let (reference, scope) = (Reference::Tag(tag.clone()), Scope::delete(repository));
        let Some(there) = self.resolve_by(&scope, repository, &reference).await? else { return Ok(false) };
        let url = self.manifest_url(repository, &reference)?;
        let answer = self.call(&scope, || self.http.delete(url.clone())).await?;
        match answer.status {
            // Somebody else was faster, or the registry looks for digests alone.
            StatusCode::NOT_FOUND if self.resolve_by(&scope, repository, &reference).await?.is_none() => {
                Ok(false)
            }
            StatusCode::NOT_FOUND
            | StatusCode::BAD_REQUEST
            | StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::NOT_IMPLEMENTED => {
                Err(Error::TagStays { peer: self.peer(), tag: tag.clone(), digest: there.digest })
            }
            _ => answer.expect_done().map(|_| true),
        }
    }

    /// Deletes a manifest, and with it every tag that means it; false where there is none.
    pub async fn delete_manifest(&self, repository: &RepositoryName, digest: &Digest) -> Result<bool> {
        let url = self.manifest_url(repository, &Reference::Digest(*digest))?;
        self.delete(&url, &Scope::delete(repository)).await
    }

    /// The tags of a repository with what each means, sorted; none if the repository is not there.
    pub async fn tagged(&self, repository: &RepositoryName) -> Result<Option<Vec<(Tag, Digest)>>> {
        let Some(tags) = self.tags(repository).await? else { return Ok(None) };
        let looks = tags.iter().filter_map(|tag| tag.parse::<Tag>().ok()).map(|tag| async move {
            let found = self.resolve(repository, &Reference::Tag(tag.clone())).await?;
            // Deleted since it was listed.
            Ok::<_, Error>(found.map(|descriptor| (tag, descriptor.digest)))
        });
        let looked: Vec<_> = stream::iter(looks).buffered(LOOKS_AT_ONCE).try_collect().await?;
        let mut tagged: Vec<_> = looked.into_iter().flatten().collect();
        // Registries list them in any order.
        tagged.sort_unstable();
        Ok(Some(tagged))
    }
}
