//! `overside push`: images out of an archive or a layout into a registry.

mod choose;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, ensure};
use overside_client::ImageRef;
use overside_client::archive::{Archive, LayerCompression};
use overside_client::artifact::Origin;
use overside_protocol::wire::Platform;

use super::BadUsage;
use super::artifact::{SendArgs, Sending, unless_interrupted};
use super::operands::files_and_name;
use super::pipe::{is_stdio, spooled};
use super::progress::{Display, OutputArgs};
use super::remote::{RemoteArgs, TransferArgs};
use crate::domain::digest::Digest;
use crate::domain::reference::Reference;
use choose::{Choice, Selection, choose};

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
    to: Option<ImageRef>,
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
    let compression = compression(args, &archive);
    let (image, platform) = (args.image.as_deref(), args.platform.as_ref());
    let selection = Selection { image, platform, name: &name, is_compressed: compression.is_some() };
    let wanted = choose(&archive, selection)?;
    for note in &wanted.notes {
        complain!("note: {note}");
    }
    let repository = args.remote.transfers(&name, &args.transfer).await?;
    args.send.prepare(&repository).await?;
    let limit = args.transfer.limit();
    let origin = match compression.filter(|_| !wanted.as_it_is) {
        None => Origin::Archive(archive.clone()),
        Some(compression) => {
            let roots: Vec<_> = wanted.choices.iter().map(|choice| choice.root).collect();
            // Each is a core's work; more of them than bodies may be sent would lie there unsent.
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            let compressed = archive.compress(&roots, compression, cores.min(limit.jobs()), &progress).await;
            Origin::Compressed(Arc::new(compressed.context("nothing was sent")?))
        }
    };
    let saved = args.send.saved_uploads();
    for Choice { root, tag } in wanted.choices {
        let (root, before) = after_compression(&archive, &origin, root);
        if let Some(Reference::Digest(digest)) = name.reference() {
            ensure!(root == *digest, "the image is {root} here, and cannot become {digest}");
        }
        let root = match &origin {
            Origin::Compressed(compressed) => compressed.manifest(&root),
            _ => archive.manifest(&root),
        };
        let root = root.context("the archive lost its own manifest")?;
        let tagged = name.with_reference(tag.clone().map(Reference::Tag));
        let push =
            repository.push(origin.clone(), root.clone()).tag(tag).replace_tag(true).recheck(args.recheck);
        let push = push.jobs(limit.clone()).saved_uploads(saved.clone());
        let sending = Sending { display, output: args.output, args: &args.send, before };
        sending.send(push, &tagged).await?;
    }
    // Everything that the archive has whole is there now.
    wanted.lacking.into_iter().next().map_or(Ok(()), Err)
}

/// The compression of layers that nobody compressed. Digests that somebody knows already change by request alone.
fn compression(args: &PushArgs, archive: &Archive) -> Option<LayerCompression> {
    match args.compress {
        Some(Compress::Gzip) => Some(LayerCompression::Gzip),
        Some(Compress::Zstd) => Some(LayerCompression::Zstd),
        Some(Compress::None) => None,
        None => archive.makes_manifests().then_some(LayerCompression::Gzip),
    }
}

/// The digest of the root once its layers are compressed, and the one in the archive if that is another.
fn after_compression(archive: &Archive, origin: &Origin, root: Digest) -> (Digest, Option<Digest>) {
    let Origin::Compressed(compressed) = origin else { return (root, None) };
    let now = compressed.renamed(&root);
    (now, Some(root).filter(|before| *before != now && !archive.makes_manifests()))
}
