//! `overside pull`: an image out of a registry into an archive or a layout.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use overside_client::archive::{ArchiveFormat, ImageName, pack};
use overside_client::{ImageRef, authority};
use overside_protocol::wire::Platform;
use serde_json::json;

use super::artifact::{say_planned, unless_interrupted};
use super::pipe::{Outgoing, is_stdio};
use super::progress::{Display, OutputArgs};
use super::remote::{RemoteArgs, TransferArgs};
use crate::domain::reference::Reference;

/// Pull an image into a tar or a folder
///
/// A tar can be read by `docker load`, `skopeo copy docker-archive:` and `oci-archive:`; a folder is in the OCI image
/// layout, and keeps the images that are in it. Every blob is verified. What an interrupted pull has finished is not
/// fetched again.
#[derive(Debug, clap::Args)]
pub struct PullArgs {
    /// The image, such as team/app:v1 or registry.example/team/app@sha256:…
    #[arg(value_name = "NAME[:TAG|@DIGEST]")]
    name: ImageRef,
    /// A name that ends in .tar, or in .tgz or .tar.gz for a packed one; a folder; or - for a tar on standard output
    #[arg(value_name = "OUT.tar|OUT.tgz|DIR|-")]
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
    let repository = args.remote.transfers(&args.name, &args.transfer).await?;
    let reference = args.name.reference_or_latest();
    let root = repository.find(&reference, args.platform.as_ref()).await;
    let root = root.with_context(|| format!("cannot pull {}", args.name))?;
    let descriptor = root.descriptor.clone();
    let pull = repository.pull(root).jobs(args.transfer.limit()).progress(display.progress());
    if args.dry_run {
        let plan = pull.plan().await?;
        for blob in plan.layers.iter().chain(&plan.configs) {
            say_planned(args.output, &blob.digest, blob.size, "would be fetched")?;
        }
        return Ok(());
    }
    let name = match &reference {
        Reference::Tag(tag) => {
            let registry = authority(repository.registry().url()).unwrap_or_default();
            Some(ImageName::new(format!("{registry}/{}", repository.name()), tag.clone()))
        }
        Reference::Digest(_) => None,
    };
    let pull = pull.name(name);
    if is_stdio(&args.target) {
        let outgoing = Outgoing::new(args.output)?;
        let file = outgoing.folder().join("image.tar");
        let pulled = pull.format(ArchiveFormat::Tar).save(&file).await;
        pulled.with_context(|| format!("cannot pull {}", args.name))?;
        display.finish();
        return outgoing.send(&file).await;
    }
    let is_packed = is_packed(&args.target);
    let format = if is_packed { ArchiveFormat::Tar } else { ArchiveFormat::of(&args.target) };
    if format == ArchiveFormat::Folder && args.target.is_file() {
        bail!("{} is a file; give it a name that ends in .tar, or name a folder", args.target.display());
    }
    // Each blob has its place in a tar, and none in a packed one: that is made of the tar, which goes then. It lies beside
    // it, where there is room, in a folder of its own.
    let beside = args.target.parent().filter(|folder| !folder.as_os_str().is_empty());
    let beside = beside.unwrap_or(Path::new("."));
    let apart = is_packed.then(|| tempfile::tempdir_in(beside)).transpose();
    let apart = apart.with_context(|| format!("cannot write to {}", beside.display()))?;
    let target = apart.as_ref().map_or_else(|| args.target.clone(), |folder| folder.path().join("image.tar"));
    let report = pull.format(format).save(&target).await;
    let report = report.with_context(|| format!("cannot pull {}", args.name))?;
    if is_packed {
        pack(&target, &args.target).await?;
    }
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

/// By the name, unless a folder has it.
fn is_packed(target: &Path) -> bool {
    let ends_with =
        |path: &Path, end: &str| path.extension().is_some_and(|found| found.eq_ignore_ascii_case(end));
    let is_tar_gz =
        ends_with(target, "gz") && target.file_stem().is_some_and(|stem| ends_with(stem.as_ref(), "tar"));
    !target.is_dir() && (ends_with(target, "tgz") || is_tar_gz)
}
