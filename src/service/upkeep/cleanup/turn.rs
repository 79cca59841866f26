//! One replica cleans at a time: a hundred that list the same bucket would find the same things. Two at once would
//! harm nothing, so the lease needs no owner.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::task::AbortOnDropHandle;

use crate::log_text::chain;
use crate::service::{Result, Service};

/// The row that says since when somebody cleans, or has last said so.
const CHORE: &str = "clean";
/// How long a cleaner that was killed keeps the others waiting.
const LEASE: Duration = Duration::from_secs(15);
const RENEWAL: Duration = Duration::from_secs(5);

/// The right to clean, renewed until it is given back or dropped.
#[derive(Debug)]
pub struct CleaningTurn {
    service: Arc<Service>,
    _renewing: AbortOnDropHandle<()>,
}

impl Service {
    /// None while another replica, or a command, is at it.
    pub async fn take_cleaning_turn(self: &Arc<Self>) -> Result<Option<CleaningTurn>> {
        if !self.db.claim_chore(CHORE, self.clock.now(), self.before(LEASE)).await? {
            return Ok(None);
        }
        let service = Arc::clone(self);
        let renewing = tokio::spawn(async move {
            loop {
                tokio::time::sleep(RENEWAL).await;
                if let Err(error) = service.db.renew_chore(CHORE, service.clock.now()).await {
                    tracing::debug!(error = %chain(&error), "another may clean beside this one");
                }
            }
        });
        Ok(Some(CleaningTurn { service: Arc::clone(self), _renewing: AbortOnDropHandle::new(renewing) }))
    }
}

impl CleaningTurn {
    /// Lets the next one begin at once.
    pub async fn give_back(self) {
        if let Err(error) = self.service.db.end_chore(CHORE).await {
            tracing::debug!(error = %chain(&error), "the next cleaning waits until this one's lease has ended");
        }
    }
}
