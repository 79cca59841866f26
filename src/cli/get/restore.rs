//! The files of an artifact, into a folder or to standard output.

use anyhow::bail;
use overside_client::artifact::ArtifactFiles;
use overside_client::{Error, Repository, printable};
use serde_json::json;

use super::GetArgs;
use crate::cli::pipe::is_stdio;
use crate::cli::progress::Display;
use crate::domain::reference::Reference;

pub(super) async fn artifact(
    args: &GetArgs,
    repository: &Repository,
    reference: &Reference,
    display: &Display,
) -> anyhow::Result<()> {
    let manifest = match (repository.manifest(reference).await?, reference) {
        (Some(manifest), _) => manifest,
        (None, Reference::Digest(digest)) => return Err(Error::BlobUnknown(*digest).into()),
        (None, tag) => return Err(Error::ManifestUnknown(tag.clone()).into()),
    };
    let files = ArtifactFiles::of(&manifest)?;
    if is_stdio(&args.target) {
        let mut only = files.iter();
        let (Some((_, layer)), None) = (only.next(), only.next()) else {
            bail!(
                "it has {} files, and standard output takes one; name a folder with -o",
                files.iter().len()
            );
        };
        return super::to_stdout(args, repository, &layer.digest, display).await;
    }
    let restore = repository.restore(files.clone()).jobs(args.transfer.limit());
    restore.progress(display.progress()).save(&args.target).await?;
    display.finish();
    for (title, layer) in files.iter() {
        let file = args.target.join(title.as_str());
        if args.output.json {
            let (digest, size) = (layer.digest, layer.size);
            say!("{}", json!({ "event": "result", "digest": digest, "size": size, "file": file }));
        } else {
            say!("{} {} {}", layer.digest, layer.size, printable(&file.display().to_string()));
        }
    }
    Ok(())
}
