//! What replicas tell each other, through two small tables, while a limit is set.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use crate::service::{Result, Service};

/// Between two exchanges: what one replica tells right after another has listened is heard within two of them, and
/// that is to be within a second.
pub(crate) const EXCHANGE_PAUSE: Duration = Duration::from_millis(400);

impl Service {
    /// Tells the others what is under way here, and hears the same of them. Nothing where nothing is limited.
    pub async fn exchange_activity(&self) -> Result<()> {
        self.exchange_slots().await?;
        self.exchange_requests().await
    }

    async fn exchange_slots(&self) -> Result<()> {
        let admission = &self.admission;
        if !admission.uploads.is_limited() && !admission.downloads.is_limited() {
            return Ok(());
        }
        let (uploads, downloads) = (admission.uploads.taken(), admission.downloads.taken());
        let is_busy = uploads > 0 || downloads > 0;
        // A row of nothing is as good as none.
        if is_busy || admission.has_told.load(Ordering::Relaxed) {
            self.db.publish_activity(admission.replica, uploads, downloads).await?;
            admission.has_told.store(is_busy, Ordering::Relaxed);
        }
        let (uploads, downloads) = self.db.activity_of_others(admission.replica).await?;
        admission.uploads.heed(uploads);
        admission.downloads.heed(downloads);
        Ok(())
    }

    async fn exchange_requests(&self) -> Result<()> {
        let admission = &self.admission;
        let Some(rate) = admission.rate() else {
            admission.rates().clear();
            return Ok(());
        };
        let news = admission.rates().news(Instant::now());
        if !news.is_empty()
            && let Err(error) = self.db.publish_requests(admission.replica, &news).await
        {
            admission.rates().untold(&news);
            return Err(error.into());
        }
        let others = self.db.requests_of_others(admission.replica).await?;
        admission.rates().heed(others, rate, Instant::now());
        Ok(())
    }

    /// Gives back at once what others would count for some seconds more.
    pub(in crate::service) async fn withdraw_activity(&self) {
        if self.admission.has_told.load(Ordering::Relaxed)
            && let Err(error) = self.db.withdraw_activity(self.admission.replica).await
        {
            tracing::debug!(%error, "what this replica had under way counts for some seconds more");
        }
    }
}
