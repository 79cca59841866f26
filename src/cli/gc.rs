//! `overside gc`

use anyhow::Context;
use bytesize::ByteSize;

use super::output::ResultFormat;
use crate::config::{LimitConfig, StoreConfig};
use crate::open;
use crate::service::CollectReport;

/// Remove blobs that no repository has any more; for cron, safe beside running servers.
///
/// A blob leaves a repository a grace (`--gc-grace`) after the last manifest or file that referred to it was
/// deleted, and the store a grace after the last repository. Blobs that none ever referred to stay until they are
/// deleted. Objects that no row tells of go after `--sweep-grace`.
#[derive(Debug, clap::Args)]
pub(super) struct GcArgs {
    /// Only say what would be removed now
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    format: ResultFormat,
    #[command(flatten)]
    store: StoreConfig,
    #[command(flatten)]
    limits: LimitConfig,
}

pub(super) async fn run(args: GcArgs) -> anyhow::Result<()> {
    let service = open::service(&args.store, args.limits.limits()).await?;
    let report = service.collect(args.dry_run).await.context(
        "cannot collect; `overside doctor` says what is wrong, and the next run goes on from here",
    )?;
    args.format.say(&report, || {
        let verb = if report.dry_run { "would be" } else { "were" };
        say!("{} blobs {verb} taken out of repositories", report.unlinked_blobs);
        say!("{} blobs {verb} removed", report.removed_blobs);
        say!("{} objects without a row {verb} swept", report.swept_objects);
        say!("{} {verb} freed", ByteSize(report.freed_bytes));
    })?;
    done(&report)
}

fn done(report: &CollectReport) -> anyhow::Result<()> {
    if report.failures > 0 {
        anyhow::bail!("{} blobs could not be removed; the log says why", report.failures);
    }
    Ok(())
}
