//! Reads and writes the JSON files of archives that are no manifests. Reading is strict.

use overside_protocol::digest::Digest;
use overside_protocol::media_type::MediaType;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::ArchiveError;

/// What an image's config has for its type (image-spec 1.1, config.md; Docker's schema 2).
const CONFIGS: [&str; 2] =
    ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];

/// `oci-layout` (image-spec 1.1, image-layout.md).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LayoutFile {
    pub(super) image_layout_version: String,
}

pub(super) const LAYOUT_VERSION: &str = "1.0.0";

/// An image in `manifest.json` (what `docker save` writes; docker/docs, "Docker Image Specification v1.2").
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SavedImage {
    pub(super) config: String,
    pub(super) repo_tags: Option<Vec<String>>,
    pub(super) layers: Option<Vec<String>>,
}

/// An image's config, as far as its layers go.
#[derive(Debug, Deserialize)]
struct Config {
    rootfs: Option<RootFs>,
}

#[derive(Debug, Deserialize)]
struct RootFs {
    diff_ids: Option<Vec<Digest>>,
}

/// An object. serde would take an array for its fields in their order, and other readers would not.
pub(super) fn object<T: DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<T, ArchiveError> {
    starting_with(b'{', "object", name, bytes)
}

pub(super) fn array<T: DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<Vec<T>, ArchiveError> {
    starting_with(b'[', "array", name, bytes)
}

fn starting_with<T: DeserializeOwned>(
    start: u8,
    expected: &'static str,
    name: &str,
    bytes: &[u8],
) -> Result<T, ArchiveError> {
    if bytes.trim_ascii_start().first() != Some(&start) {
        return Err(ArchiveError::Shape { name: name.to_owned(), expected });
    }
    serde_json::from_slice(bytes).map_err(|source| ArchiveError::Json { name: name.to_owned(), source })
}

/// What a config says its layers are, unpacked. None if it says nothing of them.
pub(super) fn diff_ids(name: &str, config: &[u8]) -> Result<Option<Vec<Digest>>, ArchiveError> {
    let config: Config = object(name, config)?;
    Ok(config.rootfs.and_then(|rootfs| rootfs.diff_ids))
}

/// Whether a config of this type has diff ids: other artifacts' configs are theirs alone.
pub(super) fn is_image_config(media_type: &MediaType) -> bool {
    CONFIGS.contains(&media_type.as_str())
}

/// Whether a layer is encrypted: its diff id is that of the layer before it was (ocicrypt, "Image encryption").
pub(super) fn is_encrypted(media_type: &MediaType) -> bool {
    media_type.as_str().ends_with("+encrypted")
}

/// Whether this is a layer of an image's file system, and so may be packed: others have their digest as diff id.
pub(super) fn is_image_layer(media_type: &MediaType) -> bool {
    let text = media_type.as_str();
    text.starts_with("application/vnd.oci.image.layer.")
        || text.starts_with("application/vnd.docker.image.rootfs.")
}
