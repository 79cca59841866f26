//! What can go wrong at a store, in the caller's terms.

use std::io;
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
    /// The store decrypts it for whoever has the key that it was sent with (SSE-C), which is nobody here.
    #[error("the object was stored with an encryption key that only its uploader has")]
    Encrypted,
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
    /// Until somebody makes room, no other try will do better.
    #[error("the store has no room to {action}")]
    Full {
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
    /// For `map_err`: the store failed to do `action`; where it says that its disk is full, [`Self::Full`].
    pub fn unavailable<E>(action: &'static str) -> impl FnOnce(E) -> Self
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        move |source| {
            let source = source.into();
            if is_full(&*source) {
                Self::Full { action, source }
            } else {
                Self::Unavailable { action, source }
            }
        }
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

/// Whether a full disk (ENOSPC), a user's quota (EDQUOT) or the largest file there can be (EFBIG) is behind it.
fn is_full(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return matches!(
                error.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
            );
        }
        next = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_a_spent_quota_and_a_file_that_is_too_large_are_told_from_a_store_that_is_away() {
        // Linux's numbers: ENOSPC, EDQUOT, EFBIG; EIO.
        for number in [28, 122, 27] {
            let error = StorageError::unavailable("write")(io::Error::from_raw_os_error(number));
            assert!(matches!(error, StorageError::Full { .. }), "{error:?}");
        }
        let error = StorageError::unavailable("write")(io::Error::from_raw_os_error(5));
        assert!(matches!(error, StorageError::Unavailable { .. }), "{error:?}");
    }
}
