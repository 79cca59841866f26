//! The files of an artifact, by the titles of its layers. Titles are a stranger's text: none leads out of the folder.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use overside_client::manifest::Manifest;
use overside_client::{Client, Error, FileSource, Progress, printable};
use overside_protocol::wire::Descriptor;
use serde_json::json;

use super::{GetArgs, tree};
use crate::cli::pipe::is_stdio;
use crate::cli::progress::Display;
use crate::cli::put::{TITLE, is_plain};
use crate::domain::reference::Reference;

pub(super) async fn artifact(
    args: &GetArgs,
    client: &Client,
    reference: &Reference,
    display: &Display,
) -> anyhow::Result<()> {
    let repository = &args.name.repository;
    let manifest = client.manifest(repository, reference).await?;
    let manifest = match (manifest, reference) {
        (Some(manifest), _) => manifest,
        (None, Reference::Digest(digest)) => return Err(Error::BlobUnknown(*digest).into()),
        (None, tag) => return Err(Error::ManifestUnknown(tag.clone()).into()),
    };
    let files = files(&manifest)?;
    let tree = tree::of(&manifest, &files)?;
    ensure!(
        !files.is_empty() || !tree.is_empty(),
        "its layers have no titles, so they are no files; an image is pulled with `overside pull`"
    );
    if is_stdio(&args.target) {
        let mut only = files.values();
        let (Some(layer), None) = (only.next(), only.next()) else {
            bail!("it has {} files, and standard output takes one; name a folder with -o", files.len());
        };
        return super::to_stdout(args, client, &layer.digest, display).await;
    }
    let progress = display.progress();
    let lanes = args.transfer.lanes();
    let fetching = files.iter().map(|(title, layer)| {
        let progress = progress.of(title.clone());
        async move { fetch(args, client, &args.target.join(title), layer, &progress).await }
    });
    stream::iter(fetching).buffer_unordered(lanes.count()).try_collect::<()>().await?;
    tree::restore(&args.target, &tree, &files).await?;
    display.finish();
    for (title, layer) in &files {
        let file = args.target.join(title);
        if args.output.json {
            let (digest, size) = (layer.digest, layer.size);
            say!("{}", json!({ "event": "result", "digest": digest, "size": size, "file": file }));
        } else {
            say!("{} {} {}", layer.digest, layer.size, printable(&file.display().to_string()));
        }
    }
    Ok(())
}

async fn fetch(
    args: &GetArgs,
    client: &Client,
    file: &Path,
    layer: &Descriptor,
    progress: &Progress,
) -> anyhow::Result<()> {
    // What an earlier run has finished is proven again, but not fetched again.
    if let Ok(source) = FileSource::open(file).await
        && source.size() == layer.size
        && source.hash(progress).await.is_ok_and(|hashed| hashed.digest == layer.digest)
    {
        return Ok(());
    }
    let folder = file.parent().unwrap_or(&args.target);
    stays_inside(&args.target, folder).await?;
    tokio::fs::create_dir_all(folder).await.with_context(|| format!("cannot create {}", folder.display()))?;
    client.download(&args.name.repository, &layer.digest, file, progress).await?;
    Ok(())
}

/// Every layer that has a title, each once.
fn files(manifest: &Manifest) -> anyhow::Result<BTreeMap<String, Descriptor>> {
    ensure!(
        manifest.manifests.is_empty(),
        "it is an index of several manifests; pull it with `overside pull`, or name one of them by its digest"
    );
    let mut files = BTreeMap::new();
    for layer in &manifest.layers {
        let Some(title) = layer.annotation(TITLE) else { continue };
        if !is_plain(title) {
            bail!("a layer calls itself {title:?}, which would lead out of the folder; nothing was fetched");
        }
        if files.insert(title.to_owned(), layer.clone()).is_some_and(|other| other.digest != layer.digest) {
            bail!("two layers call themselves {title:?}; nothing was fetched");
        }
    }
    Ok(files)
}

/// A link in the folder may lead elsewhere, whoever put it there. As far as `folder` is there it decides: below that
/// nothing is made before.
pub(super) async fn stays_inside(root: &Path, folder: &Path) -> anyhow::Result<()> {
    tokio::fs::create_dir_all(root).await.with_context(|| format!("cannot create {}", root.display()))?;
    let root = tokio::fs::canonicalize(root).await?;
    for ancestor in folder.ancestors() {
        // A link that leads nowhere cannot be made a folder.
        let Ok(there) = tokio::fs::canonicalize(ancestor).await else { continue };
        ensure!(
            there.starts_with(&root),
            "{} is outside of {}: a link leads to {}",
            folder.display(),
            root.display(),
            there.display()
        );
        break;
    }
    Ok(())
}
