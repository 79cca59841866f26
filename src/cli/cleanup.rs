//! `overside cleanup`

use anyhow::Context;

use crate::config::{LimitConfig, StoreConfig};
use crate::server::open_service;
use crate::service::CleanupReport;

/// Remove what expired and abandoned uploads left; for cron, safe beside running servers.
///
/// Expired sessions end, their temporary objects and incomplete multipart uploads go, and so does anything
/// below the temporary prefix that no session knows. What is being finalized is left alone.
#[derive(Debug, clap::Args)]
pub(super) struct CleanupArgs {
    /// Only say what would be removed
    #[arg(long)]
    dry_run: bool,
    /// Say it in JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    store: StoreConfig,
    #[command(flatten)]
    limits: LimitConfig,
}

pub(super) async fn run(args: CleanupArgs) -> anyhow::Result<()> {
    let service = open_service(&args.store, args.limits.limits()).await?;
    let report = service.clean(args.dry_run).await.context(
        "cannot clean up; `overside doctor` says what is wrong, and the next run goes on from here",
    )?;
    if args.json {
        say!("{}", serde_json::to_string(&report)?);
        return done(&report);
    }
    let verb = if report.dry_run { "would be" } else { "were" };
    say!("{} expired sessions {verb} ended", report.expired_sessions);
    say!("{} ended sessions {verb} cleaned up", report.discarded_sessions);
    say!("{} blobs brought to their place", report.placed_blobs);
    say!("{} temporary objects {verb} swept", report.swept_objects);
    say!("{} incomplete multipart uploads {verb} swept", report.swept_multipart_uploads);
    say!("{} old sessions {verb} forgotten", report.forgotten_sessions);
    say!("{} old entries of the audit log {verb} forgotten", report.forgotten_audit_entries);
    done(&report)
}

fn done(report: &CleanupReport) -> anyhow::Result<()> {
    if report.failures > 0 {
        anyhow::bail!("{} left-overs could not be removed; the log says why", report.failures);
    }
    Ok(())
}
