//! Where the bytes are: keys in, bytes and facts about them out. Knows nothing of sessions or HTTP.
//!
//! # The contract, kept by every backend (tests/it/storage.rs holds them to it)
//!
//! * Everything an upload writes before it is published lies below `temp/<upload uuid>/`.
//! * A presigned request writes one key, with the length and the SHA-256 it was signed with or not at all.
//! * [`Storage::seal`] fixes what will be published: whatever a client still sends afterwards, reading and
//!   placing the [`Sealed`] object yields the bytes that were sealed, or [`StorageError::Precondition`].
//! * [`Storage::place`] makes a blob appear whole or not at all, and leaves the sealed object where it is.
//! * Every operation may be repeated: completing what is completed, placing what is placed and discarding
//!   what is gone succeed.
//! * What has been acknowledged survives a crash of this process and of the machine.

pub mod error;
pub mod filesystem;
mod finding;
pub mod key;
pub mod probe;
mod rope;
pub mod s3;
pub mod signed_url;

use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::stream::BoxStream;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::domain::digest::Digest;
use crate::domain::part::{MAX_OBJECT_SIZE, MAX_PART_COUNT, Part, ReceivedPart};
use crate::domain::range::ByteRange;
use crate::domain::upload::{Proxied, Transfer, UploadId};

pub use error::StorageError;
pub use filesystem::Filesystem;
pub use finding::{Finding, Verdict};
pub use s3::S3;

/// A store.
#[derive(Debug)]
pub enum Storage {
    S3(S3),
    Filesystem(Filesystem),
}

/// A request that a client may make on its own, for one key and one operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresignedRequest {
    pub url: String,
    /// Exactly what the client must send.
    pub headers: Vec<(String, String)>,
}

/// What a presigned PUT of a whole blob is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PutTerms {
    /// In bytes; signed as `content-length`.
    pub size: Option<u64>,
    /// Signed as `x-amz-checksum-sha256`.
    pub digest: Option<Digest>,
}

/// An object that no client can change any more.
#[derive(Debug, Clone)]
pub struct Sealed {
    pub key: key::Key,
    /// In bytes.
    pub size: u64,
    /// The version that was sealed, where the store binds by ETag; reads and the copy insist on it.
    pub etag: Option<String>,
    /// The SHA-256 of the whole object, where the store itself enforced or computed it.
    pub sha256: Option<Digest>,
}

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

/// One temporary thing found in the store.
#[derive(Debug, Clone)]
pub struct TempEntry {
    pub owner: TempOwner,
    pub kind: TempKind,
    /// Last written, by the store's clock.
    pub modified: DateTime<Utc>,
}

/// Whose a temporary thing is, by its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TempOwner {
    Upload(UploadId),
    /// A multipart copy to this blob's place that is under way or was left.
    Placing(Digest),
    /// Lies below the temporary prefix, but no upload makes such a key.
    Nobody,
}

/// What a temporary thing is.
#[derive(Debug, Clone)]
pub enum TempKind {
    Object { key: String },
    Multipart { key: String, store_upload_id: String },
}

/// One page of [`Storage::temp_entries`], and where the next one begins.
#[derive(Debug)]
pub struct TempPage {
    pub entries: Vec<TempEntry>,
    pub next: Option<TempCursor>,
}

/// Where a listing goes on; made by the backend that reads it.
#[derive(Debug, Clone)]
pub enum TempCursor {
    Objects(String),
    /// Index into the prefixes that are listed for multipart uploads, key marker and upload id marker.
    Multiparts(usize, Option<(String, String)>),
}

/// Runs one call on whichever backend it is.
macro_rules! on {
    ($storage:expr, $backend:ident => $call:expr) => {
        match $storage {
            Storage::S3($backend) => $call,
            Storage::Filesystem($backend) => $call,
        }
    };
}

type Result<T> = std::result::Result<T, StorageError>;

impl Storage {
    /// Signs one PUT of the whole blob.
    pub async fn presign_put(
        &self,
        upload: UploadId,
        terms: PutTerms,
        lifetime: Duration,
    ) -> Result<PresignedRequest> {
        on!(self, backend => backend.presign_put(upload, terms, lifetime).await)
    }

    /// Signs the PUT of one part.
    pub async fn presign_part(
        &self,
        upload: UploadId,
        store_upload_id: &str,
        part: Part,
        lifetime: Duration,
    ) -> Result<PresignedRequest> {
        on!(self, backend => backend.presign_part(upload, store_upload_id, part, lifetime).await)
    }

    /// Begins a multipart upload to the upload's data key and names it.
    pub async fn create_multipart(&self, upload: UploadId) -> Result<String> {
        on!(self, backend => backend.create_multipart(upload).await)
    }

    /// The parts that have arrived, in order. [`StorageError::UploadNotFound`] once it is completed or aborted.
    pub async fn list_parts(&self, upload: UploadId, store_upload_id: &str) -> Result<Vec<ReceivedPart>> {
        on!(self, backend => backend.list_parts(upload, store_upload_id).await)
    }

    /// Makes one object of the parts, insisting on their ETags. [`StorageError::UploadNotFound`] once it is gone.
    pub async fn complete_multipart(
        &self,
        upload: UploadId,
        store_upload_id: &str,
        parts: &[ReceivedPart],
    ) -> Result<()> {
        on!(self, backend => backend.complete_multipart(upload, store_upload_id, parts).await)
    }

    /// Gives up a multipart upload; one that is gone is fine.
    pub async fn abort_multipart(&self, upload: UploadId, store_upload_id: &str) -> Result<()> {
        on!(self, backend => backend.abort_multipart(upload, store_upload_id).await)
    }

    /// Opens a proxied upload for appending at its offset; `lease` names what this append writes anew.
    pub async fn append(&self, upload: UploadId, stored: &Proxied, lease: Uuid) -> Result<Appender> {
        Ok(match self {
            Self::S3(backend) => Appender::S3(backend.append(upload, stored, lease).await?),
            Self::Filesystem(backend) => Appender::Filesystem(backend.append(upload, stored).await?),
        })
    }

    /// How many bytes a proxied upload in parts of this size can hold.
    #[must_use]
    pub const fn largest_proxied(&self, part_size: u64) -> u64 {
        match self {
            Self::S3(_) => part_size.saturating_mul(MAX_PART_COUNT as u64),
            Self::Filesystem(_) => MAX_OBJECT_SIZE,
        }
    }

    /// Removes a tail object that a later append has taken in.
    pub async fn remove_tail(&self, upload: UploadId, tail: Uuid) -> Result<()> {
        match self {
            Self::S3(backend) => backend.remove(&key::temp_tail(upload, tail)).await,
            Self::Filesystem(_) => Ok(()),
        }
    }

    /// Makes one object of a proxied upload's parts (in order, all of them) and its tail.
    pub async fn assemble_proxied(
        &self,
        upload: UploadId,
        stored: &Proxied,
        parts: &[ReceivedPart],
    ) -> Result<()> {
        match self {
            Self::S3(backend) => backend.assemble_proxied(upload, stored, parts).await,
            // The file has them all, one after the other.
            Self::Filesystem(_) => Ok(()),
        }
    }

    /// Fixes what will be published. `hash_bound` says that every URL of a PUT was signed with the digest of
    /// the only bytes it takes. [`StorageError::NotFound`] when nothing was uploaded.
    pub async fn seal(&self, upload: UploadId, transfer: &Transfer, hash_bound: bool) -> Result<Sealed> {
        on!(self, backend => backend.seal(upload, transfer, hash_bound).await)
    }

    /// Reads a range of a sealed object and hands its bytes over as they come, exactly as many as asked for.
    /// Ends early, and well, when nobody takes them any more.
    pub async fn read(&self, sealed: &Sealed, range: ByteRange, to: &mpsc::Sender<Bytes>) -> Result<()> {
        on!(self, backend => backend.read(sealed, range, to).await)
    }

    /// Publishes a sealed object whose digest was proven at its content-addressed path.
    pub async fn place(&self, sealed: &Sealed, digest: &Digest) -> Result<()> {
        on!(self, backend => backend.place(sealed, digest).await)
    }

    /// Removes everything an upload left below its temporary prefix.
    pub async fn discard(&self, upload: UploadId) -> Result<()> {
        on!(self, backend => backend.discard(upload).await)
    }

    /// Removes what an upload whose bytes are published from `sealed` is known to have left; cheaper than
    /// [`Self::discard`].
    pub async fn discard_published(
        &self,
        upload: UploadId,
        transfer: &Transfer,
        sealed: &Sealed,
    ) -> Result<()> {
        match self {
            Self::S3(backend) => backend.discard_published(upload, transfer, sealed).await,
            Self::Filesystem(backend) => backend.discard(upload).await,
        }
    }

    /// The size of a published object in bytes, if it is there.
    pub async fn blob_size(&self, digest: &Digest) -> Result<Option<u64>> {
        on!(self, backend => backend.blob_size(digest).await)
    }

    /// A published blob's bytes, all or a range. [`StorageError::NotFound`] where this is noticed now.
    pub async fn download(
        &self,
        digest: &Digest,
        range: Option<ByteRange>,
        lifetime: Duration,
    ) -> Result<Download> {
        match self {
            Self::S3(backend) => backend.presign_get(digest, lifetime).await.map(Download::Url),
            Self::Filesystem(backend) => backend.open(digest, range).await.map(Download::Stream),
        }
    }

    /// Lists what is temporary, a page at a time.
    pub async fn temp_entries(&self, cursor: Option<TempCursor>) -> Result<TempPage> {
        on!(self, backend => backend.temp_entries(cursor).await)
    }

    /// Removes one thing that was listed; one that is gone is fine.
    pub async fn remove_temp(&self, entry: &TempEntry) -> Result<()> {
        on!(self, backend => backend.remove_temp(entry).await)
    }

    /// A cheap question whose answer shows that the store is reachable and lets us in.
    pub async fn check(&self) -> Result<()> {
        on!(self, backend => backend.check().await)
    }
}

/// Takes the bytes of one append, in order.
#[derive(Debug)]
pub enum Appender {
    S3(s3::append::S3Appender),
    Filesystem(filesystem::append::FileAppender),
}

impl Appender {
    /// Waits until another piece can be taken. Nothing is lost when this is given up half-way.
    pub async fn ready(&mut self) -> Result<()> {
        match self {
            Self::S3(appender) => appender.ready().await,
            Self::Filesystem(_) => Ok(()),
        }
    }

    /// Ends when this append holds memory that others have waited for long enough: then [`Self::spill`] it.
    pub async fn overstayed(&self) {
        match self {
            Self::S3(appender) => appender.overstayed().await,
            Self::Filesystem(_) => std::future::pending().await,
        }
    }

    /// Puts what is held in memory into the store. The append goes on as if nothing had happened.
    pub async fn spill(&mut self) -> Result<()> {
        match self {
            Self::S3(appender) => appender.spill().await,
            Self::Filesystem(_) => Ok(()),
        }
    }

    /// Takes a piece; waits like [`Self::ready`] where it is more than that promised.
    pub async fn write(&mut self, bytes: Bytes) -> Result<()> {
        match self {
            Self::S3(appender) => appender.write(bytes).await,
            Self::Filesystem(appender) => appender.write(bytes).await,
        }
    }

    /// Makes everything written durable. An appender dropped instead leaves the upload at its old offset.
    pub async fn finish(self) -> Result<Appended> {
        match self {
            Self::S3(appender) => appender.finish().await,
            Self::Filesystem(appender) => appender.finish().await,
        }
    }
}
