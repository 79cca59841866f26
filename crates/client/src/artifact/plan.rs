//! What an artifact is made of: every manifest below its root, each after what it refers to.

use std::collections::HashSet;

use overside_protocol::digest::Digest;
use overside_protocol::name::RepositoryName;
use overside_protocol::reference::Reference;
use overside_protocol::wire::Descriptor;

use super::origin::Origin;
use crate::registry::manifest::{Manifest, is_foreign, is_manifest};
use crate::{Error, Result};

/// Indexes in indexes: real ones have two floors.
const MAX_DEPTH: usize = 8;
/// Manifests below one root, and artifacts about them; the largest known index lists some hundreds.
pub(super) const MAX_MANIFESTS: usize = 10_000;
/// Of all their bytes, which are kept until they are pushed.
pub(super) const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// What there is to copy, in the order in which a registry takes it.
#[derive(Debug, Default)]
pub struct Plan {
    /// Layers, and whatever else is neither config nor manifest.
    pub layers: Vec<Descriptor>,
    pub configs: Vec<Descriptor>,
    /// Layers that registries do not keep.
    pub foreign: Vec<Descriptor>,
    /// Each after those that it lists; the root last.
    pub manifests: Vec<Manifest>,
    /// Manifests that are there already, with all that they name.
    pub present: Vec<Descriptor>,
}

impl Plan {
    /// Of the manifests that it holds.
    pub(super) fn bytes(&self) -> u64 {
        self.manifests.iter().map(|manifest| manifest.descriptor.size).sum()
    }
}

/// Walks an artifact.
pub(super) struct Walk<'a> {
    pub origin: &'a Origin,
    /// Where manifests may be already.
    pub target: Option<(&'a crate::Client, &'a RepositoryName)>,
    plan: Plan,
    seen: HashSet<Digest>,
    seen_foreign: HashSet<Digest>,
    bytes: u64,
}

impl<'a> Walk<'a> {
    pub fn new(origin: &'a Origin, target: Option<(&'a crate::Client, &'a RepositoryName)>) -> Self {
        Self {
            origin,
            target,
            plan: Plan::default(),
            seen: HashSet::new(),
            seen_foreign: HashSet::new(),
            bytes: 0,
        }
    }

    /// Everything below a root, and the root.
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
        let Some((client, repository)) = self.target else { return Ok(false) };
        Ok(client.resolve_pushed(repository, &Reference::Digest(descriptor.digest)).await?.is_some())
    }
}
