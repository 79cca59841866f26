//! A limit on how many bodies are transferred at a time.

use std::sync::Arc;

use tokio::sync::{Semaphore, SemaphorePermit};

/// Bodies at a time where nothing else is asked for: fills most lines, and four parts of 8 MiB fit any store's limits.
const DEFAULT_JOBS: usize = 4;

/// The number of request bodies that are under way at a time. Clones share the limit, whatever blobs the bodies are of.
#[derive(Debug, Clone)]
pub struct ConcurrencyLimit {
    jobs: usize,
    free: Arc<Semaphore>,
}

impl ConcurrencyLimit {
    /// At least one body at a time.
    #[must_use]
    pub fn new(jobs: usize) -> Self {
        let jobs = jobs.clamp(1, Semaphore::MAX_PERMITS);
        Self { jobs, free: Arc::new(Semaphore::new(jobs)) }
    }

    #[must_use]
    pub const fn jobs(&self) -> usize {
        self.jobs
    }

    /// Waits until another body may be sent. Dropping the permit ends it.
    pub(crate) async fn acquire(&self) -> Option<SemaphorePermit<'_>> {
        // Never closed.
        self.free.acquire().await.ok()
    }
}

impl Default for ConcurrencyLimit {
    fn default() -> Self {
        Self::new(DEFAULT_JOBS)
    }
}

impl From<usize> for ConcurrencyLimit {
    fn from(jobs: usize) -> Self {
        Self::new(jobs)
    }
}
