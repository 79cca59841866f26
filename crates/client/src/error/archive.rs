//! Why an archive cannot be read or written.

use std::fmt;
use std::path::{Path, PathBuf};

use overside_protocol::digest::{Digest, Mismatch};
use overside_protocol::manifest::ManifestError;

use super::limits::{MAX_ENTRIES, MAX_INDEX_DEPTH, MAX_LINK_HOPS, MAX_MANIFEST_BYTES};
use crate::printable::printable;

/// Why an archive is not sound. Nothing of it has been used then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    #[error("cannot {action} {}", path.display())]
    File {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{} is neither a file nor a folder", .0.display())]
    NotAFile(PathBuf),
    #[error("{} is empty; save the image again", .0.display())]
    Empty(PathBuf),
    #[error(
        "{} is no image archive: a tar, also one packed with gzip, zstd, xz or bzip2, or a folder in the OCI image layout",
        .0.display()
    )]
    NotAnArchive(PathBuf),
    #[error("{} is truncated; copy or save it again", .0.display())]
    Truncated(PathBuf),
    #[error("{} is damaged and cannot be unpacked; copy or save it again", path.display())]
    Damaged {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the tar is damaged at byte {at}: {what}")]
    Header { at: u64, what: &'static str },
    #[error("the tar has more than {MAX_ENTRIES} entries; that is no image archive")]
    TooManyEntries,
    #[error("{0} is a sparse entry; write the archive without holes, with tar's --sparse left out")]
    Sparse(String),
    #[error("the tar has {0} twice, with different content; which of them is meant cannot be told")]
    DuplicateEntry(String),
    #[error("{name} is a link to {target}, which leads out of the archive")]
    LinkOutside { name: String, target: String },
    #[error("{0} leads through more than {MAX_LINK_HOPS} links, or in a circle")]
    LinkLoop(String),
    #[error("{name} is a link to {target}, which is not in the archive")]
    LinkDangling { name: String, target: String },
    #[error("manifest.json refers to {0:?}; it may name only what is inside the archive")]
    UnsafeName(String),
    #[error("there is no image in it: neither an index.json nor a manifest.json that lists one")]
    NoImages,
    #[error("its index.json lists no image, so that there is nothing to push")]
    EmptyIndex,
    #[error("the folder {} is no OCI image layout: it has no index.json", .0.display())]
    NoIndex(PathBuf),
    #[error("index.json is there, but no oci-layout file beside it; this is no OCI image layout")]
    NoLayoutFile,
    #[error("the image layout has version {0:?}; this program knows 1.0.0")]
    LayoutVersion(String),
    #[error("{name} has {size} bytes, more than the {limit} that are taken")]
    TooLarge { name: String, size: u64, limit: u64 },
    #[error("the manifests have more than {MAX_MANIFEST_BYTES} bytes together")]
    TooManyManifests,
    #[error("{name} is not what it should be")]
    Json {
        name: String,
        #[source]
        source: serde_json::Error,
    },
    #[error("{name} is no JSON {expected}")]
    Shape { name: String, expected: &'static str },
    #[error("{name} is no manifest that a registry takes")]
    Manifest {
        name: String,
        #[source]
        source: ManifestError,
    },
    #[error("an index lists indexes that list indexes, more than {MAX_INDEX_DEPTH} deep, down to {0}")]
    TooDeep(Digest),
    #[error("{0} is not in the archive; save it with all platforms, or save one of them")]
    MissingManifest(MissingContent),
    #[error("{what} {name} is not in the archive; save the image again")]
    Missing { what: &'static str, name: String },
    #[error("{name} has {found} bytes, and {expected} by what refers to it")]
    WrongSize { name: String, expected: u64, found: u64 },
    #[error("{name} has the digest {}, not {}", .mismatch.found, .mismatch.expected)]
    WrongDigest { name: String, mismatch: Box<Mismatch> },
    #[error("the image of the config {config} has {layers} layers, but {diff_ids} diff ids")]
    DiffIdCount { config: String, layers: usize, diff_ids: usize },
    #[error("the layer {layer}, unpacked, has the digest {}, not the diff id {}", .mismatch.found, .mismatch.expected)]
    WrongDiffId { layer: String, mismatch: Box<Mismatch> },
    #[error("the layer {layer} cannot be unpacked: {reason}")]
    LayerDamaged { layer: String, reason: String },
    #[error("{} has changed since it was checked; do it again when nothing writes to it", .0.display())]
    Changed(PathBuf),
    #[error(
        "there is no room for compressed layers in {}; name another folder by $TMPDIR",
        folder.display()
    )]
    NoRoomToPack {
        folder: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("there is no blob {0} in the archive")]
    BlobUnknown(Digest),
    #[error("{} is a folder with something else in it; choose a new or an empty one", .0.display())]
    NotALayout(PathBuf),
    #[error("{} is a folder; a tar needs the name of a file", .0.display())]
    TargetIsAFolder(PathBuf),
    #[error("{0} is not written yet; the archive stays unfinished")]
    Unfinished(Digest),
}

/// A manifest or blob that an archive names and lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MissingContent {
    pub digest: Digest,
    pub is_manifest: bool,
    pub platform: Option<String>,
}

impl fmt::Display for MissingContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.is_manifest { "manifest" } else { "blob" };
        write!(f, "the {what} {}", self.digest)?;
        self.platform.as_ref().map_or(Ok(()), |platform| write!(f, " for {}", printable(platform)))
    }
}

impl ArchiveError {
    /// For `map_err`: `action` on `path` failed.
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { action, path, source }
    }

    pub(crate) fn wrong_digest(name: &str, expected: Digest, found: Digest) -> Self {
        Self::WrongDigest { name: name.to_owned(), mismatch: Box::new(Mismatch { expected, found }) }
    }

    pub(crate) fn missing(what: &'static str, name: impl Into<String>) -> Self {
        Self::Missing { what, name: name.into() }
    }
}
