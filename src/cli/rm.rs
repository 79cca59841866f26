//! `overside rm`: a tag, a manifest, a blob or all of a repository. Nothing goes that was not named, or asked about.

mod repository;

use std::io::{BufRead, IsTerminal};

use anyhow::{Context, bail};
use overside_client::{Error, ImageRef, Repository};

use super::BadUsage;
use super::remote::RemoteArgs;
use crate::domain::digest::Digest;
use crate::domain::reference::{Reference, Tag};

/// Tags that a question names; there may be thousands.
const MAX_SHOWN_TAGS: usize = 10;

/// Delete a tag, a manifest with its tags, a blob or a whole repository
///
/// NAME:TAG deletes that tag alone: the manifest keeps its digest and its other tags. NAME@DIGEST deletes the manifest
/// and every tag that means it. What would go besides what was named is asked about on a terminal, and needs --yes
/// elsewhere. Prints what is gone, a name a line.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct RmArgs {
    /// What to delete: a tag such as team/app:v1, or a manifest or blob by its digest
    #[arg(value_name = "NAME:TAG|NAME@DIGEST|NAME")]
    name: ImageRef,
    /// The digest is a blob's
    #[arg(long)]
    blob: bool,
    /// Delete the whole repository NAME: its tags, what they mean, and what is about that
    #[arg(long, conflicts_with = "blob")]
    repository: bool,
    /// Ask nothing
    #[arg(long, short)]
    yes: bool,
    /// Say what would be deleted, and delete nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    remote: RemoteArgs,
}

pub async fn run(args: RmArgs) -> anyhow::Result<()> {
    let name = &args.name;
    let there = args.remote.repository(name).await?;
    match name.reference() {
        Some(Reference::Digest(digest)) if args.blob => blob(&args, &there, digest).await,
        _ if args.blob => Err(BadUsage::new("a blob has no tag; name its digest").into()),
        None if args.repository => repository::remove(&args, &there).await,
        Some(_) if args.repository => {
            Err(BadUsage::new("a whole repository has neither tag nor digest; write its name alone").into())
        }
        Some(Reference::Tag(tag)) => tag_alone(&args, &there, tag).await,
        Some(Reference::Digest(digest)) => manifest(&args, &there, digest).await,
        None => Err(BadUsage::new(format!(
            "write which tag or manifest of {name}: {name}:TAG or {name}@DIGEST; all of it goes with --repository"
        ))
        .into()),
    }
}

async fn blob(args: &RmArgs, repository: &Repository, digest: &Digest) -> anyhow::Result<()> {
    let is_there = if args.dry_run {
        repository.blob_size(digest).await?.is_some()
    } else {
        repository.delete_blob(digest).await?
    };
    if !is_there {
        bail!("there is no blob {}, or you may not see it", args.name);
    }
    say!("{}", args.name);
    Ok(())
}

async fn tag_alone(args: &RmArgs, repository: &Repository, tag: &Tag) -> anyhow::Result<()> {
    let name = &args.name;
    let is_there = if args.dry_run {
        repository.resolve(&Reference::Tag(tag.clone())).await?.is_some()
    } else {
        match repository.delete_tag(tag).await {
            Err(Error::TagStays { peer, tag, digest }) => {
                let stays = Error::TagStays { peer, tag, digest };
                let tags = tags_of(repository, &digest).await?;
                bail!(
                    "{stays}; nothing was deleted. The manifest goes with all its tags ({}) by: overside rm {}",
                    listed(&tags),
                    name.with_reference(Some(Reference::Digest(digest)))
                );
            }
            deleted => deleted?,
        }
    };
    if !is_there {
        return Err(missing(name));
    }
    say!("{name}");
    Ok(())
}

async fn manifest(args: &RmArgs, repository: &Repository, digest: &Digest) -> anyhow::Result<()> {
    let name = &args.name;
    if repository.resolve(&Reference::Digest(*digest)).await?.is_none() {
        return Err(missing(name));
    }
    let tags = tags_of(repository, digest).await?;
    if !args.dry_run {
        if !tags.is_empty() {
            confirm(args, &format!("{name} goes with its tags: {}", listed(&tags)))?;
        }
        if !repository.delete_manifest(digest).await? {
            return Err(missing(name));
        }
    }
    say_gone(args, &tags, &[*digest]);
    Ok(())
}

async fn tags_of(repository: &Repository, digest: &Digest) -> anyhow::Result<Vec<Tag>> {
    let tagged = repository.tags_with_digests().await;
    let tagged = tagged.context("cannot tell which tags go with it; nothing was deleted")?;
    let tags = tagged.unwrap_or_default().into_iter().filter(|(_, means)| means == digest);
    Ok(tags.map(|(tag, _)| tag).collect())
}

/// Asks whether that is meant, where somebody can answer.
fn confirm(args: &RmArgs, what: &str) -> anyhow::Result<()> {
    if args.yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        bail!("{what}. Nothing was deleted; if that is meant, say --yes");
    }
    eprint!("{what}. Delete? [y/N] ");
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).context("cannot read the answer")?;
    if !matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes") {
        bail!("nothing was deleted");
    }
    Ok(())
}

fn say_gone(args: &RmArgs, tags: &[Tag], manifests: &[Digest]) {
    let tags = tags.iter().cloned().map(Reference::Tag);
    for reference in tags.chain(manifests.iter().copied().map(Reference::Digest)) {
        say!("{}", args.name.with_reference(Some(reference)));
    }
}

fn missing(name: &ImageRef) -> anyhow::Error {
    anyhow::anyhow!("there is no {name}, or you may not see it")
}

fn listed(tags: &[Tag]) -> String {
    let shown: Vec<_> = tags.iter().take(MAX_SHOWN_TAGS).map(ToString::to_string).collect();
    let more = tags.len().saturating_sub(MAX_SHOWN_TAGS);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", shown.join(", "))
}
