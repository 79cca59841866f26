//! What can go wrong at a store, in the caller's terms.

use std::time::Duration;

/// A storage failure. The cause is for the log; the text is safe to show.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The object is not there.
    #[error("the object is not in the store")]
    NotFound,
    /// The multipart upload is not there: completed, aborted or never begun.
    #[error("the multipart upload is not in the store")]
    UploadNotFound,
    /// A part does not match: its ETag, its size or its place.
    #[error("{0}")]
    InvalidPart(String),
    /// The object changed since it was looked at.
    #[error("the object changed in the store")]
    Precondition,
    /// The bytes are not what the signed request promised.
    #[error("the content does not match its checksum")]
    ChecksumMismatch,
    /// Somebody else is writing there; a later try can succeed.
    #[error("{0}")]
    Busy(&'static str),
    /// More than the store takes.
    #[error("{0}")]
    TooLarge(String),
    /// The body ended early or broke.
    #[error("the body ended before it was complete")]
    Incomplete,
    /// Nothing may be removed: what a stopped process or a queue still sends would remove what came later.
    #[error(
        "the store still carries out a request that ended {} s ago by the database's clock, so nothing is removed; set the \
         clocks of the store and of the database, by NTP for instance",
        .lag.as_secs()
    )]
    IgnoresEnd { lag: Duration },
    /// The store does not do this at all, or not for us; asking again would change nothing.
    #[error("the store refused to {action}")]
    Refused {
        action: &'static str,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The store does not know how to do this, or answers in a way that is none.
    #[error("the store does not know how to {action}")]
    Unsupported {
        action: &'static str,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The store did not do it, for a reason of its own.
    #[error("the store failed to {action}")]
    Unavailable {
        action: &'static str,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl StorageError {
    /// For `map_err`: the store failed to do `action`.
    pub fn unavailable<E>(action: &'static str) -> impl FnOnce(E) -> Self
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        move |source| Self::Unavailable { action, source: source.into() }
    }

    /// For `map_err`: the store does not know how to do `action`.
    pub fn unsupported<E>(action: &'static str) -> impl FnOnce(E) -> Self
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        move |source| Self::Unsupported { action, source: source.into() }
    }

    /// For `map_err`: the store refused to do `action`.
    pub fn refused<E>(action: &'static str) -> impl FnOnce(E) -> Self
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        move |source| Self::Refused { action, source: source.into() }
    }
}
