//! Finds the manifest of one platform.

use overside_protocol::reference::Reference;
use overside_protocol::wire::{Descriptor, Platform};

use crate::registry::manifest::Manifest;
use crate::{Error, Repository, Result, shortened};

/// Platforms that an error names: more than images are built for.
const MAX_PLATFORMS: usize = 30;
/// Of each, in characters, on average.
const MAX_PLATFORM_LENGTH: usize = 40;

impl Repository {
    /// The manifest that a tag or digest points to; where that is an index and a platform is given, the platform's manifest.
    ///
    /// # Errors
    /// [`Error::ManifestUnknown`] if the repository does not have it, [`Error::PlatformUnknown`] if the index does not list the
    /// platform. Besides that as [`Repository::manifest`].
    pub async fn find(&self, reference: &Reference, platform: Option<&Platform>) -> Result<Manifest> {
        let found = self.manifest(reference).await?;
        let root = found.ok_or_else(|| Error::ManifestUnknown(reference.clone()))?;
        let Some(platform) = platform.filter(|_| !root.manifests.is_empty()) else { return Ok(root) };
        let child = Reference::Digest(select(&root.manifests, platform)?.digest);
        self.manifest(&child).await?.ok_or(Error::ManifestUnknown(child))
    }
}

/// The entry of an index for a platform. One without a variant means any variant.
///
/// # Errors
/// [`Error::PlatformUnknown`] if there is none; it names those that there are.
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
