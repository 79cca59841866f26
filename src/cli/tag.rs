//! `overside tag`: another tag for a manifest.

use anyhow::Context;
use overside_client::ImageRef;

use super::remote::RemoteArgs;
use crate::domain::reference::{Reference, Tag};

/// Give a manifest more tags
///
/// Its exact bytes are pushed under each, so that the digest stays what it is. A tag that is there means this manifest
/// from then on. Into another repository: `overside copy`.
#[derive(Debug, clap::Args)]
pub struct TagArgs {
    /// The manifest, such as team/app:v1
    #[arg(value_name = "NAME[:TAG|@DIGEST]")]
    name: ImageRef,
    /// What it is called besides, such as v2 or latest
    #[arg(value_name = "TAG", required = true)]
    tags: Vec<Tag>,
    #[command(flatten)]
    remote: RemoteArgs,
}

pub async fn run(args: TagArgs) -> anyhow::Result<()> {
    let repository = args.remote.repository(&args.name).await?;
    let found = repository.manifest(&args.name.reference_or_latest()).await?;
    let manifest = found.with_context(|| format!("there is no {}, or you may not see it", args.name))?;
    for tag in args.tags {
        let name = args.name.with_reference(Some(Reference::Tag(tag.clone())));
        let pushed = repository.push_manifest(&manifest, Some(&tag)).await;
        pushed.with_context(|| format!("cannot make {name}"))?;
        say!("{} {name}", manifest.descriptor.digest);
    }
    Ok(())
}
