//! How many replicas there are. Each renews a row of its own; one whose row is old is gone.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use uuid::Uuid;

use crate::service::{Result, Service};

/// Between two renewals: for so long the others go on with their larger shares after a replica has come.
pub(crate) const HEARTBEAT_PAUSE: Duration = Duration::from_secs(5);
/// Three renewals missed: a replica that died counts for so long.
const STALE_AFTER: Duration = Duration::from_secs(15);

#[derive(Debug)]
pub(super) struct Replicas {
    own: Uuid,
    count: AtomicU64,
    is_counted: AtomicBool,
}

impl Default for Replicas {
    fn default() -> Self {
        Self { own: Uuid::new_v4(), count: AtomicU64::new(1), is_counted: AtomicBool::new(true) }
    }
}

impl Replicas {
    /// As last counted, this one included.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

impl Service {
    /// Says that this replica is alive, and counts the replicas. While the database is away the last count holds.
    pub async fn count_replicas(&self) -> Result<()> {
        if self.handover.is_cancelled() {
            return Ok(());
        }
        let replicas = &self.admission.replicas;
        let counted = self.db.count_replicas(replicas.own, STALE_AFTER).await;
        let was_counted = replicas.is_counted.swap(counted.is_ok(), Ordering::Relaxed);
        let count = counted?.max(1);
        // The first after an outage finds nobody else alive, for as long as the others have not asked again.
        let least = if was_counted { 1 } else { replicas.count() };
        replicas.count.store(count.max(least), Ordering::Relaxed);
        Ok(())
    }

    /// Leaves its share to the others at their next count.
    pub(in crate::service) async fn leave_replicas(&self) {
        if let Err(error) = self.db.remove_replica(self.admission.replicas.own).await {
            tracing::debug!(%error, "this replica counts for some seconds more");
        }
    }
}
