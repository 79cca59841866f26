//! `overside pull`: an image out of a registry into an archive or a layout.

use std::path::PathBuf;

use anyhow::{Context, bail};
use serde_json::json;

use super::artifact::{say_planned, unless_interrupted};
use super::progress::{Display, OutputArgs};
use super::remote::{RemoteArgs, RemoteName, TransferArgs};
use crate::client::archive::{Form, ImageName};
use crate::client::authority;
use crate::client::copy::{self, PullOptions};
use crate::domain::reference::Reference;
use crate::http::wire::Platform;

/// Pull an image into a tar or a folder
///
/// A tar can be read by `docker load`, `skopeo copy docker-archive:` and `oci-archive:`; a folder is in the OCI image
/// layout, and keeps the images that are in it. Every blob is verified. What an interrupted pull has finished is not
/// fetched again.
#[derive(Debug, clap::Args)]
pub struct PullArgs {
    /// The image, such as team/app:v1 or registry.example/team/app@sha256:…
    #[arg(value_name = "NAME[:TAG|@DIGEST]")]
    name: RemoteName,
    /// A name that ends in .tar, or a folder
    #[arg(value_name = "OUT.tar|DIR")]
    target: PathBuf,
    /// Of several platforms this one alone, such as linux/arm64
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<Platform>,
    /// Say what would be fetched, and fetch nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    remote: RemoteArgs,
    #[command(flatten)]
    transfer: TransferArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub async fn run(args: PullArgs) -> anyhow::Result<()> {
    let display = Display::new(args.output);
    unless_interrupted(&display, Box::pin(pull(&args, &display))).await
}

async fn pull(args: &PullArgs, display: &Display) -> anyhow::Result<()> {
    let (client, repository) = (args.remote.client(&args.name).await?, &args.name.repository);
    let reference = args.name.reference_or_latest()?;
    let root = copy::find(&client, repository, &reference, args.platform.as_ref()).await;
    let root = root.with_context(|| format!("cannot pull {}", args.name))?;
    let descriptor = root.descriptor.clone();
    if args.dry_run {
        let plan = copy::plan_pull(&client, repository, &root).await?;
        for blob in plan.layers.iter().chain(&plan.configs) {
            say_planned(args.output, &blob.digest, blob.size, "would be fetched");
        }
        return Ok(());
    }
    let name = match &reference {
        Reference::Tag(tag) => {
            let registry = authority(client.base()).unwrap_or_default();
            Some(ImageName { repository: format!("{registry}/{repository}"), tag: tag.clone() })
        }
        Reference::Digest(_) => None,
    };
    let form = Form::of(&args.target);
    if form == Form::Folder && args.target.is_file() {
        bail!("{} is a file; give it a name that ends in .tar, or name a folder", args.target.display());
    }
    let options = PullOptions { lanes: args.transfer.lanes(), form, name };
    let report = copy::pull(&client, repository, root, &args.target, &options, &display.progress()).await;
    let report = report.with_context(|| format!("cannot pull {}", args.name))?;
    display.finish();
    if args.output.json {
        let result = json!({
            "event": "result",
            "digest": descriptor.digest,
            "media_type": descriptor.media_type,
            "name": args.name.to_string(),
            "file": args.target,
            "blobs": report,
        });
        say!("{result}");
    } else {
        say!("{} {}", descriptor.digest, args.target.display());
    }
    Ok(())
}
