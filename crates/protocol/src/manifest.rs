//! Manifests: what there is to know of one without its blobs (OCI image-spec 1.1, manifest.md and image-index.md;
//! Docker's schema 2 and manifest lists have the same shape).
//!
//! The exact bytes are kept elsewhere. What is read of them here is what a registry needs: which blobs and manifests
//! must be there, which manifest this one is about, and what a list of referrers tells of it.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::digest::Digest;
use crate::media_type::MediaType;

/// Largest manifest taken, in bytes: what every registry should take (OCI distribution 1.1.1, "Pushing manifests").
pub const MAX_MANIFEST_SIZE: usize = 4 * 1024 * 1024;

pub const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
/// Also the type of a list of referrers.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const DOCKER_IMAGE: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Every type of manifest that is known by name.
pub const TYPES: [&str; 4] = [IMAGE, INDEX, DOCKER_IMAGE, DOCKER_LIST];

/// What a manifest says of itself and of others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    pub media_type: MediaType,
    /// As a referrer's descriptor tells it: `artifactType`, or else the type of the config.
    pub artifact_type: Option<MediaType>,
    pub annotations: BTreeMap<String, String>,
    /// The manifest that this one is about. It need not be there.
    pub subject: Option<Digest>,
    /// Config and layers.
    pub blobs: BTreeSet<Digest>,
    /// Layers that clients get elsewhere; they may be here as well.
    pub foreign_blobs: BTreeSet<Digest>,
    /// What an index lists: manifests, and blobs where a build keeps its cache in one.
    pub manifests: BTreeSet<Digest>,
}

/// Why bytes are not a manifest that is taken.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    #[error("the manifest: {0}")]
    Malformed(#[from] serde_json::Error),
    #[error("a manifest is a JSON object")]
    NoObject,
    #[error("the manifest's mediaType is {field}, its Content-Type {header}; they have to be the same")]
    OtherMediaType { field: MediaType, header: MediaType },
    #[error(
        "{0} is no type of a manifest: push it with the Content-Type, and the mediaType, of what it is, such as {IMAGE}"
    )]
    NotOfManifests(MediaType),
    #[error("the manifest has both layers and manifests; it can be an image or an index, not both")]
    Ambiguous,
    #[error("the manifest has no {0}, which its media type requires")]
    Lacks(&'static str),
    #[error("the manifest has none of config, layers, blobs, manifests and subject")]
    Shapeless,
    #[error("schemaVersion is {0}; this registry takes version 2")]
    SchemaVersion(i64),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Content {
    schema_version: Option<i64>,
    #[serde(default, deserialize_with = "unless_empty")]
    media_type: Option<MediaType>,
    #[serde(default, deserialize_with = "unless_empty")]
    artifact_type: Option<MediaType>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    /// Of the artifact manifest that the release candidates of OCI 1.1 had.
    blobs: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
    subject: Option<Descriptor>,
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    /// Text: it decides nothing here that a malformed one could spoil.
    #[serde(default)]
    media_type: String,
    digest: Digest,
    #[expect(dead_code, reason = "a descriptor without a size is none")]
    size: u64,
}

/// "Empty or missing" is one thing to the specification (OCI distribution 1.1.1, "Listing Referrers"), and to clients
/// that write every field they have.
fn unless_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<MediaType>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?.filter(|text| !text.is_empty());
    text.map(|text| text.parse().map_err(D::Error::custom)).transpose()
}

/// Layers that may not be redistributed: "foreign" is Docker's word, "nondistributable" OCI's.
#[must_use]
pub fn is_foreign(media_type: &str) -> bool {
    media_type.starts_with("application/vnd.docker.image.rootfs.foreign.")
        || media_type.starts_with("application/vnd.oci.image.layer.nondistributable.")
}

impl Manifest {
    /// Reads a manifest that came with this `Content-Type`.
    ///
    /// # Errors
    ///
    /// Why it is no manifest: each variant of [`ManifestError`] is one reason.
    pub fn read(payload: &[u8], content_type: Option<MediaType>) -> Result<Self, ManifestError> {
        // serde would take an array for the fields in their order, and other readers would not.
        if payload.trim_ascii_start().first() != Some(&b'{') {
            return Err(ManifestError::NoObject);
        }
        let content: Content = serde_json::from_slice(payload)?;
        let media_type = content.media_type(content_type)?;
        if !media_type.is_of_manifests() {
            return Err(ManifestError::NotOfManifests(media_type));
        }
        content.check(&media_type)?;
        let config_type = content.config.as_ref().and_then(|config| config.media_type.parse().ok());
        let layers = content.layers.into_iter().chain(content.blobs).flatten();
        let (foreign, layers): (Vec<_>, Vec<_>) =
            layers.partition(|layer: &Descriptor| is_foreign(&layer.media_type));
        let digests = |descriptors: Vec<Descriptor>| descriptors.into_iter().map(|layer| layer.digest);
        Ok(Self {
            media_type,
            artifact_type: content.artifact_type.or(config_type),
            annotations: content.annotations.unwrap_or_default(),
            subject: content.subject.map(|subject| subject.digest),
            blobs: content.config.map(|config| config.digest).into_iter().chain(digests(layers)).collect(),
            foreign_blobs: digests(foreign).collect(),
            manifests: digests(content.manifests.unwrap_or_default()).collect(),
        })
    }
}

impl Content {
    /// What the manifest says itself, and has to agree with what it came as. Where neither says anything, its shape.
    fn media_type(&self, header: Option<MediaType>) -> Result<MediaType, ManifestError> {
        match (self.media_type.clone(), header) {
            (Some(field), Some(header)) if field != header => {
                Err(ManifestError::OtherMediaType { field, header })
            }
            (Some(known), _) | (None, Some(known)) => Ok(known),
            (None, None) => {
                let guess = if self.manifests.is_some() { INDEX } else { IMAGE };
                guess.parse().map_err(|_| ManifestError::Lacks("mediaType"))
            }
        }
    }

    fn check(&self, media_type: &MediaType) -> Result<(), ManifestError> {
        let lacks = |is_there: bool, name| if is_there { Ok(()) } else { Err(ManifestError::Lacks(name)) };
        if let Some(version) = self.schema_version.filter(|version| *version != 2) {
            return Err(ManifestError::SchemaVersion(version));
        }
        // Two clients could take it for two different things (GHSA-qq97-vm5h-rrhg).
        if self.manifests.is_some()
            && (self.layers.is_some() || self.config.is_some() || self.blobs.is_some())
        {
            return Err(ManifestError::Ambiguous);
        }
        match media_type.as_str() {
            IMAGE | DOCKER_IMAGE => {
                lacks(self.schema_version.is_some(), "schemaVersion")?;
                lacks(self.config.is_some(), "config")
            }
            INDEX | DOCKER_LIST => {
                lacks(self.schema_version.is_some(), "schemaVersion")?;
                // An index that lists nothing has no list, or `null`, where Go writes an empty one.
                let is_other = self.config.is_some() || self.layers.is_some() || self.blobs.is_some();
                lacks(!is_other, "manifests")
            }
            _ if self.config.is_some()
                || self.layers.is_some()
                || self.blobs.is_some()
                || self.manifests.is_some()
                || self.subject.is_some() =>
            {
                Ok(())
            }
            _ => Err(ManifestError::Shapeless),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn digest(byte: u8) -> Digest {
        Digest::from_sha256([byte; 32])
    }

    fn descriptor(media_type: &str, byte: u8) -> Value {
        json!({ "mediaType": media_type, "digest": digest(byte), "size": 1 })
    }

    fn read(manifest: &Value, content_type: Option<&str>) -> Result<Manifest, String> {
        let content_type = content_type.and_then(|text| text.parse().ok());
        Manifest::read(manifest.to_string().as_bytes(), content_type).map_err(|error| error.to_string())
    }

    proptest! {
        #[test]
        fn reading_any_bytes_never_panics(bytes: Vec<u8>, text in ".{0,80}") {
            let _ = Manifest::read(&bytes, None);
            let _ = Manifest::read(text.as_bytes(), None);
        }
    }

    #[test]
    fn an_image_needs_its_config_and_its_layers_and_not_the_foreign_ones() {
        let image = json!({
            "schemaVersion": 2,
            "config": descriptor("application/vnd.example.config+json", 1),
            "layers": [
                descriptor("application/vnd.oci.image.layer.v1.tar", 2),
                descriptor("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", 3),
                descriptor("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", 4),
            ],
            "subject": descriptor(IMAGE, 5),
            "annotations": { "a": "b" },
        });
        let manifest = read(&image, None).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(manifest.media_type.as_str(), IMAGE);
        assert_eq!(
            manifest.artifact_type.as_ref().map(MediaType::as_str),
            Some("application/vnd.example.config+json")
        );
        assert_eq!(manifest.blobs, BTreeSet::from([digest(1), digest(2)]));
        assert_eq!(manifest.foreign_blobs, BTreeSet::from([digest(3), digest(4)]));
        assert_eq!((manifest.subject, manifest.manifests.len()), (Some(digest(5)), 0));
        assert_eq!(manifest.annotations, BTreeMap::from([("a".to_owned(), "b".to_owned())]));
    }

    #[test]
    fn an_index_needs_its_manifests_and_nothing_else() {
        let index = json!({
            "schemaVersion": 2, "mediaType": INDEX, "artifactType": "a/b", "manifests": [descriptor(IMAGE, 1)],
        });
        let manifest = read(&index, Some(INDEX)).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(manifest.manifests, BTreeSet::from([digest(1)]));
        assert_eq!((manifest.blobs.len(), manifest.artifact_type), (0, "a/b".parse().ok()));
        assert!(read(&json!({ "schemaVersion": 2, "manifests": [] }), None).is_ok());
    }

    #[test]
    fn an_empty_type_is_none() {
        let config = descriptor("x/y", 1);
        let image = json!({ "schemaVersion": 2, "mediaType": "", "artifactType": "", "config": config });
        let manifest = read(&image, None).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((manifest.media_type.as_str(), manifest.artifact_type), (IMAGE, "x/y".parse().ok()));
        for empty in [
            json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": null }),
            json!({ "schemaVersion": 2, "mediaType": INDEX }),
            json!({ "schemaVersion": 2, "mediaType": DOCKER_LIST }),
        ] {
            assert_eq!(read(&empty, None).map(|index| index.manifests.len()).ok(), Some(0), "{empty}");
        }
        let null = json!({ "schemaVersion": 2, "mediaType": null, "artifactType": null, "manifests": [] });
        assert_eq!(read(&null, None).map(|manifest| manifest.artifact_type), Ok(None));
        assert!(read(&json!({ "schemaVersion": 2, "artifactType": " ", "manifests": [] }), None).is_err());
    }

    #[test]
    fn types_that_nobody_here_knows_are_taken_if_they_have_the_shape() {
        let artifact = json!({ "blobs": [descriptor("a/b", 1)], "artifactType": "x/y" });
        let manifest = read(&artifact, Some("application/vnd.example.manifest+json"));
        assert_eq!(manifest.map(|manifest| manifest.blobs), Ok(BTreeSet::from([digest(1)])));
        assert!(read(&json!({ "a": 1 }), Some("application/json")).is_err());
    }

    #[test]
    fn what_is_no_manifest_is_refused_with_the_reason() {
        let config = descriptor("a/b", 1);
        let refused = |manifest: Value, content_type: Option<&str>, reason: &str| {
            let refused = read(&manifest, content_type);
            assert!(refused.as_ref().is_err_and(|told| told.contains(reason)), "{reason}: {refused:?}");
        };
        refused(json!([]), None, "JSON object");
        for page in ["text/html", "image/svg+xml"] {
            refused(json!({ "config": config }), Some(page), "no type of a manifest");
            refused(json!({ "mediaType": page, "config": config }), None, "no type of a manifest");
        }
        refused(json!({ "schemaVersion": 1, "config": config }), None, "version 2");
        refused(json!({ "config": config }), None, "no schemaVersion");
        refused(json!({ "schemaVersion": 2, "layers": [] }), None, "no config");
        refused(json!({ "schemaVersion": 2, "mediaType": INDEX, "layers": [] }), None, "has no manifests");
        refused(json!({ "schemaVersion": 2, "layers": [], "manifests": [] }), None, "not both");
        refused(json!({ "schemaVersion": 2, "mediaType": IMAGE, "config": config }), Some(INDEX), "the same");
        refused(json!({ "schemaVersion": 2, "config": { "digest": digest(1) } }), None, "size");
        refused(
            json!({ "schemaVersion": 2, "config": { "digest": "md5:ab", "size": 1 } }),
            None,
            "not supported",
        );
        let twice = br#"{"schemaVersion":2,"manifests":[],"manifests":[]}"#;
        assert!(Manifest::read(twice, None).is_err_and(|error| error.to_string().contains("duplicate")));
    }
}
