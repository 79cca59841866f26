//! `overside copy`: an artifact from one repository to another, on one registry or between two.

use anyhow::Context;
use overside_client::ImageRef;
use overside_client::artifact::Origin;
use overside_protocol::wire::Platform;

use super::artifact::{SendArgs, Sending, unless_interrupted};
use super::progress::{Display, OutputArgs};
use super::remote::{RemoteArgs, TransferArgs};
use crate::domain::reference::Reference;

/// Copy an image or another artifact between repositories and registries
///
/// With everything below it. What is there is not sent; within one registry blobs are mounted. Nothing is kept on disk.
#[derive(Debug, clap::Args)]
pub struct CopyArgs {
    /// What to copy
    #[arg(value_name = "FROM[:TAG|@DIGEST]")]
    from: ImageRef,
    /// Where to; without a tag it gets the one that it has there
    #[arg(value_name = "TO[:TAG]")]
    to: ImageRef,
    /// Of several platforms this one alone, such as linux/arm64
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<Platform>,
    /// Bring what is about it as well: signatures, attestations, lists of parts
    #[arg(long)]
    referrers: bool,
    /// Let an existing tag mean this instead, and look at every blob again
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    send: SendArgs,
    #[command(flatten)]
    remote: RemoteArgs,
    #[command(flatten)]
    transfer: TransferArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub async fn run(args: CopyArgs) -> anyhow::Result<()> {
    let display = Display::new(args.output);
    unless_interrupted(&display, Box::pin(copy_all(&args, &display))).await
}

async fn copy_all(args: &CopyArgs, display: &Display) -> anyhow::Result<()> {
    let from = args.remote.transfers(&args.from, &args.transfer).await?;
    let to = args.remote.transfers(&args.to, &args.transfer).await?;
    let reference = args.from.reference_or_latest();
    let root = from.find(&reference, args.platform.as_ref()).await;
    let root = root.with_context(|| format!("cannot copy {}", args.from))?;
    args.send.prepare(&to).await?;
    let tag = match args.to.reference().unwrap_or(&reference) {
        Reference::Tag(tag) => Some(tag.clone()),
        Reference::Digest(_) => None,
    };
    if let Some(Reference::Digest(digest)) = args.to.reference() {
        anyhow::ensure!(
            *digest == root.descriptor.digest,
            "{} is {}, and cannot become {digest}",
            args.from,
            root.descriptor.digest
        );
    }
    let name = args.to.with_reference(tag.clone().map(Reference::Tag));
    let push = to.push(Origin::Registry(from), root).tag(tag).replace_tag(args.force).recheck(args.force);
    let push = push.referrers(args.referrers).jobs(args.transfer.limit());
    let push = push.saved_uploads(args.send.saved_uploads());
    let sending = Sending { display, output: args.output, args: &args.send, before: None };
    let sent = sending.send(push, &name).await;
    sent.with_context(|| format!("cannot copy {} to {}", args.from, args.to))
}
