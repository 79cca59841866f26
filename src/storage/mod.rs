//! Where the bytes are: keys in, bytes and facts about them out. Knows nothing of sessions or HTTP.
//!
//! # The contract, kept by every backend (tests/it/storage.rs holds them to it)
//!
//! * Everything an upload writes before it is published lies below `temp/<upload uuid>/`.
//! * A presigned request writes one key, with the length and the SHA-256 it was signed with or not at all.
//! * What a store tells of an object's digest says its algorithm, and proves nothing of another one.
//! * [`Storage::seal`] fixes what will be published: whatever a client still sends afterwards, reading and
//!   placing the [`Sealed`] object yields the bytes that were sealed, or [`StorageError::Precondition`].
//!   One that is proven [`Evidence::ByStaging`] is fixed by [`Storage::stage`] instead. One that is
//!   exposed is never placed: what a new seal makes of it is proven once more, and placed.
//! * [`Storage::place`] makes a blob appear whole or not at all, and leaves the sealed object where it is; so
//!   does [`Storage::publish`], with the very bytes that were staged.
//! * Every operation may be repeated: completing what is completed, placing what is placed and discarding
//!   what is gone succeed.
//! * What has been acknowledged survives a crash of this process and of the machine.

/// Runs one call on whichever backend it is.
macro_rules! on {
    ($storage:expr, $backend:ident => $call:expr) => {
        match $storage {
            Storage::S3($backend) => $call,
            Storage::Filesystem($backend) => $call,
        }
    };
}

mod appender;
pub mod capability;
pub mod error;
pub mod filesystem;
mod finalize;
mod finding;
pub mod key;
mod presigned;
pub mod probe;
mod published;
mod receive;
pub mod s3;
mod sealed;
mod segmented_bytes;
pub mod signed_call;
pub mod signed_url;
mod temporary;

use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::stream::BoxStream;
use uuid::Uuid;

use crate::domain::blob::{Blob, Placement};
use crate::domain::digest::Digest;
use crate::domain::part::ReceivedPart;
use crate::domain::range::ByteRange;

pub use appender::Appender;
pub use capability::{ProofMethod, UploadKind};
pub use error::StorageError;
pub use filesystem::Filesystem;
pub use finding::{Finding, Verdict};
pub use presigned::{Lengths, PresignedRequest, PutTerms};
pub use published::{BlobCursor, BlobEntry, BlobPage};
pub use s3::{PartSigner, S3};
pub use sealed::{Evidence, Sealed, Staged};
pub use temporary::{TempCursor, TempEntry, TempKind, TempListing, TempOwner, TempPage};

/// A store.
#[derive(Debug)]
pub enum Storage {
    S3(S3),
    Filesystem(Filesystem),
}

/// The content type of everything stored: opaque bytes, and no browser is tempted to render them.
const CONTENT_TYPE: &str = "application/octet-stream";

/// How a blob reaches the client.
#[expect(missing_debug_implementations, reason = "holds a stream")]
pub enum Download {
    /// From the store, by a presigned GET.
    Url(String),
    /// Through this server.
    Stream(BoxStream<'static, std::io::Result<Bytes>>),
}

/// What an append left in the store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Appended {
    pub store_upload_id: Option<String>,
    pub tail_id: Option<Uuid>,
    /// Parts that this append finished.
    pub parts: Vec<ReceivedPart>,
}

type Result<T> = std::result::Result<T, StorageError>;

impl Storage {
    /// Scheme and host that presigned URLs lead to; none where that is this service, or not known.
    pub async fn origin(&self) -> Option<String> {
        match self {
            Self::S3(backend) => backend.client_origin().await,
            Self::Filesystem(_) => None,
        }
    }

    /// Whether a blob's object is there, of the right size, and can be read.
    ///
    /// # Errors
    ///
    /// The store does not answer; what is missing is `false`.
    pub async fn has_blob(&self, blob: &Blob) -> Result<bool> {
        if !blob.placement.is_readable() {
            return Ok(false);
        }
        let size = match self {
            Self::S3(backend) => backend.size(&stands_at(blob)?).await?,
            Self::Filesystem(backend) => backend.blob_size(&blob.digest).await?,
        };
        Ok(size == Some(blob.size))
    }

    /// A published blob's bytes, all or a range.
    ///
    /// # Errors
    ///
    /// `NotFound` where it is noticed now that the blob is nowhere to be read.
    pub async fn download(
        &self,
        blob: &Blob,
        range: Option<ByteRange>,
        lifetime: Duration,
    ) -> Result<Download> {
        match self {
            Self::S3(backend) => backend.presign_get(&stands_at(blob)?, lifetime).await.map(Download::Url),
            Self::Filesystem(_) => self.stream(blob, range).await.map(Download::Stream),
        }
    }

    /// A URL at which the store has a published blob for a client. None where its bytes come through this server alone.
    ///
    /// # Errors
    ///
    /// As [`Self::download`].
    pub async fn download_url(&self, blob: &Blob, lifetime: Duration) -> Result<Option<String>> {
        match self {
            Self::S3(backend) => backend.presign_get(&stands_at(blob)?, lifetime).await.map(Some),
            Self::Filesystem(_) => Ok(None),
        }
    }

    /// The same by way of this server.
    ///
    /// # Errors
    ///
    /// As [`Self::download`].
    pub async fn stream(
        &self,
        blob: &Blob,
        range: Option<ByteRange>,
    ) -> Result<BoxStream<'static, std::io::Result<Bytes>>> {
        match self {
            Self::S3(backend) => backend.open(stands_at(blob)?, range).await,
            Self::Filesystem(backend) => backend.open(&blob.digest, range).await,
        }
    }

    /// Removes a published blob, if it can be done before `until`: nothing that this begins has any effect from
    /// then on. One that is gone is fine.
    ///
    /// # Errors
    ///
    /// `Busy`: too little time is left before `until` to begin.
    pub async fn remove_blob(&self, digest: &Digest, until: DateTime<Utc>) -> Result<()> {
        on!(self, backend => backend.remove_blob(digest, until).await)
    }

    /// Makes sure that a removal which ended `lag` ago, by our clock, has no effect any more.
    ///
    /// # Errors
    ///
    /// `IgnoresEnd` where it still has one.
    pub async fn check_ends(&self, lag: Duration) -> Result<()> {
        // A filesystem looks at our clock itself, under a lock.
        if let Self::S3(store) = self { store.check_ends(lag).await } else { Ok(()) }
    }

    /// Lists what is published, a page at a time.
    ///
    /// # Errors
    ///
    /// `Unavailable`, `Refused`: the store lists nothing.
    pub async fn blob_entries(&self, cursor: Option<BlobCursor>) -> Result<BlobPage> {
        on!(self, backend => backend.blob_entries(cursor).await)
    }

    /// Lists what is temporary, a page of one listing at a time.
    ///
    /// # Errors
    ///
    /// As [`Self::blob_entries`].
    pub async fn temp_entries(&self, listing: TempListing, cursor: Option<TempCursor>) -> Result<TempPage> {
        on!(self, backend => backend.temp_entries(listing, cursor).await)
    }

    /// Removes one thing that was listed; one that is gone is fine.
    ///
    /// # Errors
    ///
    /// `Unavailable`: it may be there still.
    pub async fn remove_temp(&self, entry: &TempEntry) -> Result<()> {
        on!(self, backend => backend.remove_temp(entry).await)
    }

    /// A cheap question whose answer shows that the store is reachable and lets us in.
    ///
    /// # Errors
    ///
    /// `Refused` where it does not let us in, `Unavailable` where it does not answer.
    pub async fn check(&self) -> Result<()> {
        on!(self, backend => backend.check().await)
    }
}

fn stands_at(blob: &Blob) -> Result<key::Key> {
    match &blob.placement {
        Placement::Placed => Ok(key::blob(&blob.digest)),
        Placement::Sealed(object) => key::sealed(object).ok_or(StorageError::NotFound),
        Placement::Exposed(_) | Placement::Lost => Err(StorageError::NotFound),
    }
}
