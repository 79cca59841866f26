//! The manifest that is meant, of what a registry or an index has.

use overside_protocol::name::RepositoryName;
use overside_protocol::reference::Reference;
use overside_protocol::wire::{Descriptor, Platform};

use crate::registry::manifest::Manifest;
use crate::{Client, Error, Result, shortened};

/// Platforms that an error names: more than images are built for.
const MAX_PLATFORMS: usize = 30;
/// Of each, in characters, on average.
const MAX_PLATFORM_LENGTH: usize = 40;

/// The manifest that is asked for, of an index that of the platform.
pub async fn find(
    client: &Client,
    repository: &RepositoryName,
    reference: &Reference,
    platform: Option<&Platform>,
) -> Result<Manifest> {
    let found = client.manifest(repository, reference).await?;
    let root = found.ok_or_else(|| Error::ManifestUnknown(reference.clone()))?;
    let Some(platform) = platform.filter(|_| !root.manifests.is_empty()) else { return Ok(root) };
    let child = select(&root.manifests, platform)?;
    let child = Reference::Digest(child.digest);
    client.manifest(repository, &child).await?.ok_or(Error::ManifestUnknown(child))
}

/// The entry of an index for a platform. Without a variant any will do.
pub fn select<'a>(index: &'a [Descriptor], wanted: &Platform) -> Result<&'a Descriptor> {
    let fits = |platform: &Platform| {
        platform.os == wanted.os
            && platform.architecture == wanted.architecture
            && (wanted.variant.is_none() || platform.variant == wanted.variant)
    };
    let platforms = || index.iter().filter_map(|entry| entry.platform.as_ref());
    index.iter().find(|entry| entry.platform.as_ref().is_some_and(fits)).ok_or_else(|| {
        let there: Vec<_> = platforms().take(MAX_PLATFORMS).map(ToString::to_string).collect();
        let there = shortened(&there.join(", "), MAX_PLATFORMS * MAX_PLATFORM_LENGTH);
        Error::PlatformUnknown { wanted: wanted.to_string(), there }
    })
}
