//! Files as an artifact: a layer for each, with what it is called in `org.opencontainers.image.title`.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::ensure;
use futures_util::stream::{StreamExt, TryStreamExt};
use overside_client::artifact::{CopyOptions, Made, Origin, Target};
use overside_client::manifest::Manifest;
use overside_client::{Blob, Content, Midstates};
use overside_protocol::wire::Descriptor;
use serde_json::json;

use super::tree::{TREE, Tree, is_plain};
use super::{Put, stream};
use crate::cli::BadUsage;
use crate::cli::artifact::Sending;
use crate::cli::pipe::is_stdio;
use crate::domain::digest::{Algorithm, Digest};
use crate::domain::hash::Hasher;
use crate::domain::manifest::IMAGE;
use crate::domain::reference::Tag;

/// For want of a better one, as other tools have it.
const ARTIFACT_TYPE: &str = "application/vnd.unknown.artifact.v1";
/// Where a layer's path is kept, by the convention of all tools for artifacts (OCI image-spec, annotations.md).
pub(in crate::cli) const TITLE: &str = "org.opencontainers.image.title";
/// Of files whose kind we do not know.
const FILE_TYPE: &str = "application/octet-stream";
/// A config that says nothing (OCI image-spec 1.1, manifest.md, "Guidance for an Empty Descriptor").
const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";
const EMPTY: &[u8] = b"{}";

/// Layers of one artifact: with some 300 bytes each the manifest stays below the 4 MiB that registries take.
const MAX_FILES: usize = 10_000;

/// A file, and what it is called in the artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Titled {
    pub title: String,
    pub path: PathBuf,
}

/// Files by the last part of their paths, or one by the title that was given.
pub(super) fn titled(files: Vec<PathBuf>, title: Option<&str>) -> Result<Vec<Titled>, BadUsage> {
    if title.is_some() && files.len() != 1 {
        return Err(BadUsage::new("--title is what one file is called; several keep their names"));
    }
    let mut seen = BTreeSet::new();
    let name = |path: PathBuf| {
        let own = path.file_name().and_then(|name| name.to_str()).filter(|_| !is_stdio(&path));
        let title = title.or(own).ok_or_else(|| {
            BadUsage::new(format!(
                "nothing says what {} is to be called; say it with --title",
                path.display()
            ))
        })?;
        if !is_plain(title) {
            return Err(BadUsage::new(format!(
                "{title:?} is no relative path, and no file could be restored as it"
            )));
        }
        if !seen.insert(title.to_owned()) {
            return Err(BadUsage::new(format!(
                "two of the files are called {title:?}; put the folder that they are in with --recursive"
            )));
        }
        Ok(Titled { title: title.to_owned(), path })
    };
    files.into_iter().map(name).collect()
}

/// Sends the files and what names them, in this order, so that the same files make the same artifact.
pub(super) async fn put(put: &Put<'_>, files: &[Titled], tree: &Tree, tag: &Tag) -> anyhow::Result<()> {
    let args = put.args;
    ensure!(files.len() <= MAX_FILES, "{} files are more than the {MAX_FILES} of an artifact", files.len());
    args.send.prepare(&put.client, &put.name.repository).await?;
    let hashing = files.iter().map(|file| async move {
        let blob = blob(put, file).await?;
        anyhow::Ok((&file.title, blob))
    });
    let hashed: Vec<_> =
        futures_util::stream::iter(hashing).buffered(put.options.lanes.count()).try_collect().await?;

    let mut made = Made::default();
    let empty = Hasher::digest(Algorithm::Sha256, EMPTY);
    let content = Content::Bytes(EMPTY.into());
    made.blobs.insert(empty, Blob { content, digest: empty, midstates: Midstates::default() });
    let mut layers = Vec::with_capacity(hashed.len());
    for (title, (digest, size, blob)) in hashed {
        let annotations = Some(json!({ TITLE: title }));
        layers.push(Descriptor { annotations, ..Descriptor::new(FILE_TYPE.parse()?, digest, size) });
        made.blobs.extend(blob.map(|blob| (digest, blob)));
    }
    let artifact_type = args.artifact_type.as_ref().map_or(ARTIFACT_TYPE, |given| given.as_str());
    let manifest = manifest(artifact_type, &empty, &layers, tree)?;
    made.manifests.insert(manifest.descriptor.digest, manifest.clone());

    let target = Target {
        client: put.client.clone(),
        repository: put.name.repository.clone(),
        tag: Some(tag.clone()),
    };
    let options = CopyOptions { put: put.options.clone(), replace_tag: true, ..CopyOptions::default() };
    let sending = Sending { display: &put.display, output: args.output, args: &args.send, before: None };
    sending.send(&Origin::Made(Arc::new(made)), &manifest, &target, &options, &put.name).await
}

/// A file's digest and size. Standard input cannot be read twice, and so is there by then.
async fn blob(put: &Put<'_>, file: &Titled) -> anyhow::Result<(Digest, u64, Option<Blob>)> {
    if is_stdio(&file.path) {
        let sent = stream::put(put).await?;
        return Ok((sent.digest, sent.size, None));
    }
    let blob = Blob::of_file(
        &file.path,
        put.options.hashes.as_ref(),
        &put.display.progress().of(file.title.clone()),
    )
    .await?;
    Ok((blob.digest, blob.size(), Some(blob)))
}

fn manifest(
    artifact_type: &str,
    empty: &Digest,
    layers: &[Descriptor],
    tree: &Tree,
) -> anyhow::Result<Manifest> {
    let config = Descriptor::new(EMPTY_TYPE.parse()?, *empty, EMPTY.len() as u64);
    let mut manifest = json!({
        "schemaVersion": 2,
        "mediaType": IMAGE,
        "artifactType": artifact_type,
        "config": config,
        "layers": layers,
    });
    if !tree.is_empty() {
        manifest["annotations"] = json!({ TREE: serde_json::to_string(tree)? });
    }
    Ok(Manifest::read(manifest.to_string().into(), None, None)?)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that meets an error here has failed")]
mod tests {
    use super::*;

    #[test]
    fn the_same_files_make_the_same_artifact() {
        let layer = Descriptor::new(FILE_TYPE.parse().unwrap(), Digest::EMPTY, 0);
        let make =
            || manifest("a/b", &Digest::EMPTY, std::slice::from_ref(&layer), &Tree::default()).unwrap();
        assert_eq!(make().payload, make().payload);
        assert_eq!(make().descriptor.artifact_type, "a/b".parse().ok());
    }

    #[test]
    fn files_keep_their_names_unless_one_is_given() {
        let title = |files: &[&str], title| {
            let files = titled(files.iter().map(PathBuf::from).collect(), title)
                .map_err(|error| error.to_string())?;
            Ok::<_, String>(files.into_iter().map(|file| file.title).collect::<Vec<_>>())
        };
        assert_eq!(title(&["data/a", "b"], None).unwrap(), ["a", "b"]);
        assert_eq!(title(&["-"], Some("dump.sql")).unwrap(), ["dump.sql"]);
        assert_eq!(title(&["a"], Some("day 1/b")).unwrap(), ["day 1/b"]);
        for (files, given, told) in [
            (&["-"][..], None, "--title"),
            (&["a", "b"], Some("c"), "one file"),
            (&["a/x", "b/x"], None, "two of the files"),
            (&["a"], Some("../up"), "no relative path"),
            (&["a/.."], None, "--title"),
        ] {
            assert!(title(files, given).unwrap_err().contains(told), "{files:?}");
        }
    }
}
