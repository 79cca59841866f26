//! `overside get`: a blob into a file, or an artifact's files into a folder, verified.

mod restore;

use std::path::PathBuf;

use anyhow::Context;
use overside_client::{ImageRef, Repository};
use serde_json::json;

use super::artifact::unless_interrupted;
use super::pipe::{Outgoing, is_stdio};
use super::progress::{Display, OutputArgs};
use super::remote::{RemoteArgs, TransferArgs, with_reference};
use crate::domain::digest::Digest;
use crate::domain::reference::Reference;

/// Download a blob to a file, or an artifact's files to a folder
///
/// Every SHA-256 is verified before a file gets its name. What was interrupted goes on from what has arrived.
#[derive(Debug, clap::Args)]
pub struct GetArgs {
    /// A blob, such as team/model@sha256:…, or an artifact, such as team/data:v1
    #[arg(value_name = "NAME@DIGEST|NAME:TAG", value_parser = with_reference)]
    name: ImageRef,
    /// File to write, or for an artifact the folder; files that are there are replaced once the download is verified.
    /// With - a blob, or an artifact's only file, goes to standard output
    #[arg(long = "output", short = 'o', value_name = "FILE|DIR")]
    target: PathBuf,
    #[command(flatten)]
    remote: RemoteArgs,
    #[command(flatten)]
    transfer: TransferArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub async fn run(args: GetArgs) -> anyhow::Result<()> {
    let display = Display::new(args.output);
    let done = unless_interrupted(&display, Box::pin(get(&args, &display))).await;
    done.with_context(|| format!("cannot download {}", args.name))
}

async fn get(args: &GetArgs, display: &Display) -> anyhow::Result<()> {
    let repository = args.remote.transfers(&args.name, &args.transfer).await?;
    match &args.name.reference_or_latest() {
        // A digest is a blob's, unless only a manifest has it.
        Reference::Digest(digest) if repository.blob_size(digest).await?.is_some() => {
            blob(args, &repository, digest, display).await
        }
        reference => restore::artifact(args, &repository, reference, display).await,
    }
}

async fn blob(
    args: &GetArgs,
    repository: &Repository,
    digest: &Digest,
    display: &Display,
) -> anyhow::Result<()> {
    if is_stdio(&args.target) {
        return to_stdout(args, repository, digest, display).await;
    }
    let progress = display.progress().of(digest.to_string());
    let size = repository.download(digest).progress(progress).save(&args.target).await?;
    display.finish();
    if args.output.json {
        let report = json!({
            "event": "result",
            "digest": digest,
            "size": size,
            "repository": repository.name(),
            "reference": args.name.to_string(),
            "file": args.target,
        });
        say!("{report}");
    } else {
        say!("{digest} {size} {}", args.target.display());
    }
    Ok(())
}

async fn to_stdout(
    args: &GetArgs,
    repository: &Repository,
    digest: &Digest,
    display: &Display,
) -> anyhow::Result<()> {
    let outgoing = Outgoing::new(args.output)?;
    let file = outgoing.folder().join("blob");
    let progress = display.progress().of(digest.to_string());
    repository.download(digest).progress(progress).save(&file).await?;
    display.finish();
    outgoing.send(&file).await
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that meets an error here has failed")]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        get: GetArgs,
    }

    #[test]
    fn a_name_and_a_place_are_what_it_needs() {
        let reference = format!("team/model@{}", Digest::EMPTY);
        let command = Command::try_parse_from(["get", &reference, "-o", "file"]).unwrap();
        assert_eq!(command.get.target, PathBuf::from("file"));
        for bad in [
            &["get", "../up:v1", "-o", "file"][..],
            &["get", "team/model", "-o", "file"],
            &["get", &reference],
        ] {
            assert_eq!(Command::try_parse_from(bad).unwrap_err().exit_code(), 2, "{bad:?}");
        }
    }
}
