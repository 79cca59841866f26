//! `overside tags`, `referrers`, `inspect`: what is on a registry.

use std::io::Write;

use anyhow::{Context, bail};
use overside_client::artifact::TITLE;
use overside_client::manifest::Manifest;
use overside_client::{ImageRef, printable};
use overside_protocol::wire::Platform;
use serde_json::{Value, json};

use super::output::ResultFormat;
use super::remote::RemoteArgs;
use crate::domain::reference::Reference;

/// List the tags of a repository
#[derive(Debug, clap::Args)]
pub struct TagsArgs {
    /// The repository, such as team/app
    #[arg(value_name = "NAME")]
    name: ImageRef,
    #[command(flatten)]
    format: ResultFormat,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// List the artifacts that are about a manifest: signatures, attestations, lists of parts
#[derive(Debug, clap::Args)]
pub struct ReferrersArgs {
    /// The manifest, such as team/app:v1
    #[arg(value_name = "NAME[:TAG|@DIGEST]")]
    name: ImageRef,
    /// Those of this type alone
    #[arg(long, value_name = "TYPE")]
    artifact_type: Option<String>,
    #[command(flatten)]
    format: ResultFormat,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// Show a manifest and what it is made of
#[derive(Debug, clap::Args)]
pub struct InspectArgs {
    /// The manifest, such as team/app:v1
    #[arg(value_name = "NAME[:TAG|@DIGEST]")]
    name: ImageRef,
    /// Of several platforms this one alone, such as linux/arm64
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<Platform>,
    /// Print the manifest's exact bytes
    #[arg(long, conflicts_with = "json")]
    raw: bool,
    #[command(flatten)]
    format: ResultFormat,
    #[command(flatten)]
    remote: RemoteArgs,
}

pub async fn tags(args: TagsArgs) -> anyhow::Result<()> {
    let Some(tags) = args.remote.repository(&args.name).await?.tags().await? else {
        bail!("the registry has no repository {}, or you may not read it", args.name.repository());
    };
    list(&tags, args.format)
}

pub(super) fn list(names: &[String], format: ResultFormat) -> anyhow::Result<()> {
    format.say(&names, || {
        for name in names {
            say!("{}", printable(name));
        }
    })
}

pub async fn referrers(args: ReferrersArgs) -> anyhow::Result<()> {
    let repository = args.remote.repository(&args.name).await?;
    let subject = match args.name.reference_or_latest() {
        Reference::Digest(digest) => digest,
        tag @ Reference::Tag(_) => {
            let subject = repository.resolve(&tag).await?;
            subject.with_context(|| format!("there is no {}", args.name))?.digest
        }
    };
    let referrers = repository.referrers(&subject, args.artifact_type.as_deref()).await?;
    args.format.say(&referrers, || {
        for referrer in &referrers {
            let artifact_type =
                referrer.artifact_type.as_ref().map_or("-", |artifact_type| artifact_type.as_str());
            say!("{} {} {artifact_type}", referrer.digest, referrer.size);
        }
    })
}

pub async fn inspect(args: InspectArgs) -> anyhow::Result<()> {
    let repository = args.remote.repository(&args.name).await?;
    let manifest = repository.find(&args.name.reference_or_latest(), args.platform.as_ref()).await;
    let manifest = manifest.with_context(|| format!("cannot inspect {}", args.name))?;
    if args.raw {
        return std::io::stdout().write_all(&manifest.payload).context("cannot write to standard output");
    }
    let payload: Value = serde_json::from_slice(&manifest.payload)?;
    let result =
        json!({ "name": args.name.to_string(), "descriptor": manifest.descriptor, "manifest": payload });
    args.format.say(&result, || say!("{}", described(&args.name, &manifest)))
}

/// A few lines for people.
fn described(name: &ImageRef, manifest: &Manifest) -> String {
    let descriptor = &manifest.descriptor;
    let mut lines = vec![
        format!("name        {name}"),
        format!("digest      {}", descriptor.digest),
        format!("media type  {}", descriptor.media_type),
    ];
    lines.extend(
        descriptor.artifact_type.as_ref().map(|artifact_type| format!("type        {artifact_type}")),
    );
    lines.extend(manifest.subject.as_ref().map(|subject| format!("about       {}", subject.digest)));
    let below = manifest.layers.iter().chain(&manifest.config).map(|blob| blob.size).sum::<u64>();
    if below > 0 {
        lines.push(format!("size        {} bytes in {} layers", below, manifest.layers.len()));
    }
    for child in &manifest.manifests {
        let platform = child.platform.as_ref().map(ToString::to_string).unwrap_or_default();
        let platform = printable(&platform);
        lines.push(format!("manifest    {} {} {platform}", child.digest, child.size).trim_end().to_owned());
    }
    lines.extend(
        manifest.config.iter().map(|config| format!("config      {} {}", config.digest, config.size)),
    );
    for layer in &manifest.layers {
        let title = printable(layer.annotation(TITLE).unwrap_or_default());
        lines.push(format!("layer       {} {} {title}", layer.digest, layer.size).trim_end().to_owned());
    }
    lines.join("\n")
}
