//! What a use case can answer instead of doing it; every front door renders these in its own envelope.

use std::time::Duration;

use crate::auth::password::PasswordError;
use crate::auth::token::TokenError;
use crate::db::DbError;
use crate::domain::digest::{Digest, Mismatch};
use crate::domain::manifest::ManifestError;
use crate::domain::quota::QuotaExceeded;
use crate::domain::upload::{Failure, FailureCode, Refusal};
use crate::storage::StorageError;
use crate::storage::signed_url::SignatureError;

/// A refusal or a failure; the texts are for clients, the sources for the log.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    #[error("sign in first")]
    Unauthenticated,
    #[error("the name, password or token is wrong, has expired or was revoked")]
    CredentialsInvalid,
    /// Signed in with a key, in vain.
    #[error("{0}")]
    KeyRefused(&'static str),
    #[error("the token was not issued for this; get one for the scope that is named")]
    ScopeInsufficient,
    /// Nor would another token help: `message` says why. The same whether the project is there or not, but for who may
    /// know.
    #[error("{message}")]
    NotPermitted { message: String, by_token: bool },
    /// The same whether it is there or not.
    #[error("there is no such thing here, or you have no permission for it")]
    Denied,
    #[error("too many {what}; try again in {} seconds", .retry_after.as_secs())]
    TooManyRequests { what: &'static str, retry_after: Duration },
    #[error("a token could not be signed or its key not be read")]
    Token(#[from] TokenError),
    /// A user, a project or what belongs to one, for whoever may know that.
    #[error("there is no such {0}")]
    Unknown(&'static str),
    #[error("{0}")]
    Exists(String),
    /// What has to go first.
    #[error("{0}")]
    InUse(&'static str),
    /// Not for this caller, whatever it is done to.
    #[error("{0}")]
    Forbidden(&'static str),
    #[error(transparent)]
    Password(#[from] PasswordError),
    #[error("no such upload in this repository; begin one with POST")]
    UploadUnknown,
    #[error("no such blob in this repository")]
    BlobUnknown,
    #[error("a manifest or a file of this repository needs the blob; delete that first")]
    BlobNeeded,
    #[error("the index {0} in this repository lists the manifest; delete the index first")]
    ManifestListed(Digest),
    #[error("no such manifest in this repository")]
    ManifestUnknown,
    #[error("there is no such repository")]
    RepositoryUnknown,
    #[error(transparent)]
    ManifestInvalid(#[from] ManifestError),
    #[error("the manifest is {}, not {}; push it by the digest of exactly these bytes, or by a tag", .0.found, .0.expected)]
    ManifestMismatch(Box<Mismatch>),
    /// What the manifest refers to and the repository does not have. Why not, of a blob whose upload has just failed.
    #[error(
        "the manifest refers to what this repository does not have; push that first{}",
        failure.as_ref().map_or_else(String::new, |failure| format!(" ({})", failure.message))
    )]
    ReferencesUnknown { missing: Vec<Digest>, failure: Option<Failure> },
    /// The state machine says no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A chunk that does not begin where the last one ended.
    #[error("the next chunk of this upload begins at byte {expected}")]
    OffsetMismatch { expected: u64 },
    /// Something is missing or does not fit; the upload goes on.
    #[error("{0}")]
    Invalid(String),
    #[error("the bytes are {}, not {}; the upload has been discarded, begin another", .0.found, .0.expected)]
    DigestMismatch(Box<Mismatch>),
    /// The same of bytes that did not pass through this server. What they are is not told.
    #[error("the uploaded bytes are not {0}; the upload has been discarded, begin another")]
    NotTheDigest(Digest),
    /// The session was completed or declared under another digest than this request names.
    #[error("this upload is {0}")]
    OtherDigest(Digest),
    /// What the store had acknowledged is not there any more and cannot be sent again.
    #[error("the uploaded bytes are gone from the store; begin another upload")]
    Vanished,
    #[error(
        "the object was uploaded with an encryption key of its uploader's, so nobody else can read it; the upload has been \
         discarded, begin another and send the bytes without one"
    )]
    Encrypted,
    #[error("{0}")]
    SizeInvalid(String),
    #[error("{0}")]
    TooLarge(String),
    /// The project has no room for it.
    #[error(transparent)]
    QuotaExceeded(Box<QuotaExceeded>),
    #[error("the body ended before it was complete; ask for the upload's offset and go on from there")]
    BodyIncomplete,
    #[error(transparent)]
    Signature(#[from] SignatureError),
    #[error("the body does not match the checksum that the URL was signed with")]
    ChecksumMismatch,
    #[error("the chunk does not match the checksum that came with it; nothing of it was kept, send it again")]
    ChunkMismatch,
    #[error("{0}; try again shortly")]
    Busy(String),
    #[error("too many requests change this upload at once; try again")]
    Contended,
    #[error("this server is stopping; send the request again")]
    Stopping,
    #[error("the database is not available; try again shortly")]
    Db(#[source] DbError),
    /// The cause is for the log: it names the operator's paths.
    #[error(
        "the server has no room left: its disk is full, or a limit on files is reached; nothing of this request was kept, \
         and it can be sent again once the operator has made room"
    )]
    NoSpace(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the store is not available; try again shortly")]
    Storage(#[source] StorageError),
    /// Asking again changes nothing: a policy, or a store that cannot do it.
    #[error(
        "{0}, and would again; whoever runs this server finds out more with `overside doctor` and in its log"
    )]
    StoreRefused(#[source] StorageError),
    #[error("an internal task ended early; try again")]
    Interrupted(#[from] tokio::task::JoinError),
}

impl From<DbError> for ServiceError {
    fn from(error: DbError) -> Self {
        match error {
            DbError::QuotaExceeded(exceeded) => Self::QuotaExceeded(exceeded),
            error if error.is_disk_full() => Self::NoSpace(Box::new(error)),
            error => Self::Db(error),
        }
    }
}

impl From<StorageError> for ServiceError {
    /// The meaning that holds everywhere; where NotFound means more, the caller looks first.
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::InvalidPart(message) => Self::Invalid(message),
            StorageError::TooLarge(message) => Self::TooLarge(message),
            StorageError::Busy(message) => Self::Busy(message.to_owned()),
            StorageError::Incomplete => Self::BodyIncomplete,
            StorageError::ChecksumMismatch => Self::ChecksumMismatch,
            StorageError::Encrypted => Self::Encrypted,
            error @ (StorageError::Refused { .. } | StorageError::Unsupported { .. }) => {
                Self::StoreRefused(error)
            }
            error @ StorageError::Full { .. } => Self::NoSpace(Box::new(error)),
            error => Self::Storage(error),
        }
    }
}

impl From<Failure> for ServiceError {
    fn from(failure: Failure) -> Self {
        Refusal::Failed(failure).into()
    }
}

impl ServiceError {
    /// Whether the same request can succeed later without the client changing anything.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Busy(_)
                | Self::Contended
                | Self::Stopping
                | Self::Db(_)
                | Self::Storage(_)
                | Self::NoSpace(_)
                | Self::Interrupted(_)
        )
    }

    /// The verdict that ends the session, if this is one.
    pub(super) fn verdict(&self) -> Option<Failure> {
        let code = match self {
            Self::DigestMismatch(_) | Self::NotTheDigest(_) => FailureCode::DigestMismatch,
            Self::SizeInvalid(_) => FailureCode::SizeMismatch,
            Self::Vanished | Self::Encrypted => FailureCode::Vanished,
            Self::QuotaExceeded(_) => FailureCode::QuotaExceeded,
            _ => return None,
        };
        Some(Failure { code, message: self.to_string() })
    }
}
