//! How the library tells what it is doing. Rendering is the caller's.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use overside_protocol::upload::UploadId;
use serde::Serialize;

/// A stretch of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    Hashing,
    /// Layers are packed before they are sent.
    Compressing,
    Uploading,
    /// The server proves and places the bytes; how far it is tells [`Event::Finalizing`].
    Finalizing,
    Downloading,
}

/// How a blob, a manifest or a file came to be where it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was there; nothing was sent.
    Exists,
    /// The registry had it in another repository and linked it.
    Mounted,
    /// Straight to the store.
    Direct,
    /// Through the server: it gives no presigned URLs.
    ThroughServer,
    Downloaded,
    /// A layer that registries do not keep.
    Foreign,
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
    /// What the server is doing with the bytes, in its own words, and of how many.
    Finalizing { phase: &'a str, done: u64, total: u64 },
    /// A failure that is tried again.
    Retrying { error: &'a super::Error, after: Duration },
    /// Nothing more happens to this subject.
    Finished(Outcome),
}

/// What an event is about: a blob, a file or a manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subject {
    /// No two subjects of one run have the same.
    pub id: u64,
    /// As people know it: a file's name or a digest. Empty for the work as a whole.
    pub name: String,
}

/// Where events go; nowhere by default.
#[derive(Clone, Default)]
pub struct Progress {
    listener: Option<Arc<Listener>>,
    subject: Arc<Subject>,
    subjects: Arc<AtomicU64>,
}

type Listener = dyn Fn(&Subject, Event<'_>) + Send + Sync;

impl Progress {
    /// Calls `listener` with every event, from any thread; it must not block.
    pub fn new(listener: impl Fn(&Subject, Event<'_>) + Send + Sync + 'static) -> Self {
        Self { listener: Some(Arc::new(listener)), ..Self::default() }
    }

    /// The same listener, for another subject.
    #[must_use]
    pub fn of(&self, name: impl Into<String>) -> Self {
        let id = self.subjects.fetch_add(1, Ordering::Relaxed) + 1;
        Self { subject: Arc::new(Subject { id, name: name.into() }), ..self.clone() }
    }

    pub(super) fn report(&self, event: Event<'_>) {
        if let Some(listener) = &self.listener {
            listener(&self.subject, event);
        }
    }

    pub(super) fn started(&self, stage: Stage, total: u64, done: u64) {
        self.report(Event::Started { stage, total, done });
    }

    pub(super) fn finished(&self, outcome: Outcome) {
        self.report(Event::Finished(outcome));
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Progress").field("subject", &self.subject).finish_non_exhaustive()
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
