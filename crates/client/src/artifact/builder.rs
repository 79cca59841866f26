//! Builds an artifact of files: a layer for each, with its title in an annotation.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use overside_protocol::digest::Digest;
use overside_protocol::manifest::IMAGE;
use overside_protocol::media_type::MediaType;
use overside_protocol::wire::Descriptor;
use serde_json::json;

use super::folder::Folder;
use super::folder_tree::{ANNOTATION, FolderTree};
use super::title::{TITLE, Title};
use crate::error::{ArchiveError, FolderError};
use crate::progress::{Progress, reports_events};
use crate::registry::manifest::Manifest;
use crate::upload::blob::Blob;
use crate::upload::concurrency::ConcurrencyLimit;
use crate::{Error, HashCache, Result};

/// The artifact type where none is given, as other tools have it.
pub const DEFAULT_TYPE: &str = "application/vnd.unknown.artifact.v1";
/// The media type of files whose kind is not known.
const FILE_TYPE: &str = "application/octet-stream";
/// A config that says nothing (OCI image-spec 1.1, manifest.md, "Guidance for an Empty Descriptor").
const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";
const EMPTY: &[u8] = b"{}";

/// Layers of one artifact: with some 300 bytes each the manifest stays below the 4 MiB that registries take.
const MAX_FILES: usize = 10_000;

/// Collects files for an artifact. The same files in the same order make the same artifact.
#[derive(Debug, Default)]
#[must_use = "nothing is read before `build`"]
pub struct ArtifactBuilder {
    artifact_type: Option<MediaType>,
    files: Vec<(Title, Source)>,
    tree: FolderTree,
    hashes: Option<HashCache>,
    limit: ConcurrencyLimit,
    progress: Progress,
}

#[derive(Debug)]
enum Source {
    File(PathBuf),
    Uploaded { digest: Digest, size: u64 },
}

/// An artifact whose files are hashed: its manifest, and the blobs that the manifest names.
#[derive(Debug)]
pub struct BuiltArtifact {
    pub(super) manifest: Manifest,
    pub(super) blobs: HashMap<Digest, Blob>,
}

reports_events!(ArtifactBuilder);

impl ArtifactBuilder {
    /// Gives the artifact this type instead of [`DEFAULT_TYPE`].
    pub fn artifact_type(mut self, artifact_type: impl Into<Option<MediaType>>) -> Self {
        self.artifact_type = artifact_type.into();
        self
    }

    /// Adds a file.
    pub fn file(mut self, title: Title, path: impl Into<PathBuf>) -> Self {
        self.files.push((title, Source::File(path.into())));
        self
    }

    /// Adds a blob that the repository has already, such as a stream that was uploaded.
    pub fn uploaded(mut self, title: Title, digest: Digest, size: u64) -> Self {
        self.files.push((title, Source::Uploaded { digest, size }));
        self
    }

    /// Adds a folder: its files, links, modes and empty folders.
    pub fn folder(mut self, folder: Folder) -> Self {
        let Folder { path, files, tree, .. } = folder;
        self.files.extend(files.into_iter().map(|title| {
            let path = path.join(title.as_str());
            (title, Source::File(path))
        }));
        self.tree = tree;
        self
    }

    /// Takes the digests of files that have not changed from this cache.
    pub fn hash_cache(mut self, cache: impl Into<Option<HashCache>>) -> Self {
        self.hashes = cache.into();
        self
    }

    /// Hashes so many files at a time: 4 by default.
    pub fn jobs(mut self, limit: impl Into<ConcurrencyLimit>) -> Self {
        self.limit = limit.into();
        self
    }

    /// Hashes the files, and makes the manifest.
    ///
    /// # Errors
    /// [`Error::Folder`] if there are more files than a manifest can name or two have one title, and as
    /// [`Blob::from_file`] for each file.
    pub async fn build(self) -> Result<BuiltArtifact> {
        let count = self.files.len();
        if count > MAX_FILES {
            return Err(FolderError::TooManyFiles(count, MAX_FILES).into());
        }
        let mut titles = HashSet::new();
        if let Some((title, _)) = self.files.iter().find(|(title, _)| !titles.insert(title.as_str())) {
            return Err(FolderError::SameTitle(title.to_string()).into());
        }
        let empty = Blob::from_bytes(EMPTY);
        let (config, mut blobs) = (empty.digest, HashMap::from([(empty.digest, empty)]));
        let hashing = self.files.iter().map(async |(title, source)| match source {
            Source::Uploaded { digest, size } => Ok((title, *digest, *size, None)),
            Source::File(path) => {
                let progress = self.progress.of(title.as_str());
                let blob = Blob::from_file(path, self.hashes.as_ref(), &progress).await?;
                Ok::<_, Error>((title, blob.digest, blob.size(), Some(blob)))
            }
        });
        let hashed: Vec<_> = stream::iter(hashing).buffered(self.limit.jobs()).try_collect().await?;
        let mut layers = Vec::with_capacity(count);
        for (title, digest, size, blob) in hashed {
            let annotations = Some(json!({ TITLE: title.as_str() }));
            layers.push(Descriptor { annotations, ..Descriptor::new(media_type(FILE_TYPE)?, digest, size) });
            blobs.extend(blob.map(|blob| (digest, blob)));
        }
        let artifact_type = self.artifact_type.as_ref().map_or(DEFAULT_TYPE, MediaType::as_str);
        Ok(BuiltArtifact { manifest: manifest(artifact_type, config, &layers, &self.tree)?, blobs })
    }
}

fn manifest(
    artifact_type: &str,
    config: Digest,
    layers: &[Descriptor],
    tree: &FolderTree,
) -> Result<Manifest> {
    let name = || "the manifest made of the files".to_owned();
    let config = Descriptor::new(media_type(EMPTY_TYPE)?, config, EMPTY.len() as u64);
    let mut manifest = json!({
        "schemaVersion": 2,
        "mediaType": IMAGE,
        "artifactType": artifact_type,
        "config": config,
        "layers": layers,
    });
    if !tree.is_empty() {
        let tree =
            serde_json::to_string(tree).map_err(|source| ArchiveError::Json { name: name(), source })?;
        manifest["annotations"] = json!({ ANNOTATION: tree });
    }
    let read = Manifest::read(manifest.to_string().into(), None, None);
    read.map_err(|source| ArchiveError::Manifest { name: name(), source }.into())
}

fn media_type(text: &str) -> Result<MediaType> {
    let shape = |_| ArchiveError::Shape { name: text.to_owned(), expected: "media type" };
    Ok(text.parse().map_err(shape)?)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that meets an error here has failed")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_same_files_make_the_same_artifact() {
        let build = || async {
            let builder = ArtifactBuilder::default().artifact_type("a/b".parse::<MediaType>().unwrap());
            builder.uploaded("x/y".parse().unwrap(), Digest::EMPTY, 0).build().await.unwrap().manifest
        };
        let (first, second) = (build().await, build().await);
        assert_eq!(first.payload, second.payload);
        assert_eq!(first.descriptor.artifact_type, "a/b".parse().ok());
        assert_eq!(first.layers[0].annotation(TITLE), Some("x/y"));
    }

    #[tokio::test]
    async fn two_files_of_one_title_are_refused() {
        let title: Title = "a".parse().unwrap();
        let builder = ArtifactBuilder::default().file(title.clone(), "x/a").file(title, "y/a");
        let error = builder.build().await.unwrap_err();
        assert!(matches!(error, Error::Folder(FolderError::SameTitle(_))), "{error}");
    }
}
