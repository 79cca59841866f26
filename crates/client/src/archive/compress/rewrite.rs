//! Rewrites manifests so that they name compressed layers: images first, then the indexes that list them.

use std::collections::HashMap;

use overside_protocol::digest::Digest;
use overside_protocol::wire::Descriptor;
use serde_json::{Value, json};

use super::{CompressedLayer, LayerCompression};
use crate::archive::json::{is_encrypted, is_image_config, is_image_layer};
use crate::archive::{Archive, ArchiveError};
use crate::registry::manifest::{Manifest, is_foreign, is_manifest};

const DOCKER_LAYERS: &str = "application/vnd.docker.image.rootfs.";

/// The layers of an image's file system that lie in the archive; none of what is no image.
pub(super) fn image_layers(manifest: &Manifest) -> impl Iterator<Item = &Descriptor> {
    let is_image = manifest.config.as_ref().is_some_and(|config| is_image_config(&config.media_type));
    manifest.layers.iter().filter(move |layer| {
        let media_type = &layer.media_type;
        is_image && is_image_layer(media_type) && !is_foreign(media_type) && !is_encrypted(media_type)
    })
}

/// The type of a layer once it is packed, in the words of its image: Docker's or OCI's.
fn packed_type(before: &str, packing: LayerCompression) -> &'static str {
    match (before.starts_with(DOCKER_LAYERS), packing) {
        (true, LayerCompression::Gzip) => "application/vnd.docker.image.rootfs.diff.tar.gzip",
        // As BuildKit and containerd write it.
        (true, LayerCompression::Zstd) => "application/vnd.docker.image.rootfs.diff.tar.zstd",
        (false, LayerCompression::Gzip) => "application/vnd.oci.image.layer.v1.tar+gzip",
        (false, LayerCompression::Zstd) => "application/vnd.oci.image.layer.v1.tar+zstd",
    }
}

pub(super) struct Rewriting<'a> {
    archive: &'a Archive,
    packing: LayerCompression,
    /// By the digests of what they were.
    layers: &'a HashMap<Digest, CompressedLayer>,
    manifests: HashMap<Digest, Manifest>,
    renamed: HashMap<Digest, Digest>,
}

impl<'a> Rewriting<'a> {
    pub(super) fn new(
        archive: &'a Archive,
        packing: LayerCompression,
        layers: &'a HashMap<Digest, CompressedLayer>,
    ) -> Self {
        Self { archive, packing, layers, manifests: HashMap::new(), renamed: HashMap::new() }
    }

    /// New manifests by their digests, and which digests they had.
    pub(super) fn finish(self) -> (HashMap<Digest, Manifest>, HashMap<Digest, Digest>) {
        (self.manifests, self.renamed)
    }

    /// What is below it first. As deep as indexes in an archive may be, which was checked.
    pub(super) fn rewrite(&mut self, digest: &Digest) -> Result<(), ArchiveError> {
        let archive = self.archive;
        let Some(manifest) = archive.manifest(digest) else { return Ok(()) };
        if self.renamed.contains_key(digest) {
            return Ok(());
        }
        for child in manifest.manifests.iter().filter(|child| is_manifest(&child.media_type)) {
            self.rewrite(&child.digest)?;
        }
        let name = || digest.to_string();
        let mut content: Value = serde_json::from_slice(&manifest.payload)
            .map_err(|source| ArchiveError::Json { name: name(), source })?;
        let mut changed = false;
        let packable: Vec<_> = image_layers(manifest).map(|layer| layer.digest).collect();
        for layer in entries(&mut content, "layers") {
            let Some(before) = digest_of(layer).filter(|digest| packable.contains(digest)) else { continue };
            let Some(packed) = self.layers.get(&before) else { continue };
            let media_type = layer["mediaType"].as_str().unwrap_or_default();
            layer["mediaType"] = json!(packed_type(media_type, self.packing));
            describe(layer, &packed.digest, packed.source.size());
            changed = true;
        }
        for child in entries(&mut content, "manifests") {
            let now = digest_of(child).and_then(|before| self.now(&before));
            if let Some((digest, size)) = now {
                describe(child, &digest, size);
                changed = true;
            }
            // An attestation says in its entry which image it is about.
            let about = child.get_mut("annotations").and_then(Value::as_object_mut);
            for value in about.into_iter().flat_map(serde_json::Map::values_mut) {
                let now = value.as_str().and_then(|text| self.now(&text.parse().ok()?));
                if let Some((digest, _)) = now {
                    *value = json!(digest);
                    changed = true;
                }
            }
        }
        if changed {
            let media_type = Some(manifest.descriptor.media_type.clone());
            let rewritten = Manifest::read(content.to_string().into(), media_type, Some(digest))
                .map_err(|source| ArchiveError::Manifest { name: name(), source })?;
            self.renamed.insert(*digest, rewritten.descriptor.digest);
            self.manifests.insert(rewritten.descriptor.digest, rewritten);
        }
        Ok(())
    }

    fn now(&self, before: &Digest) -> Option<(Digest, u64)> {
        let manifest = self.manifests.get(self.renamed.get(before)?)?;
        Some((manifest.descriptor.digest, manifest.descriptor.size))
    }
}

fn entries<'a>(content: &'a mut Value, field: &str) -> impl Iterator<Item = &'a mut Value> {
    content.get_mut(field).and_then(Value::as_array_mut).into_iter().flatten()
}

fn digest_of(descriptor: &Value) -> Option<Digest> {
    descriptor.get("digest")?.as_str()?.parse().ok()
}

/// The content that a descriptor may embed is no longer this one's.
fn describe(descriptor: &mut Value, digest: &Digest, size: u64) {
    (descriptor["digest"], descriptor["size"]) = (json!(digest), json!(size));
    if let Some(fields) = descriptor.as_object_mut() {
        fields.remove("data");
    }
}
