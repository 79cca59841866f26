//! `/healthz`: the process answers. `/readyz`: so do the database and the store.

use std::time::Duration;

use axum::http::StatusCode;

use crate::service::Service;
use crate::telemetry::chain;

/// Load balancers ask every few seconds and wait about this long.
const READY_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) const fn alive() -> &'static str {
    "ok\n"
}

pub(super) async fn ready(service: &Service) -> (StatusCode, &'static str) {
    match tokio::time::timeout(READY_TIMEOUT, service.check()).await {
        Ok(Ok(())) => (StatusCode::OK, "ready\n"),
        Ok(Err(error)) => {
            tracing::warn!(error = %chain(&error), "not ready");
            (StatusCode::SERVICE_UNAVAILABLE, "not ready: the database or the store does not answer\n")
        }
        Err(_) => {
            (StatusCode::SERVICE_UNAVAILABLE, "not ready: the database or the store is slow to answer\n")
        }
    }
}
