//! `overside verify`

use anyhow::Context;

use super::output::ResultFormat;
use crate::config::{LimitConfig, StoreConfig};
use crate::domain::digest::Digest;
use crate::open;
use crate::service::{Inconsistency, ScrubReport, ScrubTerms};

/// Compare the blobs of the database with the objects in the store; safe beside running servers.
///
/// Says which blobs are missing from the store or have another size, and with `--deep` whose bytes are wrong. Exits
/// with 1 when any is. Objects that no blob tells of are `overside gc`'s.
#[derive(Debug, clap::Args)]
pub(super) struct VerifyArgs {
    /// Read every object and hash it, instead of asking for its size
    #[arg(long)]
    deep: bool,
    /// Answer 404 for what is missing or wrong, so that the next push of it sends the bytes again
    #[arg(long)]
    repair: bool,
    /// Go on after this digest, which an earlier run that was stopped has printed
    #[arg(long, value_name = "DIGEST")]
    after: Option<Digest>,
    #[command(flatten)]
    format: ResultFormat,
    #[command(flatten)]
    store: StoreConfig,
    #[command(flatten)]
    limits: LimitConfig,
}

pub(super) async fn run(args: VerifyArgs) -> anyhow::Result<()> {
    let service = open::service(&args.store, args.limits.limits()).await?;
    let terms = ScrubTerms { is_deep: args.deep, is_repairing: args.repair };
    let found = |inconsistency: Inconsistency, blob: &crate::domain::blob::Blob| {
        if !args.format.json {
            say!("{}: {} ({} bytes)", words(inconsistency), blob.digest, blob.size);
        }
    };
    let progress = |report: &ScrubReport| {
        if let Some(last) = report.last {
            eprintln!("{} blobs checked, up to {last}", report.checked_blobs);
        }
    };
    let report = service.scrub(terms, args.after, found, progress).await.context(
        "cannot go on; `overside doctor` says what is wrong, and --after goes on from the last digest",
    )?;
    args.format.say(&report, || {
        say!("{} blobs checked", report.checked_blobs);
        say!("{} missing, {} with wrong bytes", report.missing_blobs, report.wrong_blobs);
        say!("{} lost before, {} of those found again", report.lost_blobs, report.found_blobs);
    })?;
    if report.is_clean() {
        return Ok(());
    }
    if report.failures > 0 {
        anyhow::bail!("{} blobs could not be looked at; the log says why", report.failures);
    }
    let advice = if args.repair { "push them again" } else { "with --repair the next push sends them again" };
    anyhow::bail!("some blobs cannot be read; {advice}");
}

const fn words(inconsistency: Inconsistency) -> &'static str {
    match inconsistency {
        Inconsistency::Missing => "missing",
        Inconsistency::WrongBytes => "wrong bytes",
        Inconsistency::Lost => "lost before",
    }
}
