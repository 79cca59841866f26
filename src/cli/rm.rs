//! `overside rm`: a manifest or a blob out of a repository.

use anyhow::{Context, bail};

use super::BadUsage;
use super::remote::{RemoteArgs, RemoteName, with_reference};
use crate::domain::reference::Reference;

/// Delete a manifest, and with it every tag that means it; or a blob
#[derive(Debug, clap::Args)]
pub struct RmArgs {
    /// What to delete: a manifest by tag or digest, such as team/app:v1, or a blob by digest
    #[arg(value_name = "NAME:TAG|NAME@DIGEST", value_parser = with_reference)]
    name: RemoteName,
    /// The digest is a blob's
    #[arg(long)]
    blob: bool,
    /// Say what would be deleted, and delete nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    remote: RemoteArgs,
}

pub async fn run(args: RmArgs) -> anyhow::Result<()> {
    let name = &args.name;
    let reference = &name.reference_or_latest()?;
    let client = args.remote.client(name).await?;
    if args.blob {
        let Reference::Digest(digest) = reference else {
            return Err(BadUsage::new("a blob has no tag; name its digest").into());
        };
        let is_there = if args.dry_run {
            client.blob_size(&name.repository, digest).await?.is_some()
        } else {
            client.delete_blob(&name.repository, digest).await?
        };
        if !is_there {
            bail!("there is no blob {name}, or you may not see it");
        }
        say!("{digest}");
        return Ok(());
    }
    let deleted = if args.dry_run {
        client.resolve(&name.repository, reference).await?.map(|descriptor| descriptor.digest)
    } else {
        client.delete_manifest(&name.repository, reference).await?
    };
    say!("{}", deleted.with_context(|| format!("there is no {name}, or you may not see it"))?);
    Ok(())
}
