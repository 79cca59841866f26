//! `overside push`: images out of an archive or a layout into a registry.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};

use super::BadUsage;
use super::artifact::{SendArgs, Sending, unless_interrupted};
use super::operands::files_and_name;
use super::pipe::{is_stdio, spooled};
use super::progress::{Display, OutputArgs};
use super::remote::{RemoteArgs, RemoteName, TransferArgs};
use crate::client::archive::{Archive, Image};
use crate::client::copy::{CopyOptions, Origin, Target};
use crate::client::printable;
use crate::domain::reference::{Reference, Tag};

const USAGE: &str = "overside push [OPTIONS] <ARCHIVE> <NAME[:TAG]>\n       overside push [OPTIONS] --to <NAME[:TAG]> <ARCHIVE>";

/// Push an image out of an archive or a layout
///
/// Takes what `docker save`, `skopeo copy … docker-archive:` or `oci-archive:` and builds leave: a tar, packed by gzip
/// or not, or a folder in the OCI image layout. All of it is checked before anything is sent. Layers go up as they are,
/// side by side, and large ones in parts straight to the bucket.
///
/// What is a file is not taken for a name.
#[derive(Debug, clap::Args)]
#[command(override_usage = USAGE)]
pub struct PushArgs {
    /// The archive or layout, or - for an archive on standard input; behind it what to push it as, such as team/app:v1 or registry.example/team/app:v1.
    /// Without a tag each image keeps the tag that the archive has for it
    #[arg(value_name = "ARCHIVE", required = true, num_args = 1..=2)]
    operands: Vec<PathBuf>,
    /// What to push the archive as, instead of the name behind it
    #[arg(long, value_name = "NAME[:TAG]")]
    to: Option<RemoteName>,
    /// Which image, where the archive has several: as it is called there, or its digest
    #[arg(long, value_name = "NAME")]
    image: Option<String>,
    /// Look at every blob again, also where the registry has the manifest
    #[arg(long)]
    recheck: bool,
    #[command(flatten)]
    send: SendArgs,
    #[command(flatten)]
    remote: RemoteArgs,
    #[command(flatten)]
    transfer: TransferArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub async fn run(args: PushArgs) -> anyhow::Result<()> {
    let display = Display::new(args.output);
    unless_interrupted(&display, Box::pin(push(&args, &display))).await
}

async fn push(args: &PushArgs, display: &Display) -> anyhow::Result<()> {
    let (files, name) = files_and_name(&args.operands, args.to.as_ref())?;
    let [file] = &files[..] else {
        return Err(BadUsage::new("one archive is pushed at a time").into());
    };
    let progress = display.progress().of(file.display().to_string());
    let spooled = if is_stdio(file) { Some(spooled().await?) } else { None };
    let archive = Archive::open(spooled.as_ref().map_or(file, |spooled| spooled.path()), &progress).await;
    let archive = Arc::new(archive.with_context(|| format!("{} was not sent", file.display()))?);
    let wanted = select(archive.images(), args, &name)?;
    let client = args.transfer.limit(args.remote.client(&name).await?);
    args.send.prepare(&client, &name.repository).await?;
    let put = args.send.put_options(args.transfer.lanes());
    let options = CopyOptions { put, replace_tag: true, recheck: args.recheck, referrers: false };
    let sending = Sending { display, output: args.output, args: &args.send };
    for (image, tag) in wanted {
        let root = archive.manifest(&image.root.digest).context("the archive lost its own manifest")?;
        let tagged = name.with(tag.clone().map(Reference::Tag));
        let target = Target { client: client.clone(), repository: name.repository.clone(), tag };
        sending.send(&Origin::Archive(archive.clone()), root, &target, &options, &tagged).await?;
    }
    Ok(())
}

/// Which images go up, and as what; a digest in the name is what the image has to have.
fn select<'a>(
    images: &'a [Image],
    args: &PushArgs,
    name: &RemoteName,
) -> anyhow::Result<Vec<(&'a Image, Option<Tag>)>> {
    let is_wanted = |image: &&Image| match &args.image {
        None => true,
        Some(wanted) => {
            image.root.digest.to_string() == *wanted || image.names.iter().any(|name| name == wanted)
        }
    };
    let mut chosen: Vec<_> = images.iter().filter(is_wanted).collect();
    if chosen.is_empty() {
        bail!(
            "the archive has no image {}; it has {}",
            args.image.as_deref().unwrap_or("at all"),
            listed(images)
        );
    }
    let tag = match &name.reference {
        Some(Reference::Digest(digest)) => {
            chosen.retain(|image| image.root.digest == *digest);
            let [image] = chosen[..] else {
                bail!("the archive has no image {digest}; it has {}", listed(images))
            };
            return Ok(vec![(image, None)]);
        }
        Some(Reference::Tag(tag)) => Some(tag.clone()),
        None => None,
    };
    match (&chosen[..], tag) {
        ([image], Some(tag)) => Ok(vec![(image, Some(tag))]),
        (_, Some(tag)) => {
            bail!(
                "the archive has several images, which cannot all be {tag}: choose one of {} with --image, or leave the tag out to push each by its own",
                listed(images)
            )
        }
        (chosen, None) => by_their_tags(chosen, images),
    }
}

/// Each by the tags that the archive has for it.
fn by_their_tags<'a>(
    chosen: &[&'a Image],
    images: &[Image],
) -> anyhow::Result<Vec<(&'a Image, Option<Tag>)>> {
    let mut tagged: Vec<(&Image, Option<Tag>)> = Vec::new();
    for image in chosen {
        let tags: Vec<_> = image.names.iter().filter_map(|name| tag_of(name)).collect();
        if tags.is_empty() && chosen.len() > 1 {
            bail!("image {} has no tag in the archive; push it with --image and a tag", image.root.digest);
        }
        let tags = if tags.is_empty() { vec!["latest".parse()?] } else { tags };
        for tag in tags {
            if let Some((other, _)) = tagged.iter().find(|(_, taken)| taken.as_ref() == Some(&tag)) {
                if other.root.digest == image.root.digest {
                    continue;
                }
                bail!(
                    "two images of the archive have the tag {tag}; choose one of {} with --image",
                    listed(images)
                );
            }
            tagged.push((image, Some(tag)));
        }
    }
    Ok(tagged)
}

/// Of `registry.example:5000/team/app:v1` or `v1` alone.
fn tag_of(name: &str) -> Option<Tag> {
    let last = name.rsplit('/').next()?;
    match last.rsplit_once(':') {
        Some((_, tag)) => tag.parse().ok(),
        None if name.contains('/') => None,
        None => last.parse().ok(),
    }
}

fn listed(images: &[Image]) -> String {
    let name = |image: &Image| match &image.names[..] {
        [] => image.root.digest.to_string(),
        names => printable(&names.join(" = ")).into_owned(),
    };
    images.iter().map(name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::tag_of;

    #[test]
    fn a_tag_is_what_follows_the_last_colon_of_a_name() {
        for (name, tag) in [
            ("team/app:v1", Some("v1")),
            ("localhost:5000/app", None),
            ("localhost:5000/app:2", Some("2")),
            ("v1", Some("v1")),
            ("app:v 1", None),
        ] {
            assert_eq!(tag_of(name).map(|tag| tag.to_string()).as_deref(), tag, "{name}");
        }
    }
}
