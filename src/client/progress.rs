//! How the library tells what it is doing. Rendering is the caller's.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::domain::upload::UploadId;

/// A stretch of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Hashing,
    Uploading,
    /// The server proves and places the bytes; how far it is cannot be seen from here.
    Finalizing,
    Downloading,
}

/// Something that happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// From now on bytes are counted towards `total`, of which `done` need no work.
    Started { stage: Stage, total: u64, done: u64 },
    /// So many more bytes.
    Advanced(u64),
    /// So many bytes were lost and will be sent again.
    Lost(u64),
    /// The upload session exists; what it has received can be resumed by its name.
    Session(UploadId),
    /// A failure that is tried again.
    Retrying { error: &'a super::Error, after: Duration },
}

/// Where events go; nowhere by default.
#[derive(Clone, Default)]
pub struct Progress(Option<Arc<Listener>>);

type Listener = dyn Fn(Event<'_>) + Send + Sync;

impl Progress {
    /// Calls `listener` with every event, from any thread; it must not block.
    pub fn new(listener: impl Fn(Event<'_>) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(listener)))
    }

    pub(super) fn report(&self, event: Event<'_>) {
        if let Some(listener) = &self.0 {
            listener(event);
        }
    }

    pub(super) fn started(&self, stage: Stage, total: u64, done: u64) {
        self.report(Event::Started { stage, total, done });
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Progress").field(&self.0.is_some()).finish()
    }
}

/// Counts what one request has sent, so that a failure can take it back.
#[derive(Debug, Clone, Default)]
pub(super) struct Sent {
    bytes: Arc<AtomicU64>,
    progress: Progress,
}

impl Sent {
    pub(super) fn new(progress: &Progress) -> Self {
        Self { bytes: Arc::default(), progress: progress.clone() }
    }

    pub(super) fn add(&self, bytes: usize) {
        let bytes = bytes as u64;
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.progress.report(Event::Advanced(bytes));
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn take_back(&self) {
        self.progress.report(Event::Lost(self.bytes.swap(0, Ordering::Relaxed)));
    }
}
