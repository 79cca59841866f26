//! `overside cleanup`

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;

use super::output::ResultFormat;
use crate::config::{LimitConfig, StoreConfig};
use crate::open;
use crate::service::{CleanupReport, Service};

/// How often one that waits for another cleaning looks again: as short as most of them are.
const TURN_POLL: Duration = Duration::from_millis(200);

/// Remove what expired and abandoned uploads left; for cron, safe beside running servers.
///
/// Expired sessions end, their temporary objects and incomplete multipart uploads go, and so does anything
/// below the temporary prefix that no session knows. What is being finalized is left alone.
#[derive(Debug, clap::Args)]
pub(super) struct CleanupArgs {
    /// Only say what would be removed
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    format: ResultFormat,
    #[command(flatten)]
    store: StoreConfig,
    #[command(flatten)]
    limits: LimitConfig,
}

pub(super) async fn run(args: CleanupArgs) -> anyhow::Result<()> {
    let service = open::service(&args.store, args.limits.limits()).await?;
    let report = if args.dry_run { service.clean(true).await } else { clean_in_turn(&service).await? };
    args.format.say(&report, || {
        let verb = if report.dry_run { "would be" } else { "were" };
        say!("{} expired sessions {verb} ended", report.expired_sessions);
        say!("{} ended sessions {verb} cleaned up", report.discarded_sessions);
        say!("{} blobs brought to their place", report.placed_blobs);
        say!("{} temporary objects {verb} swept", report.swept_objects);
        say!("{} incomplete multipart uploads {verb} swept", report.swept_multipart_uploads);
        say!("{} old sessions {verb} forgotten", report.forgotten_sessions);
        say!("{} old entries of the audit log {verb} forgotten", report.forgotten_audit_entries);
    })?;
    done(&report)
}

/// Waits for whoever else is cleaning.
async fn clean_in_turn(service: &Arc<Service>) -> anyhow::Result<CleanupReport> {
    let mut is_told = false;
    let turn = loop {
        let turn = service.take_cleaning_turn().await;
        if let Some(turn) = turn.context("cannot ask the database whether somebody else is cleaning")? {
            break turn;
        }
        if !is_told {
            eprintln!("a server or another command is cleaning; waiting for its end");
            is_told = true;
        }
        tokio::time::sleep(TURN_POLL).await;
    };
    let report = service.clean(false).await;
    turn.give_back().await;
    Ok(report)
}

fn done(report: &CleanupReport) -> anyhow::Result<()> {
    for failed in &report.failed_steps {
        eprintln!("error: cannot {}: {}", failed.step, failed.error);
    }
    if !report.failed_steps.is_empty() {
        anyhow::bail!(
            "cannot clean up all; `overside doctor` says what is wrong, and the next run goes on from here"
        );
    }
    if report.failures > 0 {
        anyhow::bail!("{} left-overs could not be removed; the log says why", report.failures);
    }
    Ok(())
}
