//! Reads archives of `docker save`: their `manifest.json` names a config and layers for each image, and no manifest.
//!
//! One is made for each image. Layers stay as they are, packed or not: what is sent is what the archive has.

use std::collections::HashMap;

use overside_protocol::digest::Digest;
use overside_protocol::hash::Hasher;
use overside_protocol::manifest::{IMAGE, MAX_MANIFEST_SIZE};
use overside_protocol::media_type::MediaType;
use overside_protocol::wire::Descriptor;
use serde::Serialize;

use super::contents::{Contents, Member};
use super::examine::Watch;
use super::json::{self, SavedImage};
use super::verify::{ArchiveIndex, ExaminedFiles, Layer, LayerSource, check_diff_id_count, check_layer, of};
use super::{ArchiveError, Image, name};
use crate::error::limits::{MAX_CONFIG_SIZE, MAX_IMAGE_LIST_SIZE, MAX_MANIFEST_BYTES};
use crate::registry::manifest::Manifest;

pub(super) const IMAGES: &str = "manifest.json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// The images of `manifest.json`, whose layers are still to be hashed.
#[derive(Debug)]
pub(super) struct Saved {
    images: Vec<SavedParts>,
    layers: HashMap<String, Member>,
}

#[derive(Debug)]
struct SavedParts {
    names: Vec<String>,
    config: Member,
    config_digest: Digest,
    /// The names of the files, each with what it is unpacked.
    layers: Vec<(String, Digest)>,
}

/// An image manifest, always written in this order.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ImageManifest {
    schema_version: u8,
    media_type: MediaType,
    config: Descriptor,
    layers: Vec<Descriptor>,
}

pub(super) fn find(contents: &Contents, watch: &Watch) -> Result<Saved, ArchiveError> {
    let list = contents.find(IMAGES)?.ok_or(ArchiveError::NoImages)?;
    let list = contents.read(&list, MAX_IMAGE_LIST_SIZE, watch)?;
    let list: Vec<SavedImage> = json::array(IMAGES, &list)?;
    if list.is_empty() {
        return Err(ArchiveError::NoImages);
    }
    let mut saved = Saved { images: Vec::new(), layers: HashMap::new() };
    for image in list {
        let parts = saved.parts(image, contents, watch)?;
        saved.images.push(parts);
    }
    Ok(saved)
}

/// The file that `manifest.json` names.
fn named(contents: &Contents, what: &'static str, name: String) -> Result<Member, ArchiveError> {
    let Some(inside) = name::inside(&name) else { return Err(ArchiveError::UnsafeName(name)) };
    let missing = || contents.or_truncated(ArchiveError::missing(what, name));
    contents.find(&inside)?.ok_or_else(missing)
}

impl Saved {
    fn parts(
        &mut self,
        image: SavedImage,
        contents: &Contents,
        watch: &Watch,
    ) -> Result<SavedParts, ArchiveError> {
        let config = named(contents, "the config", image.config)?;
        let bytes = contents.read(&config, MAX_CONFIG_SIZE, watch)?;
        let promised = name::promised_of_config(&config.name);
        let algorithm = promised.as_ref().map(Digest::algorithm).unwrap_or_default();
        let config_digest = Hasher::digest(algorithm, &bytes);
        if let Some(promised) = promised.filter(|promised| *promised != config_digest) {
            return Err(ArchiveError::wrong_digest(&config.name, promised, config_digest));
        }
        let diff_ids = json::diff_ids(&config.name, &bytes)?.unwrap_or_default();
        let names = image.layers.unwrap_or_default();
        check_diff_id_count(&config.name, names.len(), diff_ids.len())?;
        let mut layers = Vec::with_capacity(names.len());
        for (name, diff_id) in names.into_iter().zip(diff_ids) {
            let layer = named(contents, "the layer", name)?;
            layers.push((layer.name.clone(), diff_id));
            self.layers.entry(layer.name.clone()).or_insert(layer);
        }
        Ok(SavedParts { names: image.repo_tags.unwrap_or_default(), config, config_digest, layers })
    }

    pub(super) fn members(&self) -> impl Iterator<Item = &Member> {
        self.layers.values()
    }

    /// Proves the layers and makes the manifests.
    pub(super) fn verify(
        self,
        hashed: &ExaminedFiles,
        contents: &Contents,
        watch: &Watch,
    ) -> Result<ArchiveIndex, ArchiveError> {
        let (mut found, mut made_bytes) = (ArchiveIndex::default(), 0);
        for image in self.images {
            let mut layers = Vec::with_capacity(image.layers.len());
            for (name, diff_id) in &image.layers {
                let examined = of(hashed, name)?;
                if let Some(promised) = name::promised(name).filter(|promised| *promised != examined.digest) {
                    return Err(ArchiveError::wrong_digest(name, promised, examined.digest));
                }
                let Some(member) = self.layers.get(name) else {
                    return Err(ArchiveError::missing("the layer", name));
                };
                check_layer(examined, *diff_id, true, &LayerSource { member, contents, watch })?;
                let media_type = match &examined.packed {
                    None => LAYER.to_owned(),
                    Some((compression, _)) => format!("{LAYER}+{}", compression.suffix()),
                };
                layers.push(Descriptor::new(typed(&media_type)?, examined.digest, examined.size));
                found.layers.push(Layer { digest: examined.digest, diff_id: *diff_id, may_be_packed: true });
                found.blobs.insert(examined.digest, member.clone());
            }
            let config = Descriptor::new(typed(CONFIG)?, image.config_digest, image.config.size);
            let manifest = make(config, layers)?;
            made_bytes += manifest.payload.len();
            if made_bytes > MAX_MANIFEST_BYTES {
                return Err(ArchiveError::TooManyManifests);
            }
            found.blobs.insert(image.config_digest, image.config);
            found.add(image.names, manifest);
        }
        Ok(found)
    }
}

fn make(config: Descriptor, layers: Vec<Descriptor>) -> Result<Manifest, ArchiveError> {
    let name = || "the manifest made of manifest.json".to_owned();
    let made = ImageManifest { schema_version: 2, media_type: typed(IMAGE)?, config, layers };
    let payload = serde_json::to_vec(&made).map_err(|source| ArchiveError::Json { name: name(), source })?;
    if payload.len() > MAX_MANIFEST_SIZE {
        let (size, limit) = (payload.len() as u64, MAX_MANIFEST_SIZE as u64);
        return Err(ArchiveError::TooLarge { name: name(), size, limit });
    }
    Manifest::read(payload.into(), None, None)
        .map_err(|source| ArchiveError::Manifest { name: name(), source })
}

fn typed(text: &str) -> Result<MediaType, ArchiveError> {
    text.parse().map_err(|_| ArchiveError::Shape { name: text.to_owned(), expected: "media type" })
}

impl ArchiveIndex {
    /// Two images of one config are one, with both their names.
    fn add(&mut self, names: Vec<String>, manifest: Manifest) {
        let root = manifest.descriptor.clone();
        match self.images.iter_mut().find(|image| image.root.digest == root.digest) {
            Some(image) => image.names.extend(names),
            None => self.images.push(Image::of(names, root.clone())),
        }
        self.manifests.insert(root.digest, manifest);
    }
}
