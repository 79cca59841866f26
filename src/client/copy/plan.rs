//! What an artifact is made of: every manifest below its root, each after what it refers to.

use std::collections::HashSet;

use super::origin::Origin;
use crate::client::manifest::{Manifest, is_foreign, is_manifest};
use crate::client::{Error, Result};
use crate::domain::digest::Digest;
use crate::domain::name::RepositoryName;
use crate::domain::reference::Reference;
use crate::http::wire::Descriptor;

/// Indexes in indexes: real ones have two floors.
const MAX_DEPTH: usize = 8;
/// Manifests below one root; the largest known index lists some hundreds.
const MAX_MANIFESTS: usize = 10_000;

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

/// Walks an artifact.
pub(super) struct Walk<'a> {
    pub origin: &'a Origin,
    /// Where manifests may be already.
    pub target: Option<(&'a crate::client::Client, &'a RepositoryName)>,
    plan: Plan,
    seen: HashSet<Digest>,
}

impl<'a> Walk<'a> {
    pub fn new(origin: &'a Origin, target: Option<(&'a crate::client::Client, &'a RepositoryName)>) -> Self {
        Self { origin, target, plan: Plan::default(), seen: HashSet::new() }
    }

    /// Everything below a root, and the root.
    pub async fn run(mut self, root: Manifest) -> Result<Plan> {
        self.visit(root, 0).await?;
        Ok(self.plan)
    }

    async fn visit(&mut self, manifest: Manifest, depth: usize) -> Result<()> {
        let digest = manifest.descriptor.digest;
        if depth > MAX_DEPTH || self.plan.manifests.len() > MAX_MANIFESTS {
            return Err(Error::TooDeep(digest));
        }
        self.seen.insert(digest);
        if !self.is_there(&manifest.descriptor).await? {
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
        } else if depth > 0 {
            self.plan.present.push(manifest.descriptor);
            return Ok(());
        } else {
            self.plan.present.push(manifest.descriptor.clone());
        }
        self.plan.manifests.push(manifest);
        Ok(())
    }

    fn note_blobs(&mut self, manifest: &Manifest) {
        for layer in &manifest.layers {
            if self.seen.insert(layer.digest) {
                let list = if is_foreign(&layer.media_type) {
                    &mut self.plan.foreign
                } else {
                    &mut self.plan.layers
                };
                list.push(layer.clone());
            }
        }
        self.plan.configs.extend(manifest.config.clone().filter(|config| self.seen.insert(config.digest)));
    }

    /// A registry has what its manifests name.
    async fn is_there(&self, descriptor: &Descriptor) -> Result<bool> {
        let Some((client, repository)) = self.target else { return Ok(false) };
        Ok(client.resolve(repository, &Reference::Digest(descriptor.digest)).await?.is_some())
    }
}
