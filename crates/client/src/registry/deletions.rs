//! Deletes tags by themselves, and manifests with every tag that points to them.

use futures_util::stream::{self, StreamExt, TryStreamExt};
use overside_protocol::digest::Digest;
use overside_protocol::reference::{Reference, Tag};
use reqwest::StatusCode;

use crate::transport::auth::Scope;
use crate::{Error, Repository, Result};

/// Tags that are resolved side by side: a registry lists them without their digests.
const RESOLVED_AT_ONCE: usize = 8;

impl Repository {
    /// Deletes one tag and nothing else; false if there is none. The manifest stays, by its digest.
    ///
    /// # Errors
    /// [`Error::TagStays`] if the registry deletes no tag by itself, which it need not (distribution spec 1.1.1, "Deleting
    /// tags"); nothing is deleted then. Besides that what [any request](Error#any-request) can fail with.
    pub async fn delete_tag(&self, tag: &Tag) -> Result<bool> {
        let (reference, scope) = (Reference::Tag(tag.clone()), Scope::delete(&self.name));
        let Some(there) = self.resolve_by(&scope, &reference).await? else { return Ok(false) };
        let url = self.manifest_url(&reference)?;
        let answer = self.registry.call(&scope, || self.registry.http.delete(url.clone())).await?;
        match answer.status {
            // Somebody else was faster, or the registry looks for digests alone.
            StatusCode::NOT_FOUND if self.resolve_by(&scope, &reference).await?.is_none() => Ok(false),
            StatusCode::NOT_FOUND
            | StatusCode::BAD_REQUEST
            | StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::NOT_IMPLEMENTED => {
                Err(Error::TagStays { peer: self.registry.peer(), tag: tag.clone(), digest: there.digest })
            }
            _ => answer.expect_success().map(|_| true),
        }
    }

    /// Deletes a manifest, and with it every tag that points to it; false if there is none.
    ///
    /// # Errors
    /// [`Error::Refused`] if the registry does not delete manifests, or keeps this one because an index lists it. Besides
    /// that what [any request](Error#any-request) can fail with.
    pub async fn delete_manifest(&self, digest: &Digest) -> Result<bool> {
        let url = self.manifest_url(&Reference::Digest(*digest))?;
        self.registry.delete(&url, &Scope::delete(&self.name)).await
    }

    /// The repository's tags with the digest of each, sorted; none if the repository does not exist.
    ///
    /// # Errors
    /// As [`Self::tags`] and [`Self::resolve`].
    pub async fn tags_with_digests(&self) -> Result<Option<Vec<(Tag, Digest)>>> {
        let Some(tags) = self.tags().await? else { return Ok(None) };
        let resolving = tags.iter().filter_map(|tag| tag.parse::<Tag>().ok()).map(|tag| async move {
            let found = self.resolve(&Reference::Tag(tag.clone())).await?;
            // Deleted since it was listed.
            Ok::<_, Error>(found.map(|descriptor| (tag, descriptor.digest)))
        });
        let resolved: Vec<_> = stream::iter(resolving).buffered(RESOLVED_AT_ONCE).try_collect().await?;
        let mut tagged: Vec<_> = resolved.into_iter().flatten().collect();
        // Registries list them in any order.
        tagged.sort_unstable();
        Ok(Some(tagged))
    }
}
