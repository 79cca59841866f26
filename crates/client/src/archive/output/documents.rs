//! Writes the JSON files that list what is in an archive.

use std::collections::HashSet;

use overside_protocol::manifest::INDEX;
use serde::Serialize;
use serde_json::{Value, json};

use super::{Bundle, ImageName};
use crate::archive::json::{LAYOUT_VERSION, is_image_config, is_image_layer};
use crate::archive::name;
use crate::archive::oci::{IMAGE_NAME, REFERENCE_NAME};
use crate::registry::manifest::Manifest;

/// An image in `manifest.json`. Docker's reader wants these fields, and ignores others.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct SavedImage {
    config: String,
    repo_tags: Vec<String>,
    layers: Vec<String>,
}

pub(super) fn layout_file() -> Vec<u8> {
    json!({ "imageLayoutVersion": LAYOUT_VERSION }).to_string().into_bytes()
}

/// What an index tells of the root.
pub(super) fn entry(root: &Manifest, name: Option<&ImageName>) -> Value {
    let mut entry = json!(root.descriptor);
    if let Some(name) = name {
        entry["annotations"] = json!({ REFERENCE_NAME: name.tag.as_str(), IMAGE_NAME: name.to_string() });
    }
    entry
}

pub(super) fn index(entries: &[Value]) -> Vec<u8> {
    json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": entries }).to_string().into_bytes()
}

/// `manifest.json`, if Docker could load an image of the bundle.
pub(super) fn saved_images(bundle: &Bundle) -> Option<Vec<u8>> {
    let blobs: HashSet<_> = bundle.blobs.iter().map(|blob| blob.digest).collect();
    let manifests = std::iter::once(&bundle.root).chain(&bundle.below);
    let is_whole = |manifest: &&Manifest| {
        let parts = manifest.config.iter().chain(&manifest.layers);
        parts.map(|part| &part.digest).all(|digest| blobs.contains(digest))
    };
    let mut images: Vec<_> = manifests.filter(is_whole).filter_map(saved_image).collect();
    // The first: a name given to several would go to the last of them.
    images.first_mut()?.repo_tags.extend(bundle.name.as_ref().map(ImageName::to_string));
    serde_json::to_vec(&images).ok()
}

/// None for what is no image: indexes, artifacts and attestations.
fn saved_image(manifest: &Manifest) -> Option<SavedImage> {
    let config = manifest.config.as_ref().filter(|config| is_image_config(&config.media_type))?;
    let has_file_system = manifest.layers.iter().all(|layer| is_image_layer(&layer.media_type));
    has_file_system.then(|| SavedImage {
        config: name::of_blob(&config.digest),
        repo_tags: Vec::new(),
        layers: manifest.layers.iter().map(|layer| name::of_blob(&layer.digest)).collect(),
    })
}
