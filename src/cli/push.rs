//! `overside push`: images out of an archive or a layout into a registry.

mod choose;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, ensure};
use overside_client::archive::{Archive, Packing};
use overside_client::artifact::{CopyOptions, Origin, Target};
use overside_protocol::wire::Platform;

use super::BadUsage;
use super::artifact::{SendArgs, Sending, unless_interrupted};
use super::operands::files_and_name;
use super::pipe::{is_stdio, spooled};
use super::progress::{Display, OutputArgs};
use super::remote::{RemoteArgs, RemoteName, TransferArgs};
use crate::domain::digest::Digest;
use crate::domain::reference::Reference;
use choose::{Asked, Choice, choose};

const USAGE: &str = "overside push [OPTIONS] <ARCHIVE> <NAME[:TAG]>\n       overside push [OPTIONS] --to <NAME[:TAG]> <ARCHIVE>";

/// Push an image out of an archive or a layout
///
/// Takes what `docker save`, `skopeo copy … docker-archive:` or `oci-archive:` and builds leave: a tar, packed (gzip, zstd,
/// xz, bzip2) or not, or a folder in the OCI image layout. All of it is checked before anything is sent. Layers go up side by side,
/// and large ones in parts straight to the bucket.
///
/// An image that has its manifest in the archive, as in layouts, OCI archives and what docker saves since version 25, keeps
/// its digest. Of others the manifest is made here, and layers that are not packed are packed with gzip; `--compress none`
/// leaves them. The same layer is always packed to the same bytes, so that it is sent once.
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
    /// Of several platforms this one alone, such as linux/arm64; it keeps its digest
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<Platform>,
    /// Pack layers that are plain tars, or packed with what only some clients unpack (xz, bzip2); layers in gzip or zstd stay
    /// as they are. Changes the digests of images that have their manifests in the archive, and says which they had.
    /// Layers are packed in the folder for temporary files (`$TMPDIR`)
    /// [default: gzip for images without a manifest in the archive, none for others]
    #[arg(long, value_name = "HOW")]
    compress: Option<Compress>,
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

/// How layers are packed that nobody packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Compress {
    /// Every client unpacks it
    Gzip,
    /// Smaller and faster; for Docker from 23.0, containerd from 1.5
    Zstd,
    /// Send them as they are
    None,
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
    let packing = packing(args, &archive);
    let (image, platform, is_packed) = (args.image.as_deref(), args.platform.as_ref(), packing.is_some());
    let wanted = choose(&archive, Asked { image, platform, name: &name, is_packed })?;
    for note in &wanted.notes {
        complain!("note: {note}");
    }
    let client = args.transfer.limit(args.remote.client(&name).await?);
    args.send.prepare(&client, &name.repository).await?;
    let lanes = args.transfer.lanes();
    let origin = match packing.filter(|_| !wanted.as_it_is) {
        None => Origin::Archive(archive.clone()),
        Some(packing) => {
            let roots: Vec<_> = wanted.choices.iter().map(|choice| choice.root).collect();
            // Each is a core's work; more of them than bodies may be sent would lie there unsent.
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            let compressed = archive.compress(&roots, packing, cores.min(lanes.count()), &progress).await;
            Origin::Compressed(Arc::new(compressed.context("nothing was sent")?))
        }
    };
    let put = args.send.put_options(lanes);
    let options = CopyOptions { put, replace_tag: true, recheck: args.recheck, referrers: false };
    for Choice { root, tag } in wanted.choices {
        let (root, before) = after_packing(&archive, &origin, root);
        if let Some(Reference::Digest(digest)) = &name.reference {
            ensure!(root == *digest, "the image is {root} here, and cannot become {digest}");
        }
        let root = match &origin {
            Origin::Compressed(compressed) => compressed.manifest(&root),
            _ => archive.manifest(&root),
        };
        let root = root.context("the archive lost its own manifest")?;
        let tagged = name.with(tag.clone().map(Reference::Tag));
        let target = Target { client: client.clone(), repository: name.repository.clone(), tag };
        let sending = Sending { display, output: args.output, args: &args.send, before };
        sending.send(&origin, root, &target, &options, &tagged).await?;
    }
    // Everything that the archive has whole is there now.
    wanted.lacking.into_iter().next().map_or(Ok(()), Err)
}

/// What layers are packed with, if they are: digests that are somebody's already change by request alone.
fn packing(args: &PushArgs, archive: &Archive) -> Option<Packing> {
    match args.compress {
        Some(Compress::Gzip) => Some(Packing::Gzip),
        Some(Compress::Zstd) => Some(Packing::Zstd),
        Some(Compress::None) => None,
        None => archive.makes_manifests().then_some(Packing::Gzip),
    }
}

/// What the root is called once its layers are packed, and what the archive calls it where that is something else.
fn after_packing(archive: &Archive, origin: &Origin, root: Digest) -> (Digest, Option<Digest>) {
    let Origin::Compressed(compressed) = origin else { return (root, None) };
    let now = compressed.renamed(&root);
    (now, Some(root).filter(|before| *before != now && !archive.makes_manifests()))
}
