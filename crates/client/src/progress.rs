//! Events of long work, such as uploads. How they are shown is up to the program.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use overside_protocol::upload::UploadId;
use serde::Serialize;

/// A stage of the work on one blob or file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    Hashing,
    /// Layers are packed before they are sent.
    Compressing,
    Uploading,
    /// The server verifies and places the bytes, see [`Event::Finalizing`].
    Finalizing,
    Downloading,
}

/// How a blob, a manifest or a file came to be where it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
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

/// Something that happened during a transfer.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// From now on bytes are counted towards `total`, of which `done` need no work.
    Started { stage: Stage, total: u64, done: u64 },
    /// So many more bytes.
    Advanced(u64),
    /// So many bytes were lost and will be sent again.
    Lost(u64),
    /// The upload session exists, and can be resumed by this id.
    Session(UploadId),
    /// The server verifies or places the bytes: the phase in its own words, and how many bytes of it are done.
    Finalizing { phase: &'a str, done: u64, total: u64 },
    /// A failure that is tried again.
    Retrying { error: &'a super::Error, after: Duration },
    /// Nothing more happens to this subject.
    Finished(Outcome),
}

/// The blob, file or manifest that an event is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subject {
    /// Differs between all subjects of one [`Progress`].
    pub id: u64,
    /// A file's name or a digest, for people. Empty for the work as a whole.
    pub name: String,
}

/// A listener for events. The default one ignores them.
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

    /// The same listener, for a subject of this name if there is none yet.
    pub(super) fn named(self, name: impl FnOnce() -> String) -> Self {
        if self.subject.name.is_empty() && self.listener.is_some() { self.of(name()) } else { self }
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

/// The bytes that one request has sent, so that a failure can take them back.
#[derive(Debug, Clone, Default)]
pub(super) struct SentBytes {
    bytes: Arc<AtomicU64>,
    progress: Progress,
}

impl SentBytes {
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

/// Gives a builder with a field `progress` the two ways to listen to its events.
macro_rules! reports_events {
    ($builder:ty) => {
        impl $builder {
            /// Calls `listener` with every event, from any thread; it must not block.
            pub fn on_event(
                self,
                listener: impl Fn(&$crate::Subject, $crate::Event<'_>) + Send + Sync + 'static,
            ) -> Self {
                self.progress($crate::Progress::new(listener))
            }

            /// Reports events to this listener, which other work may share.
            pub fn progress(mut self, progress: $crate::Progress) -> Self {
                self.progress = progress;
                self
            }
        }
    };
}

pub(super) use reports_events;
