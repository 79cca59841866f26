//! Plans a transfer: every manifest below an artifact's root, each after what it refers to, and the blobs of all.

use std::collections::HashSet;

use overside_protocol::digest::Digest;
use overside_protocol::reference::Reference;
use overside_protocol::wire::Descriptor;

use super::origin::Origin;
use crate::registry::manifest::{Manifest, is_foreign, is_manifest};
use crate::{Error, Repository, Result};

/// Indexes in indexes: real ones have two floors.
const MAX_DEPTH: usize = 8;
/// Manifests below one root, and artifacts about them; the largest known index lists some hundreds.
pub(super) const MAX_MANIFESTS: usize = 10_000;
/// Bytes of all manifests together, which are kept until they are pushed.
pub(super) const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// The blobs and manifests of an artifact, in the order in which a registry takes them.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Plan {
    /// Layers, and whatever else is neither config nor manifest.
    pub layers: Vec<Descriptor>,
    pub configs: Vec<Descriptor>,
    /// Layers of a foreign type, which registries do not keep.
    pub foreign: Vec<Descriptor>,
    /// Each after those that it lists; the root last.
    pub manifests: Vec<Manifest>,
    /// Manifests that the target has already, with all that they name.
    pub present: Vec<Descriptor>,
}

impl Plan {
    /// The size of all manifests together.
    pub(super) fn bytes(&self) -> u64 {
        self.manifests.iter().map(|manifest| manifest.descriptor.size).sum()
    }
}

/// A walk through the manifests of an artifact.
pub(super) struct Walk<'a> {
    pub origin: &'a Origin,
    /// Manifests that this repository has are left out, with all that they name.
    pub target: Option<&'a Repository>,
    plan: Plan,
    seen: HashSet<Digest>,
    seen_foreign: HashSet<Digest>,
    bytes: u64,
}

impl<'a> Walk<'a> {
    pub fn new(origin: &'a Origin, target: Option<&'a Repository>) -> Self {
        Self {
            origin,
            target,
            plan: Plan::default(),
            seen: HashSet::new(),
            seen_foreign: HashSet::new(),
            bytes: 0,
        }
    }

    /// The plan of everything below a root, and of the root.
    ///
    /// # Errors
    /// [`Error::ManifestUnknown`] if a manifest is missing, [`Error::TooDeep`] if there are too many.
    pub async fn run(mut self, root: Manifest) -> Result<Plan> {
        self.visit(root, 0).await?;
        Ok(self.plan)
    }

    async fn visit(&mut self, manifest: Manifest, depth: usize) -> Result<()> {
        let digest = manifest.descriptor.digest;
        self.bytes += manifest.descriptor.size;
        if depth > MAX_DEPTH || self.plan.manifests.len() > MAX_MANIFESTS || self.bytes > MAX_BYTES {
            return Err(Error::TooDeep(digest));
        }
        self.seen.insert(digest);
        if self.is_there(&manifest.descriptor).await? {
            self.plan.present.push(manifest.descriptor.clone());
            if depth > 0 {
                return Ok(());
            }
        } else {
            for child in &manifest.manifests {
                if !self.seen.insert(child.digest) {
                    continue;
                }
                // A build keeps its cache in an index of blobs.
                if !is_manifest(&child.media_type) {
                    self.plan.layers.push(child.clone());
                    continue;
                }
                let child = self.origin.manifest(child).await?;
                Box::pin(self.visit(child, depth + 1)).await?;
            }
            self.note_blobs(&manifest);
        }
        self.plan.manifests.push(manifest);
        Ok(())
    }

    fn note_blobs(&mut self, manifest: &Manifest) {
        for layer in &manifest.layers {
            // What is foreign to one manifest may be another's own.
            if is_foreign(&layer.media_type) {
                self.plan
                    .foreign
                    .extend(Some(layer.clone()).filter(|_| self.seen_foreign.insert(layer.digest)));
            } else if self.seen.insert(layer.digest) {
                self.plan.layers.push(layer.clone());
            }
        }
        self.plan.configs.extend(manifest.config.clone().filter(|config| self.seen.insert(config.digest)));
    }

    /// A registry has what its manifests name.
    async fn is_there(&self, descriptor: &Descriptor) -> Result<bool> {
        let Some(repository) = self.target else { return Ok(false) };
        Ok(repository.resolve_pushed(&Reference::Digest(descriptor.digest)).await?.is_some())
    }
}
