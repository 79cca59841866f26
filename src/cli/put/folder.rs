//! A folder as an artifact: a layer for each file, with its path in `org.opencontainers.image.title`.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use futures_util::stream::{StreamExt, TryStreamExt};
use serde_json::json;

use super::Put;
use crate::cli::BadUsage;
use crate::cli::artifact::Sending;
use crate::client::copy::{CopyOptions, Made, Origin, Target};
use crate::client::manifest::Manifest;
use crate::client::{Blob, Content, Midstates};
use crate::domain::digest::{Algorithm, Digest};
use crate::domain::hash::Hasher;
use crate::domain::manifest::IMAGE;
use crate::domain::reference::Reference;
use crate::http::wire::Descriptor;

/// For want of a better one, as other tools have it.
pub(super) const ARTIFACT_TYPE: &str = "application/vnd.unknown.artifact.v1";
/// Where a layer's path is kept, by the convention of all tools for artifacts (OCI image-spec, annotations.md).
pub(in crate::cli) const TITLE: &str = "org.opencontainers.image.title";
/// Of files whose kind we do not know.
const FILE_TYPE: &str = "application/octet-stream";
/// A config that says nothing (OCI image-spec 1.1, manifest.md, "Guidance for an Empty Descriptor").
const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";
const EMPTY: &[u8] = b"{}";
/// Layers of one artifact: with some 300 bytes each the manifest stays below the 4 MiB that registries take.
const MAX_FILES: usize = 10_000;

pub(super) async fn put(put: &Put<'_>, folder: &Path) -> anyhow::Result<()> {
    let args = put.args;
    let tag = match put.name.reference_or_latest()? {
        Reference::Tag(tag) => tag,
        Reference::Digest(_) => {
            return Err(BadUsage::new("the artifact gets its digest from its files; name it by a tag").into());
        }
    };
    let (owned, files) = (folder.to_owned(), tokio::task::spawn_blocking);
    let files =
        files(move || list(&owned)).await?.with_context(|| format!("cannot list {}", folder.display()))?;
    if files.is_empty() {
        bail!("{} has no files", folder.display());
    }
    if files.len() > MAX_FILES {
        bail!("{} has {} files; an artifact can have {MAX_FILES}", folder.display(), files.len());
    }
    let progress = put.display.progress();
    let hashing = files.iter().map(|title| {
        let progress = progress.of(title.clone());
        async move { anyhow::Ok((title, Blob::of_file(&folder.join(title), &progress).await?)) }
    });
    // In order, so that the same files make the same artifact.
    let hashed: Vec<_> =
        futures_util::stream::iter(hashing).buffered(put.options.lanes.count()).try_collect().await?;

    let mut made = Made::default();
    let empty = Hasher::digest(Algorithm::Sha256, EMPTY);
    let content = Content::Bytes(EMPTY.into());
    made.blobs.insert(empty, Blob { content, digest: empty, midstates: Midstates::default() });
    let mut layers = Vec::with_capacity(hashed.len());
    for (title, blob) in hashed {
        let annotations = Some(json!({ TITLE: title }));
        let descriptor = Descriptor::new(FILE_TYPE.parse()?, blob.digest, blob.size());
        layers.push(Descriptor { annotations, ..descriptor });
        made.blobs.insert(blob.digest, blob);
    }
    let manifest = manifest(args.artifact_type.as_str(), &empty, &layers)?;
    let digest = manifest.descriptor.digest;
    made.manifests.insert(digest, manifest.clone());

    args.send.prepare(&put.client, &put.name.repository).await?;
    let target =
        Target { client: put.client.clone(), repository: put.name.repository.clone(), tag: Some(tag) };
    let options = CopyOptions { put: put.options.clone(), replace_tag: true, ..CopyOptions::default() };
    let sending = Sending { display: &put.display, output: args.output, args: &args.send };
    sending.send(&Origin::Made(Arc::new(made)), &manifest, &target, &options, &put.name).await
}

fn manifest(artifact_type: &str, empty: &Digest, layers: &[Descriptor]) -> anyhow::Result<Manifest> {
    let config = Descriptor::new(EMPTY_TYPE.parse()?, *empty, EMPTY.len() as u64);
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": IMAGE,
        "artifactType": artifact_type,
        "config": config,
        "layers": layers,
    });
    Ok(Manifest::read(manifest.to_string().into(), None, None)?)
}

/// The files below a folder, by their paths from there with slashes, in order. Links are followed to files only: one
/// to a folder could lead in a circle.
fn list(folder: &Path) -> anyhow::Result<Vec<String>> {
    let (mut files, mut folders) = (Vec::new(), vec![String::new()]);
    while let Some(below) = folders.pop() {
        for entry in std::fs::read_dir(folder.join(&below))? {
            let entry = entry?;
            let Some(name) = entry.file_name().to_str().map(str::to_owned) else {
                bail!("{} has a name that is not UTF-8, which no artifact can keep", entry.path().display());
            };
            let path = if below.is_empty() { name } else { format!("{below}/{name}") };
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() || std::fs::metadata(entry.path()).is_ok_and(|target| target.is_file()) {
                files.push(path);
            } else {
                bail!("{path} is neither a file nor a folder; take it away or upload the files one by one");
            }
        }
    }
    files.sort_unstable();
    Ok(files)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that meets an error here has failed")]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_listed_in_order_with_slashes() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("b/c")).unwrap();
        for name in ["z", "b/c/x", "b/a"] {
            std::fs::write(folder.path().join(name), name).unwrap();
        }
        assert_eq!(list(folder.path()).unwrap(), ["b/a", "b/c/x", "z"]);
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink("nowhere", folder.path().join("dangling")).unwrap();
            assert!(list(folder.path()).unwrap_err().to_string().contains("dangling"));
        }
    }

    #[test]
    fn the_same_files_make_the_same_artifact() {
        let layer = Descriptor::new(FILE_TYPE.parse().unwrap(), Digest::EMPTY, 0);
        let make = || manifest("a/b", &Digest::EMPTY, std::slice::from_ref(&layer)).unwrap();
        assert_eq!(make().payload, make().payload);
        assert_eq!(make().descriptor.artifact_type, "a/b".parse().ok());
    }
}
