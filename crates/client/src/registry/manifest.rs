//! A manifest with its exact bytes, and the descriptors in it.

use bytes::Bytes;
use overside_protocol::digest::Digest;
use overside_protocol::hash::Hasher;
use overside_protocol::manifest::{self, ManifestError};
use overside_protocol::media_type::MediaType;
use overside_protocol::wire::Descriptor;
use serde::Deserialize;

/// The manifest of an image, an index or another artifact.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Manifest {
    /// Its type, digest and size, as what refers to it has them.
    pub descriptor: Descriptor,
    /// Its exact bytes, which the digest is of.
    pub payload: Bytes,
    pub config: Option<Descriptor>,
    /// In order. Foreign ones among them, see [`is_foreign`].
    pub layers: Vec<Descriptor>,
    /// The manifests that an index lists.
    pub manifests: Vec<Descriptor>,
    /// The manifest that this one refers to as its subject.
    pub subject: Option<Descriptor>,
}

#[derive(Debug, Deserialize)]
struct Content {
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    blobs: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
    subject: Option<Descriptor>,
}

impl Manifest {
    /// Reads a manifest that was served as this type. Its digest is computed by the algorithm of `digest`, or else by SHA-256.
    ///
    /// # Errors
    /// [`ManifestError`] if the bytes are no manifest that a registry takes, or of another type than they were served as.
    pub fn read(
        payload: Bytes,
        content_type: Option<MediaType>,
        digest: Option<&Digest>,
    ) -> Result<Self, ManifestError> {
        // What a registry would refuse is refused here, in the same words.
        let checked = manifest::Manifest::read(&payload, content_type)?;
        let content: Content = serde_json::from_slice(&payload)?;
        let algorithm = digest.map(Digest::algorithm).unwrap_or_default();
        let found = Hasher::digest(algorithm, &payload);
        let descriptor = Descriptor {
            artifact_type: checked.artifact_type,
            ..Descriptor::new(checked.media_type, found, payload.len() as u64)
        };
        Ok(Self {
            descriptor,
            payload,
            config: content.config,
            layers: content.layers.into_iter().chain(content.blobs).flatten().collect(),
            manifests: content.manifests.unwrap_or_default(),
            subject: content.subject,
        })
    }

    /// Config and layers that a registry has to have before it takes the manifest.
    pub fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        self.config.iter().chain(self.layers.iter().filter(|layer| !is_foreign(&layer.media_type)))
    }
}

/// Whether a layer of this type is foreign: it may not be redistributed, and clients get it elsewhere.
#[must_use]
pub fn is_foreign(media_type: &MediaType) -> bool {
    manifest::is_foreign(media_type.as_str())
}

/// Whether something of this type is a manifest, and no blob.
#[must_use]
pub fn is_manifest(media_type: &MediaType) -> bool {
    manifest::TYPES.contains(&media_type.as_str())
}
