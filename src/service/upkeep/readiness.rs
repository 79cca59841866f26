//! Whether this replica can serve: asked by whoever likes, so the database and the store are asked once for all of them.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::log_text::chain;
use crate::service::Service;

/// Load balancers ask every few seconds and wait about this long.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long an answer is good for: load balancers ask less often, and strangers could ask without end.
const REMEMBERED: Duration = Duration::from_secs(1);

/// What the database and the store said together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    Ready,
    Away,
    Slow,
}

/// The last answer, and when it came. Whoever holds the lock is asking, and the others wait for that.
pub(in crate::service) type LastReadiness = Arc<Mutex<Option<(Readiness, Instant)>>>;

impl Service {
    /// Whether the database and the store answer, as seen within the last second.
    pub async fn readiness(self: &Arc<Self>) -> Readiness {
        let mut last = Arc::clone(&self.readiness).lock_owned().await;
        if let Some((readiness, _)) = last.filter(|(_, at)| at.elapsed() < REMEMBERED) {
            return readiness;
        }
        let service = Arc::clone(self);
        // To its end, whoever waits for it: of many who ask and hang up each would be a look of its own.
        let looking = self.outlive(async move {
            let readiness = match tokio::time::timeout(PATIENCE, service.check()).await {
                Ok(Ok(())) => Readiness::Ready,
                Ok(Err(error)) => {
                    tracing::warn!(error = %chain(&error), "not ready");
                    Readiness::Away
                }
                Err(_) => Readiness::Slow,
            };
            *last = Some((readiness, Instant::now()));
            readiness
        });
        looking.await.unwrap_or(Readiness::Away)
    }
}
