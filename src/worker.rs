//! What `serve` does by itself: cleaning and collecting, again and again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::RngExt;
use tokio_util::sync::CancellationToken;

use crate::log_text::chain;
use crate::service::{CLOCK_PAUSE, CleanupReport, HEARTBEAT_PAUSE, Service, ServiceError, WebhookDeliveries};
use crate::webhook::WebhookSender;

/// Between two looks at the settings: they are to hold on all replicas within a second.
const SETTINGS_PAUSE: Duration = Duration::from_millis(400);
/// Between two looks at the list of redirected uploads: a push of small layers is over sooner than this.
const LOOK_PAUSE: Duration = Duration::from_secs(1);

/// Between two looks for events of webhooks: how late they are at most while nothing fails.
const WEBHOOK_PAUSE: Duration = Duration::from_millis(400);
/// Before the look that follows the end of a delivery: others that end at once come with it.
const WEBHOOK_REST: Duration = Duration::from_millis(20);
/// Between two looks for policies for which too many events wait.
const WEBHOOK_DROP_PAUSE: Duration = Duration::from_secs(10);

/// Takes over what died and cleans, again and again until `stop`.
pub async fn clean(service: Arc<Service>, interval: Duration, stop: CancellationToken) {
    while pause(interval, &stop).await {
        match service.recover().await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "took over abandoned finalizes"),
            Err(error) => {
                tracing::warn!(error = %chain(&error), "abandoned finalizes wait for the next round");
            }
        }
        match clean_in_turn(&service).await {
            Ok(None) => tracing::debug!("another replica is cleaning"),
            Ok(Some(report)) if report.is_empty() => {}
            Ok(Some(report)) => tracing::info!(
                expired = report.expired_sessions,
                placed = report.placed_blobs,
                discarded = report.discarded_sessions,
                objects = report.swept_objects,
                multipart_uploads = report.swept_multipart_uploads,
                forgotten = report.forgotten_sessions,
                forgotten_audit_entries = report.forgotten_audit_entries,
                failures = report.failures,
                "cleaned up"
            ),
            Err(error) => {
                tracing::warn!(error = %chain(&error), "cleaning stopped early; the next round goes on");
            }
        }
    }
}

/// None while another replica cleans.
async fn clean_in_turn(service: &Arc<Service>) -> Result<Option<CleanupReport>, ServiceError> {
    let Some(turn) = service.take_cleaning_turn().await? else { return Ok(None) };
    let report = service.clean(false).await;
    turn.give_back().await;
    Ok(Some(report))
}

/// Collects blobs that no repository has, again and again until `stop`.
pub async fn collect(service: Arc<Service>, interval: Duration, stop: CancellationToken) {
    while pause(interval, &stop).await {
        match service.collect_again().await {
            Ok(report) if report.is_empty() => {}
            Ok(report) => tracing::info!(
                unlinked = report.unlinked_blobs,
                removed = report.removed_blobs,
                swept = report.swept_objects,
                bytes = report.freed_bytes,
                failures = report.failures,
                "collected garbage"
            ),
            Err(error) => {
                tracing::warn!(error = %chain(&error), "collecting stopped early; the next round goes on");
            }
        }
    }
}

/// Looks whether what redirected clients were to send has arrived, again and again until `stop`.
pub async fn look_at_redirected(service: Arc<Service>, stop: CancellationToken) {
    while pause(LOOK_PAUSE, &stop).await {
        match service.look_at_redirected().await {
            Ok(0) => {}
            Ok(count) => tracing::debug!(count, "redirected uploads have arrived"),
            Err(error) => {
                tracing::debug!(error = %chain(&error), "redirected uploads wait until the database answers");
            }
        }
    }
}

/// Reads what administrators have set, again and again.
pub async fn keep_in_step(service: Arc<Service>) {
    let mut is_in_step = true;
    loop {
        tokio::time::sleep(SETTINGS_PAUSE).await;
        let outcome = service.refresh_settings().await;
        // Said once: it is tried again twice a second.
        if let (Err(error), true) = (&outcome, is_in_step) {
            tracing::warn!(error = %chain(error), "settings are as they were until the database answers");
        }
        is_in_step = outcome.is_ok();
    }
}

/// Takes this replica's share of the limits, again and again.
pub async fn count_replicas(service: Arc<Service>) {
    loop {
        if let Err(error) = service.count_replicas().await {
            tracing::debug!(error = %chain(&error), "replicas count as before until the database answers");
        }
        tokio::time::sleep(HEARTBEAT_PAUSE).await;
    }
}

/// Keeps this replica's idea of the database's time right.
pub async fn keep_time(service: Arc<Service>) {
    loop {
        tokio::time::sleep(CLOCK_PAUSE).await;
        if let Err(error) = service.correct_clock().await {
            tracing::debug!(error = %chain(&error), "the database's clock could not be read");
        }
    }
}

/// Writes entries of the audit log that wait.
pub async fn write_audit_log(service: Arc<Service>) {
    let mut is_written = true;
    loop {
        service.audit_entries_wait().await;
        let outcome = service.flush_audit_entries().await;
        if let (Err(error), true) = (&outcome, is_written) {
            tracing::error!(error = %chain(error), "entries of the audit log wait until the database answers");
        }
        is_written = outcome.is_ok();
        if !is_written {
            tokio::time::sleep(SETTINGS_PAUSE).await;
        }
    }
}

/// Delivers events of webhooks, again and again until `stop`; then what is under way ends.
pub async fn deliver_webhooks(service: Arc<Service>, sender: Arc<WebhookSender>, stop: CancellationToken) {
    let (mut deliveries, mut is_delivering, mut dropped_at) =
        (WebhookDeliveries::default(), true, Instant::now());
    // Whether queues wait for the place of one that is being delivered.
    let mut is_more = false;
    loop {
        tokio::select! {
            goes_on = pause(WEBHOOK_PAUSE, &stop) => if !goes_on { break },
            () = deliveries.one_ends(), if is_more => tokio::time::sleep(WEBHOOK_REST).await,
        }
        let outcome = service.deliver_webhooks(&sender, &mut deliveries, &stop).await;
        if let (Err(error), true) = (&outcome, is_delivering) {
            tracing::warn!(error = %chain(error), "events of webhooks wait until the database answers");
        }
        is_delivering = outcome.is_ok();
        is_more = outcome.unwrap_or_default();
        if dropped_at.elapsed() >= WEBHOOK_DROP_PAUSE {
            dropped_at = Instant::now();
            if let Err(error) = service.drop_webhook_events().await {
                tracing::warn!(error = %chain(&error), "events of webhooks that are too many stay for now");
            }
        }
    }
    deliveries.finish().await;
}

/// Waits up to a tenth less than `interval`, so that replicas started together drift apart. False once it is over.
async fn pause(interval: Duration, stop: &CancellationToken) -> bool {
    let pause = interval.mul_f64(1.0 - rand::rng().random_range(0.0..0.1));
    tokio::select! {
        () = tokio::time::sleep(pause) => true,
        () = stop.cancelled() => false,
    }
}
