//! `/healthz`: the process answers. `/readyz`: so do the database and the store.

use std::sync::Arc;

use axum::http::StatusCode;

use crate::service::{Readiness, Service};

pub(super) const fn alive() -> &'static str {
    "ok\n"
}

pub(super) async fn ready(service: &Arc<Service>) -> (StatusCode, &'static str) {
    match service.readiness().await {
        Readiness::Ready => (StatusCode::OK, "ready\n"),
        Readiness::Away => {
            (StatusCode::SERVICE_UNAVAILABLE, "not ready: the database or the store does not answer\n")
        }
        Readiness::Slow => {
            (StatusCode::SERVICE_UNAVAILABLE, "not ready: the database or the store is slow to answer\n")
        }
    }
}
