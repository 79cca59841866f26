//! What was seen of the store's pace, kept for whoever starts next.

use super::Service;
use crate::log_text::chain;

impl Service {
    /// Keeps it where that is worth a write. It is only worth time: a failure is logged.
    pub(super) async fn keep_pace(&self) {
        let Some((store, pace)) = self.storage.unkept_pace() else { return };
        if let Err(error) = self.db.save_pace(&store, &pace).await {
            tracing::warn!(error = %chain(&error), "what was seen of the store's pace is not kept");
        }
    }
}
